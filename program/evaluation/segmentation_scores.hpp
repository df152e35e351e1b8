// How well predicted regions agree with true objects.
#pragma once

#include <cstdint>
#include <span>

namespace osc::program {

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
