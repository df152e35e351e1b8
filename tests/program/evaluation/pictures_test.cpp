#include "evaluation/pictures.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "fixtures.hpp"

namespace osc::program {
namespace {

void expect_slots(const Mask& mask, int slots) {
  EXPECT_EQ(mask.width, kSide);
  EXPECT_EQ(mask.height, kSide);
  ASSERT_EQ(mask.values.size(), static_cast<std::size_t>(kSide * kSide));
  EXPECT_LT(*std::ranges::max_element(mask.values), slots);
}

TEST(Pictures, WallShowsTheFirstImagesWithTruthWhereKnown) {
  ImageSet set = scenes(Split::heldout, 5);
  const std::vector<WallItem> items = wall_items(untrained_model(true), set, 3, 0);
  ASSERT_EQ(items.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(items[i].name, set.names[i]);
    EXPECT_EQ(items[i].image.pixels, set.image(static_cast<std::int64_t>(i)).pixels);
    ASSERT_TRUE(items[i].truth.has_value());
    EXPECT_EQ(items[i].truth->values, set.mask(static_cast<std::int64_t>(i)).values);
    EXPECT_EQ(items[i].slots, 4);
    expect_slots(items[i].prediction, 4);
  }
  set.masks.clear();
  EXPECT_FALSE(wall_items(untrained_model(true), set, 100, 0).at(4).truth.has_value());
}

TEST(Pictures, MatchedViewsArePermutationsWithTheirCosines) {
  const ImageSet set = scenes(Split::heldout, 4);
  const std::vector<MatchedViews> pairs = matched_views(untrained_model(true), set, 4, 0);
  ASSERT_EQ(pairs.size(), 4U);
  for (const MatchedViews& pair : pairs) {
    std::vector<int> sorted = pair.match;
    std::ranges::sort(sorted);
    EXPECT_EQ(sorted, (std::vector<int>{0, 1, 2, 3}));
    ASSERT_EQ(pair.cosine.size(), 4U);
    for (double cosine : pair.cosine) EXPECT_LE(std::abs(cosine), 1 + 1e-6);
    for (int view = 0; view < 2; ++view) {
      expect_slots(pair.slot[view], 4);
      EXPECT_EQ(pair.view[view].pixels.size(), 3UL * kSide * kSide);
    }
    EXPECT_NE(pair.view[0].pixels, pair.view[1].pixels);
  }
  EXPECT_TRUE(matched_views(untrained_model(true), set, 0, 0).empty());
}

TEST(Pictures, RetrievalsComeFromOtherImagesMostSimilarFirst) {
  const ImageSet set = scenes(Split::heldout, 12);
  const std::vector<Retrieval> rows = retrievals(untrained_model(true), set, set, 5, 4, 0);
  ASSERT_FALSE(rows.empty());
  EXPECT_LE(rows.size(), 5U);
  for (const Retrieval& row : rows) {
    EXPECT_EQ(std::ranges::count(set.names, row.query.name), 1);
    EXPECT_GT(std::ranges::count(row.query.mask.values, row.query.slot), 0);
    EXPECT_EQ(row.nearest.size(), 4U);
    for (std::size_t place = 0; place < row.nearest.size(); ++place) {
      EXPECT_NE(row.nearest[place].name, row.query.name);
      EXPECT_LE(row.nearest[place].similarity, row.nearest[place > 0 ? place - 1 : 0].similarity);
    }
  }
}

TEST(Pictures, RetrievalsCompareCategories) {
  ImageSet set = scenes(Split::heldout, 12), gallery = scenes(Split::gallery, 12);
  const auto all_known = [](const std::vector<Retrieval>& rows, bool same) {
    return std::ranges::all_of(rows, [=](const Retrieval& row) {
      return std::ranges::all_of(row.nearest, [=](const ObjectView& object) {
        return !object.same_category || *object.same_category == same;
      });
    });
  };
  const auto known = [](const std::vector<Retrieval>& rows) {
    return std::accumulate(rows.begin(), rows.end(), 0L, [](long sum, const Retrieval& row) {
      return sum + std::ranges::count_if(row.nearest, [](const ObjectView& object) {
               return object.same_category.has_value();
             });
    });
  };
  const auto label_all = [](ImageSet& images, const std::string& category) {
    for (auto& objects : images.objects) {
      for (SceneObject& object : objects) object.category = category;
    }
  };
  label_all(set, "cat");
  label_all(gallery, "cat");
  const std::vector<Retrieval> alike = retrievals(untrained_model(true), set, gallery, 5, 4, 0);
  EXPECT_GT(known(alike), 0);
  EXPECT_TRUE(all_known(alike, true));
  label_all(gallery, "dog");
  EXPECT_TRUE(all_known(retrievals(untrained_model(true), set, gallery, 5, 4, 0), false));
  gallery.objects.clear();
  EXPECT_EQ(known(retrievals(untrained_model(true), set, gallery, 5, 4, 0)), 0);
}

}  // namespace
}  // namespace osc::program
