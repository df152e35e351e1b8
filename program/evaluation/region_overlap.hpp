// How the true objects and the predicted regions of one image overlap: what every score of a mask
// is computed from.
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
  int labels() const {
    return labels_;
  }  // the largest label of `truth` + 1, the background counted; some of them may have no pixel
  int regions() const {
    return regions_;
  }  // the largest number of `predicted` + 1; some of them may have no pixel

  std::int64_t common(int label, int region) const {
    return common_[static_cast<std::size_t>(label) * regions_ + region];
  }
  std::int64_t label_area(int label) const { return label_area_[label]; }
  std::int64_t region_area(int region) const { return region_area_[region]; }
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

}  // namespace osc::program
