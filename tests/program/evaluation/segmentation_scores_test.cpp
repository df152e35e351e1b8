#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <stdexcept>
#include <vector>

#include "evaluation/segmentation_scores.hpp"
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

// The adjusted Rand index from its definition: every pair of pixels is together or apart in each of
// the partitions.
double ari_by_pairs(const Bytes& truth, const Bytes& predicted, int first_label) {
  double both = 0, truth_only = 0, predicted_only = 0, neither = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (truth[i] < first_label || truth[j] < first_label) continue;
      const bool in_truth = truth[i] == truth[j];
      const bool in_prediction = predicted[i] == predicted[j];
      (in_truth ? (in_prediction ? both : truth_only)
                : (in_prediction ? predicted_only : neither)) += 1;
    }
  }
  return 2 * (both * neither - truth_only * predicted_only) /
         ((both + truth_only) * (truth_only + neither) +
          (both + predicted_only) * (predicted_only + neither));
}

// The best mean IoU over every way to give each object a region of its own, or none.
double miou_by_brute_force(const Bytes& truth, const Bytes& predicted, int objects, int regions) {
  std::vector<int> choice;
  for (int region = 0; region < std::max(objects, regions); ++region)
    choice.push_back(region);  // numbers from `regions` on are "none"
  double best = 0;
  do {
    double sum = 0;
    for (int object = 1; object <= objects; ++object) {
      double common = 0, either = 0;
      for (std::size_t i = 0; i < truth.size(); ++i) {
        const bool in_object = truth[i] == object;
        const bool in_region = predicted[i] == choice[object - 1];
        common += in_object && in_region;
        either += in_object || in_region;
      }
      sum += common / either;
    }
    best = std::max(best, sum / objects);
  } while (std::ranges::next_permutation(choice).found);
  return best;
}

TEST(SegmentationScores, AgreeWithPairCountingAndBruteForce) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 60; ++trial) {
    const int objects = 1 + trial % 5;
    const int regions = 2 + trial % 4;
    Bytes truth, predicted;
    for (int i = 0; i < 80; ++i) {
      truth.push_back(static_cast<std::uint8_t>(i <= objects ? i : random() % (objects + 1)));
      predicted.push_back(
          static_cast<std::uint8_t>(random() % 2 ? truth.back() % regions : random() % regions));
    }
    const SegmentationScores scores = score_segmentation(truth, predicted);
    EXPECT_NEAR(scores.ari, ari_by_pairs(truth, predicted, 0), 1e-12) << "trial " << trial;
    if (objects > 1) {  // the definition divides by zero where all pixels are together in both
      EXPECT_NEAR(scores.fg_ari, ari_by_pairs(truth, predicted, 1), 1e-12) << "trial " << trial;
    }
    EXPECT_NEAR(scores.miou, miou_by_brute_force(truth, predicted, objects, regions), 1e-12)
        << "trial " << trial;
  }
}

TEST(SegmentationScores, PerfectMasksUnderAnyNumbering) {
  const Bytes truth{0, 0, 0, 1, 1, 2, 2, 2};
  const Bytes predicted{3, 3, 3, 0, 0, 255, 255, 255};
  const SegmentationScores scores = score_segmentation(truth, predicted);
  EXPECT_DOUBLE_EQ(scores.fg_ari, 1);
  EXPECT_DOUBLE_EQ(scores.ari, 1);
  EXPECT_DOUBLE_EQ(scores.miou, 1);
}

TEST(SegmentationScores, ByHand) {
  // Two objects of 2 pixels beside 2 of background. Region 0: both of object 1 and one of
  // background; region 1: the rest.
  const Bytes truth{0, 0, 1, 1, 2, 2};
  const Bytes predicted{0, 1, 0, 0, 1, 1};
  const SegmentationScores scores = score_segmentation(truth, predicted);
  EXPECT_DOUBLE_EQ(scores.fg_ari, 1);
  // Pairs together in both 2, in truth 3, in prediction 6, of 15: expected 1.2, at most 4.5.
  EXPECT_DOUBLE_EQ(scores.ari, (2 - 1.2) / (4.5 - 1.2));
  EXPECT_DOUBLE_EQ(scores.miou, 2.0 / 3);
}

TEST(SegmentationScores, ForegroundIndexIgnoresHowBackgroundIsDivided) {
  const Bytes truth{0, 0, 0, 0, 1, 1, 2, 2};
  const Bytes predicted{0, 1, 2, 3, 1, 1, 2, 2};
  const SegmentationScores scores = score_segmentation(truth, predicted);
  EXPECT_DOUBLE_EQ(scores.fg_ari, 1);
  EXPECT_LT(scores.ari, 0.6);
}

TEST(SegmentationScores, ExtremeCases) {
  const Bytes ones(10, 1), fours(10, 4), one_pixel{0, 0, 1};
  const SegmentationScores same = score_segmentation(ones, fours);
  EXPECT_EQ((std::array{same.fg_ari, same.ari, same.miou}), (std::array{1.0, 1.0, 1.0}));
  EXPECT_DOUBLE_EQ(score_segmentation(one_pixel, one_pixel).fg_ari, 1);
  // An object without a region counts 0; a label without a pixel is no object.
  EXPECT_DOUBLE_EQ(score_segmentation(Bytes{1, 1, 4, 4}, Bytes(4, 0)).miou, (0.5 + 0) / 2);
}

TEST(SegmentationScores, TruthWithoutObjects) {
  const Bytes truth(6, 0), predicted{0, 0, 0, 1, 1, 1};
  const SegmentationScores scores = score_segmentation(truth, predicted);
  EXPECT_DOUBLE_EQ(scores.ari, 0);
  EXPECT_TRUE(std::isnan(scores.fg_ari));
  EXPECT_TRUE(std::isnan(scores.miou));
}

TEST(SegmentationScores, MeanLeavesOutImagesWithoutObjects) {
  const Bytes truth{0, 1, 2, 2, /**/ 0, 0, 0, 0, /**/ 1, 1, 2, 2};
  const Bytes predicted{0, 1, 2, 2, /**/ 0, 1, 2, 3, /**/ 0, 1, 0, 1};
  const SegmentationScores last =
      score_segmentation(std::span(truth).subspan(8), std::span(predicted).subspan(8));
  const SegmentationScores mean = mean_segmentation_scores(truth, predicted, 3);
  EXPECT_DOUBLE_EQ(mean.fg_ari, (1 + last.fg_ari) / 2);
  EXPECT_DOUBLE_EQ(mean.ari, (1 + last.ari) / 2);
  EXPECT_DOUBLE_EQ(mean.miou, (1 + last.miou) / 2);
}

TEST(SegmentationScores, NothingToScoreAndSizesThatDoNotFit) {
  EXPECT_TRUE(std::isnan(mean_segmentation_scores({}, {}, 0).ari));
  const Bytes background(8, 0), four(4), five(5);
  EXPECT_TRUE(std::isnan(mean_segmentation_scores(background, background, 2).fg_ari));
  EXPECT_THROW(score_segmentation(four, five), std::invalid_argument);
  EXPECT_THROW(mean_segmentation_scores(four, five, 1), std::invalid_argument);
  for (const int count : {0, 2})
    EXPECT_THROW(mean_segmentation_scores(five, five, count), std::invalid_argument);
}

}  // namespace
}  // namespace osc::program
