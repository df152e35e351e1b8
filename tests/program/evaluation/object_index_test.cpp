#include "evaluation/object_index.hpp"

#include <gtest/gtest.h>

#include "fixtures.hpp"
#include "views/views.hpp"

namespace osc::program {
namespace {

using torch::indexing::Slice;

TEST(ObjectSlots, PaintedRectanglesAreObjectsBackgroundsAndSpecksAreNot) {
  torch::Tensor image = torch::full({1, 3, kSide, kSide}, 0.2);
  torch::Tensor slot = torch::zeros({kSide, kSide}, torch::kInt64);
  const auto paint = [&](std::int64_t number, std::int64_t y, std::int64_t x, std::int64_t height,
                         std::int64_t width, std::vector<float> colour) {
    slot.index_put_({Slice(y, y + height), Slice(x, x + width)}, number);
    image.index_put_({0, Slice(), Slice(y, y + height), Slice(x, x + width)},
                     torch::tensor(colour).view({3, 1, 1}));
  };
  paint(1, 2, 2, 10, 10, {1, 0, 0});             // an object
  paint(2, 20, 4, 8, 12, {0.2F, 0.2F, 0.9F});    // another
  paint(3, 30, 30, 2, 2, {1, 1, 1});             // 4 pixels of 1296: too small
  paint(4, 0, 24, 20, 12, {0.22F, 0.2F, 0.2F});  // a part of the background, in a slot of its own
  const torch::Tensor masks = torch::one_hot(slot.view({1, -1}), 6)
                                  .transpose(1, 2)
                                  .to(torch::kFloat32);  // slot 5 has no pixel
  const torch::Tensor found = object_slots(normalise(image), masks);
  EXPECT_TRUE(torch::equal(found, torch::tensor({{false, true, true, false, false, false}})));
}

TEST(ObjectSlots, AWholeImageIsNoObject) {
  torch::Tensor masks = torch::zeros({1, 3, kSide * kSide});
  masks.select(1, 1).fill_(1);
  torch::manual_seed(1);
  EXPECT_FALSE(object_slots(torch::randn({1, 3, kSide, kSide}), masks).any().item<bool>());
}

TEST(ObjectSlots, TheLeastSalientRegionIsTheBackgroundEvenInABusyImage) {
  // Left half: colours all over the place; right half: one bright colour, on average farther from
  // the median.
  torch::manual_seed(2);
  torch::Tensor image = torch::rand({1, 3, kSide, kSide});
  image.index_put_({0, Slice(), Slice(), Slice(kSide - 10, kSide)},
                   torch::tensor({1.0F, 0.0F, 1.0F}).view({3, 1, 1}));
  torch::Tensor slot = torch::zeros({kSide, kSide}, torch::kInt64);
  slot.index_put_({Slice(), Slice(kSide - 10, kSide)}, 1);
  const torch::Tensor masks =
      torch::one_hot(slot.view({1, -1}), 2).transpose(1, 2).to(torch::kFloat32);
  EXPECT_TRUE(torch::equal(object_slots(normalise(image), masks), torch::tensor({{false, true}})));
}

// Three images of two slots; slot 0 is an object in images 0 and 2, slot 1 in all.
ObjectIndex small_index(const torch::Tensor& embeddings, bool standardise = false) {
  return make_object_index(std::vector<Mask>(3), embeddings,
                           torch::tensor({{true, true}, {false, true}, {true, true}}), standardise);
}

TEST(ObjectIndex, RanksByCosine) {
  const torch::Tensor embeddings = torch::tensor(
      {{{1.0F, 0.0F}, {0.0F, 2.0F}}, {{5.0F, 5.0F}, {3.0F, 3.0F}}, {{-1.0F, 0.0F}, {2.0F, 1.0F}}});
  const ObjectIndex index = small_index(embeddings);
  ASSERT_EQ(index.objects.size(), 5U);
  const RankedObject best = rank(index, index.embedding(1, 0), 1).at(0);  // a slot, not an object
  EXPECT_EQ(best.object.image, 1);
  EXPECT_EQ(best.object.slot, 1);
  const std::vector<RankedObject> ranked = rank(index, index.embedding(0, 0), 10);
  ASSERT_EQ(ranked.size(), 5U);
  const std::vector<std::pair<std::int64_t, int>> order{{0, 0}, {2, 1}, {1, 1}, {0, 1}, {2, 0}};
  const std::vector<double> cosine{1, 2 / std::sqrt(5.0), 1 / std::sqrt(2.0), 0, -1};
  for (std::size_t place = 0; place < ranked.size(); ++place) {
    EXPECT_EQ(ranked[place].object.image, order[place].first) << place;
    EXPECT_EQ(ranked[place].object.slot, order[place].second) << place;
    EXPECT_NEAR(ranked[place].similarity, cosine[place], 1e-6) << place;
  }
}

TEST(ObjectIndex, LeavesOutTheQueriesImageAndStopsAtCount) {
  torch::manual_seed(4);
  const ObjectIndex index = small_index(torch::randn({3, 2, 4}));
  const std::vector<RankedObject> others = rank(index, index.embedding(0, 0), 10, 0);
  EXPECT_EQ(others.size(), 3U);
  for (const RankedObject& other : others) EXPECT_NE(other.object.image, 0);
  EXPECT_EQ(rank(index, index.embedding(0, 0), 2).size(), 2U);
  EXPECT_TRUE(rank(index, index.embedding(0, 0), 0).empty());
}

TEST(ObjectIndex, EqualsStayInOrderAndWhatIsNoNumberComesLast) {
  torch::Tensor embeddings = torch::ones({3, 2, 2});
  embeddings[0].fill_(std::numeric_limits<float>::quiet_NaN());
  const ObjectIndex index = small_index(embeddings);
  const std::vector<RankedObject> ranked = rank(index, torch::ones({2}), 5);
  const std::vector<std::int64_t> images{1, 2, 2, 0, 0};
  for (std::size_t place = 0; place < 5; ++place)
    EXPECT_EQ(ranked[place].object.image, images[place]) << place;
}

TEST(ObjectIndex, StandardisingTakesAwayACommonPart) {
  torch::manual_seed(5);
  const torch::Tensor distinct = torch::randn({3, 2, 16});
  const torch::Tensor hidden = distinct + 50;  // all nearly parallel
  const ObjectIndex index = small_index(hidden, true);
  const std::vector<RankedObject> ranked = rank(index, index.embedding(2, 0), 2);
  EXPECT_EQ(ranked[0].object.image, 2);
  EXPECT_NEAR(ranked[0].similarity, 1, 1e-5);
  EXPECT_LT(ranked[1].similarity, 0.9);
  EXPECT_GT(rank(small_index(hidden), hidden[2][0], 2)[1].similarity, 0.99);
}

TEST(ObjectIndex, OfAModelListsExactlyTheObjectSlots) {
  for (bool with_embedding : {true, false}) {
    const Model model = untrained_model(with_embedding);
    const ImageSet set = scenes(Split::heldout, 7);
    const ObjectIndex index = build_object_index(model, set, 3);
    EXPECT_EQ(index.slots, 4);
    EXPECT_EQ(index.embeddings.sizes(),
              (std::vector<std::int64_t>{7, 4, with_embedding ? 128 : 64}));
    ASSERT_EQ(index.slot_of_pixel.size(), 7U);
    std::vector<std::pair<std::int64_t, int>> expected, listed;
    for (std::int64_t image = 0; image < 7; ++image) {
      const Mask& mask = index.slot_of_pixel[image];
      const torch::Tensor slot =
          torch::tensor(std::vector<std::int64_t>(mask.values.begin(), mask.values.end()))
              .view({1, -1});
      const torch::Tensor masks = torch::one_hot(slot, 4).transpose(1, 2).to(torch::kFloat32);
      const torch::Tensor is_object = object_slots(normalise(image_tensor(set, image, 1)), masks);
      for (int s = 0; s < 4; ++s) {
        if (is_object[0][s].item<bool>()) expected.emplace_back(image, s);
      }
    }
    for (const IndexedObject& object : index.objects)
      listed.emplace_back(object.image, object.slot);
    EXPECT_EQ(listed, expected);
    EXPECT_FALSE(listed.empty());
  }
}

TEST(ObjectIndex, RepeatsForTheSameSeed) {
  const Model model = untrained_model(true);
  const ImageSet set = scenes(Split::heldout, 5);
  const ObjectIndex once = build_object_index(model, set, 3),
                    again = build_object_index(model, set, 3),
                    other = build_object_index(model, set, 4);
  EXPECT_TRUE(torch::equal(once.embeddings, again.embeddings));
  EXPECT_FALSE(torch::equal(once.embeddings, other.embeddings));
}

TEST(ObjectIndex, OfNoImages) {
  const ObjectIndex index = build_object_index(untrained_model(true), scenes(Split::heldout, 0), 0);
  EXPECT_TRUE(index.objects.empty());
  EXPECT_TRUE(rank(index, torch::ones({1}), 3).empty());
}

}  // namespace
}  // namespace osc::program
