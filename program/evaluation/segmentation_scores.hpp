// How well predicted regions agree with true objects.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace osc::program {

// A score that nothing could be computed for.
inline constexpr double kNoScore = std::numeric_limits<double>::quiet_NaN();

class RegionOverlap {
 public:
  // A number for each pixel, in the same order. truth: 0 background, 1… objects; predicted: numbers
  // of regions. Throws std::invalid_argument where sizes differ.
  RegionOverlap(std::span<const std::uint8_t> truth, std::span<const std::uint8_t> predicted);

  std::int64_t pixels() const { return pixels_; }
  // The largest label of `truth` and the largest number of `predicted`, plus 1. Some of the numbers
  // below may have no pixel.
  int labels() const { return labels_; }
  int regions() const { return regions_; }

  std::int64_t common(int label, int region) const {
    return common_[static_cast<std::size_t>(label) * regions_ + region];
  }
  std::int64_t label_area(int label) const { return label_area_[label]; }
  double iou(int label, int region) const;  // 0 where neither has a pixel

  // The region with the largest IoU, the first of equals.
  int best_region(int label) const;
  // The object (a label from 1) with the largest IoU, the first of equals; 0 where the region
  // touches none.
  int best_object(int region) const;
  // For each label the region that a Hungarian matching of IoUs gives it, one region an object at
  // most; -1 for label 0, for a label without a pixel and for an object that no region is left for.
  std::vector<int> matched_regions() const;

 private:
  std::int64_t pixels_ = 0;
  int labels_ = 1;
  int regions_ = 1;
  std::vector<std::int64_t> common_, label_area_, region_area_;
};

struct SegmentationScores {
  double fg_ari = 0;  // adjusted Rand index over the pixels of true objects
  double ari = 0;     // over all pixels, background a region of its own
  double miou = 0;  // mean over true objects of the intersection over union with the region that a
                    // Hungarian matching gives them
};

// truth: 0 background, 1… objects; predicted: any small numbers below 256. Adjusted Rand index: L.
// Hubert and P. Arabie, 1985; 1 where both partitions are one region or both are single pixels. An
// object that no region is left for counts 0; a label without a pixel is no object. Scores of a
// truth without any object: ari alone is meaningful, the others are NaN. Without any pixel all are
// NaN. Throws std::invalid_argument where sizes differ.
SegmentationScores score_segmentation(std::span<const std::uint8_t> truth,
                                      std::span<const std::uint8_t> predicted);

// The mean over `count` images of equal size, one after the other in both; images without a true
// object are left out. NaN where none is left.
SegmentationScores mean_segmentation_scores(std::span<const std::uint8_t> truth,
                                            std::span<const std::uint8_t> predicted,
                                            std::int64_t count);

}  // namespace osc::program
