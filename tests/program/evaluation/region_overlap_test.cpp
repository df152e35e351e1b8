#include "evaluation/region_overlap.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "fixtures.hpp"

namespace osc::program {
namespace {

TEST(RegionOverlap, CountsAndIntersectionOverUnion) {
  const Bytes truth{0, 0, 1, 1, 1, 3};
  const Bytes predicted{0, 2, 2, 2, 0, 0};
  const RegionOverlap overlap(truth, predicted);
  EXPECT_EQ(overlap.labels(), 4);
  EXPECT_EQ(overlap.regions(), 3);
  EXPECT_EQ(overlap.label_area(1), 3);
  EXPECT_EQ(overlap.label_area(2), 0);
  EXPECT_EQ(overlap.region_area(1), 0);
  EXPECT_EQ(overlap.common(1, 2), 2);
  EXPECT_DOUBLE_EQ(overlap.iou(1, 2), 2.0 / 4);  // 2 in common, 3 + 3 - 2 in either
  EXPECT_DOUBLE_EQ(overlap.iou(3, 0), 1.0 / 3);
  EXPECT_DOUBLE_EQ(overlap.iou(2, 1), 0);  // neither has a pixel
}

TEST(RegionOverlap, BestRegionAndBestObject) {
  const Bytes truth{1, 1, 1, 1, 2, 2, 0, 0};
  const Bytes predicted{0, 1, 1, 1, 1, 0, 2, 2};
  const RegionOverlap overlap(truth, predicted);
  EXPECT_EQ(overlap.best_region(1), 1);
  EXPECT_EQ(overlap.best_region(2), 0);  // IoU 1/3 against 1/5
  EXPECT_EQ(overlap.best_object(1), 1);
  EXPECT_EQ(overlap.best_object(0), 2);  // 1/3 against 1/5
  EXPECT_EQ(overlap.best_object(2), 0);  // background alone
}

TEST(RegionOverlap, MatchingGivesEachObjectARegionOfItsOwn) {
  // Region 0 is the best of both objects; the sum of IoUs is greatest where object 1 takes
  // region 1.
  const Bytes truth{1, 1, 1, 2, 2, 2};
  const Bytes predicted{1, 0, 0, 0, 0, 0};
  const RegionOverlap overlap(truth, predicted);
  EXPECT_EQ(overlap.best_region(1), 0);
  EXPECT_EQ(overlap.best_region(2), 0);
  EXPECT_EQ(overlap.matched_regions(), (std::vector<int>{-1, 1, 0}));
}

TEST(RegionOverlap, MatchingWithFewerRegionsThanObjectsAndLabelsFarApart) {
  const Bytes truth{5, 5, 5, 200, 255, 255};
  const Bytes predicted(6, 7);
  const std::vector<int> matched = RegionOverlap(truth, predicted).matched_regions();
  ASSERT_EQ(matched.size(), 256U);
  EXPECT_EQ(matched[5], 7);
  EXPECT_EQ(matched[200], -1);
  EXPECT_EQ(matched[255], -1);
  EXPECT_EQ(matched[1], -1);  // a label without a pixel takes no region
}

TEST(RegionOverlap, EmptyAndUnequal) {
  EXPECT_EQ(RegionOverlap({}, {}).matched_regions(), std::vector<int>{-1});
  const Bytes three(3), two(2);
  EXPECT_THROW(RegionOverlap(three, two), std::invalid_argument);
}

}  // namespace
}  // namespace osc::program
