#include "evaluation/recognition.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "fixtures.hpp"

namespace osc::program {
namespace {

// Two images of eight pixels, two objects each; slots are numbered differently in each view.
struct TwoViews {
  Bytes truth0{0, 0, 1, 1, 1, 2, 2, 2, /**/ 1, 1, 1, 0, 0, 2, 2, 2};
  Bytes slots0{2, 2, 0, 0, 0, 1, 1, 1, /**/ 1, 1, 1, 0, 0, 2, 2, 2};
  Bytes truth1{1, 1, 1, 0, 0, 2, 2, 2, /**/ 2, 2, 2, 0, 0, 0, 1, 1};
  Bytes slots1{0, 0, 0, 1, 1, 2, 2, 2, /**/ 0, 0, 0, 2, 2, 2, 1, 1};
  std::vector<std::vector<SceneObject>> labels{{{"cat", 0, 0}, {"dog", 0, 0}},
                                               {{"cat", 0, 0}, {"emu", 0, 0}}};

  ReadImages view0() const { return {truth0, slots0, 2}; }
  ReadImages view1() const { return {truth1, slots1, 2}; }
  std::vector<ObjectPair> pairs() const { return objects_in_both(view0(), view1(), labels); }
};

// A feature of each slot: the axis number `axis[image][slot]`.
torch::Tensor one_hot(const std::vector<std::vector<std::int64_t>>& axis, std::int64_t width = 8) {
  torch::Tensor features = torch::zeros({std::ssize(axis), std::ssize(axis[0]), width});
  for (std::size_t image = 0; image < axis.size(); ++image) {
    for (std::size_t slot = 0; slot < axis[image].size(); ++slot) {
      features.index_put_(
          {static_cast<std::int64_t>(image), static_cast<std::int64_t>(slot), axis[image][slot]},
          1.0F);
    }
  }
  return features;
}

TEST(Recognition, CategoriesOfObjects) {
  const TwoViews scene;
  EXPECT_EQ(object_category(scene.labels, 0, 1), "cat");
  EXPECT_EQ(object_category(scene.labels, 1, 2), "emu");
  EXPECT_EQ(object_category(scene.labels, 0, 3), "");
  EXPECT_EQ(object_category(scene.labels, 0, 0), "");
  EXPECT_EQ(object_category({}, 0, 1), "");
}

TEST(Recognition, ObjectsGetTheSlotThatCoversThem) {
  const TwoViews scene;
  const std::vector<ObjectRow> rows = match_objects(scene.view0(), scene.labels);
  ASSERT_EQ(rows.size(), 4U);
  const std::vector<int> slots{0, 1, 1, 2};
  for (std::size_t row = 0; row < 4; ++row) {
    EXPECT_EQ(rows[row].image, static_cast<std::int64_t>(row / 2));
    EXPECT_EQ(rows[row].slot, slots[row]);
    EXPECT_EQ(rows[row].category,
              object_category(scene.labels, rows[row].image, static_cast<int>(row % 2) + 1));
  }
}

TEST(Recognition, RowsWithoutLabelsHaveNoCategory) {
  const TwoViews scene;
  const std::vector<ObjectRow> rows = match_objects(scene.view0(), {});
  EXPECT_EQ(rows.size(), 4U);
  EXPECT_TRUE(of_known_category(rows).empty());
}

TEST(Recognition, PairsJoinTheSameObjectOfBothViews) {
  const TwoViews scene;
  const std::vector<ObjectPair> pairs = scene.pairs();
  ASSERT_EQ(pairs.size(), 4U);
  const std::vector<std::pair<int, int>> slots{{0, 0}, {1, 2}, {1, 1}, {2, 0}};
  for (std::size_t pair = 0; pair < 4; ++pair) {
    EXPECT_EQ(pairs[pair].slot[0], slots[pair].first);
    EXPECT_EQ(pairs[pair].slot[1], slots[pair].second);
  }
}

TEST(Recognition, PairsNeedTwentyPixelsOf36SquaredInBothViews) {
  constexpr int kPixels = 36 * 36;
  for (const auto& [area, visible] : {std::pair{19, false}, {20, true}}) {
    Bytes large(kPixels, 0), small(kPixels, 0);
    std::fill_n(large.begin(), 50, std::uint8_t{1});
    std::fill_n(small.begin(), area, std::uint8_t{1});
    const ReadImages a{large, large, 1}, b{small, small, 1};
    EXPECT_EQ(objects_in_both(a, b, {}).size(), visible ? 1U : 0U) << area;
    EXPECT_EQ(objects_in_both(b, a, {}).size(), visible ? 1U : 0U) << area;
  }
}

TEST(Recognition, FeaturesOfRows) {
  const torch::Tensor features = torch::arange(12.0F).view({2, 3, 2});
  const std::vector<ObjectRow> rows{{1, 2, ""}, {0, 1, ""}};
  EXPECT_TRUE(
      torch::equal(features_of(features, rows), torch::tensor({{10.0F, 11.0F}, {2.0F, 3.0F}})));
  EXPECT_EQ(features_of(features, {}).sizes(), (std::vector<std::int64_t>{0, 2}));
}

TEST(Recognition, NearestByAngleAndByDistance) {
  const torch::Tensor query = torch::tensor({{1.0F, 1.0F}});
  const torch::Tensor candidates = torch::tensor({{9.0F, 9.0F}, {1.0F, 0.5F}, {-1.0F, -1.0F}});
  EXPECT_EQ(nearest_candidates(query, candidates, Metric::cosine).item<std::int64_t>(), 0);
  EXPECT_EQ(nearest_candidates(query, candidates, Metric::euclidean).item<std::int64_t>(), 1);
}

TEST(Recognition, NearestAgreesWithPlainLoops) {
  torch::manual_seed(3);
  const torch::Tensor queries = torch::randn({1500, 5}),
                      candidates = torch::randn({40, 5}) * 2;  // more queries than one block
  const torch::Tensor by_distance = torch::cdist(queries, candidates).argmin(1);
  const torch::Tensor by_angle =
      torch::cosine_similarity(queries.unsqueeze(1), candidates.unsqueeze(0), -1).argmax(1);
  EXPECT_TRUE(
      torch::equal(nearest_candidates(queries, candidates, Metric::euclidean), by_distance));
  EXPECT_TRUE(torch::equal(nearest_candidates(queries, candidates, Metric::cosine), by_angle));
}

TEST(Recognition, CategoryRecall) {
  const std::vector<ObjectRow> gallery{{0, 0, "ant"}, {0, 1, "bee"}, {0, 2, "cat"}, {0, 3, "dog"}};
  const std::vector<ObjectRow> queries{{5, 0, "dog"}, {5, 1, "ant"}, {5, 2, "cat"}, {5, 3, "bee"}};
  const torch::Tensor axes = torch::eye(4);
  const torch::Tensor perfect = axes.index_select(0, torch::tensor({3, 0, 2, 1}));
  EXPECT_DOUBLE_EQ(category_recall(perfect, queries, axes, gallery, Metric::cosine), 1);
  EXPECT_DOUBLE_EQ(category_recall(axes, queries, axes, gallery, Metric::cosine),
                   0.25);  // the third alone stands where it should
  EXPECT_DOUBLE_EQ(category_recall(perfect, queries, axes, gallery, Metric::euclidean), 1);
  EXPECT_TRUE(std::isnan(category_recall(axes, {}, axes, gallery, Metric::cosine)));
}

TEST(Recognition, InstanceRecall) {
  const torch::Tensor axes = torch::eye(4);
  EXPECT_DOUBLE_EQ(instance_recall(axes, axes * 3, Metric::cosine), 1);
  EXPECT_DOUBLE_EQ(
      instance_recall(axes, axes.index_select(0, torch::tensor({1, 0, 2, 3})), Metric::cosine),
      0.5);
  EXPECT_TRUE(
      std::isnan(instance_recall(torch::empty({0, 4}), torch::empty({0, 4}), Metric::cosine)));
}

TEST(Recognition, MatchingAccuracyFollowsTheMatching) {
  const TwoViews scene;
  const std::vector<ObjectPair> pairs = scene.pairs();
  // What each slot shows, in scene.slots0 and slots1: object 1, object 2 or background (axis 0, 1,
  // 2).
  const torch::Tensor first = one_hot({{0, 1, 2}, {2, 0, 1}});
  const torch::Tensor second = one_hot({{0, 2, 1}, {1, 0, 2}});
  EXPECT_DOUBLE_EQ(matching_accuracy(first, second, pairs), 1);
  // The second image's objects swapped in the second view: half of the pairs are joined wrongly.
  EXPECT_DOUBLE_EQ(matching_accuracy(first, one_hot({{0, 2, 1}, {0, 1, 2}}), pairs), 0.5);
  EXPECT_TRUE(std::isnan(matching_accuracy(first, second, {})));
}

TEST(Recognition, MatchingIsOneToOneAndBestInSum) {
  // Slot 0 of the first view likes slot 0 of the second a little better than slot 1 does, but only
  // slot 0 can take slot 1.
  const torch::Tensor first = torch::tensor({{{1.0F, 0.0F}, {0.6F, 0.8F}}});
  const torch::Tensor second = torch::tensor({{{0.8F, 0.6F}, {0.9F, -0.436F}}});
  EXPECT_TRUE(torch::equal(match_views(first, second), torch::tensor({{1, 0}}, torch::kInt64)));
}

}  // namespace
}  // namespace osc::program
