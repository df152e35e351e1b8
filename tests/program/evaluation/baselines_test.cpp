#include <gtest/gtest.h>

#include "evaluation/baselines.hpp"
#include "evaluation/readings.hpp"
#include "evaluation/segmentation_scores.hpp"
#include "fixtures.hpp"
#include "views/views.hpp"

namespace osc::program {
namespace {

// Images with their truth: rectangles painted over a black background.
struct Canvas {
  torch::Tensor images;  // [n, 3, side, side] in 0…1
  torch::Tensor truth;   // int64 [n, side, side]

  explicit Canvas(std::int64_t n)
      : images(torch::zeros({n, 3, kSide, kSide})),
        truth(torch::zeros({n, kSide, kSide}, torch::kInt64)) {}

  void paint(std::int64_t image, std::int64_t label, std::int64_t x, std::int64_t y,
             std::int64_t width, std::int64_t height, std::vector<float> colour) {
    using torch::indexing::Slice;
    truth.index_put_({image, Slice(y, y + height), Slice(x, x + width)}, label);
    images.index_put_({image, Slice(), Slice(y, y + height), Slice(x, x + width)},
                      torch::tensor(colour).view({3, 1, 1}));
  }

  SegmentationScores score(const torch::Tensor& predicted) const {
    std::vector<std::uint8_t> true_bytes, predicted_bytes;
    append_slots(true_bytes, truth);
    append_slots(predicted_bytes, predicted);
    return mean_segmentation_scores(true_bytes, predicted_bytes, truth.size(0));
  }
};

Canvas three_colours() {
  Canvas canvas(2);
  canvas.paint(0, 1, 2, 2, 8, 8, {1, 0, 0});
  canvas.paint(0, 2, 20, 4, 10, 6, {0, 1, 0});
  canvas.paint(0, 3, 8, 22, 12, 10, {0, 0, 1});
  canvas.paint(1, 1, 20, 20, 8, 8, {1, 1, 0});
  canvas.paint(1, 2, 4, 4, 8, 10, {0, 1, 1});
  canvas.paint(1, 3, 22, 2, 10, 8, {1, 0, 1});
  return canvas;
}

TEST(KmeansMasks, ThreeColoursOnBlackArePerfect) {
  const Canvas canvas = three_colours();
  for (const auto& masks : {kmeans_colour_masks(normalise(canvas.images), 4),
                            kmeans_seeded_masks(normalise(canvas.images), 4)}) {
    const SegmentationScores scores = canvas.score(masks);
    EXPECT_DOUBLE_EQ(scores.fg_ari, 1);
    EXPECT_DOUBLE_EQ(scores.ari, 1);
    EXPECT_DOUBLE_EQ(scores.miou, 1);
  }
}

TEST(KmeansMasks, ColourAloneCannotTellEqualColoursApartPositionCan) {
  Canvas canvas(1);
  canvas.paint(0, 1, 2, 2, 8, 8, {1, 0, 0});
  canvas.paint(0, 2, 24, 2, 8, 8, {1, 0, 0});
  canvas.paint(0, 3, 12, 24, 8, 8, {1, 0, 0});
  EXPECT_LT(canvas.score(kmeans_colour_masks(normalise(canvas.images), 4)).fg_ari, 0.1);
  EXPECT_DOUBLE_EQ(canvas.score(kmeans_seeded_masks(normalise(canvas.images), 4)).miou, 1);
}

TEST(KmeansMasks, AnImageDoesNotDependOnItsBatch) {
  const torch::Tensor images = normalise(three_colours().images);
  for (auto* masks : {&kmeans_colour_masks, &kmeans_seeded_masks}) {
    EXPECT_TRUE(torch::equal(masks(images, 4)[1], masks(images.narrow(0, 1, 1), 4)[0]));
    EXPECT_TRUE(torch::equal(masks(images, 4), masks(images, 4)));
  }
}

TEST(KmeansMasks, FewerColoursThanClustersAndPlainImages) {
  Canvas canvas(2);
  canvas.paint(0, 1, 4, 4, 10, 10, {0, 1, 0});  // the second image stays black
  const torch::Tensor masks = kmeans_colour_masks(normalise(canvas.images), 6);
  EXPECT_EQ(std::get<0>(at::_unique(masks[0])).numel(), 2);
  EXPECT_EQ(std::get<0>(at::_unique(masks[1])).numel(), 1);
  EXPECT_GE(kmeans_seeded_masks(normalise(canvas.images), 6).min().item<std::int64_t>(), 0);
}

TEST(KmeansMasks, SeededReachesTheRecipesFigureOnScenes) {
  const ImageSet set = scenes(Split::heldout, 60);
  std::vector<std::uint8_t> slots;
  append_slots(slots, kmeans_seeded_masks(normalise(image_tensor(set, 0, set.size())), 4));
  const SegmentationScores scores = mean_segmentation_scores(set.masks, slots, set.size());
  EXPECT_GT(scores.fg_ari, 0.93);
  EXPECT_GT(scores.miou, 0.93);
}

constexpr int kMask = kTemplateSide * kTemplateSide;

// One image with regions of slot 1 over slot 0.
struct Painting {
  int side;
  torch::Tensor image, slots;
  explicit Painting(int side_)
      : side(side_),
        image(torch::zeros({1, 3, side_, side_})),
        slots(torch::zeros({side_, side_}, torch::kInt64)) {}

  // An L of three cells, `cell` pixels each, its corner at (x, y).
  Painting& l_shape(int x, int y, int cell, std::vector<float> colour = {1, 1, 1}) {
    for (const auto& [column, row] : {std::pair{0, 0}, {0, 1}, {1, 1}}) {
      const int top = y + row * cell, left = x + column * cell;
      slots.slice(0, top, top + cell).slice(1, left, left + cell).fill_(1);
      image[0].slice(1, top, top + cell).slice(2, left, left + cell) =
          torch::tensor(colour).view({3, 1, 1});
    }
    return *this;
  }
  torch::Tensor described(double position_weight = 0, int slot = 1) const {
    const torch::Tensor masks =
        torch::one_hot(slots.view({1, -1}), 3).transpose(1, 2).to(torch::kFloat32);
    return hand_templates(image, masks, position_weight)[0][slot];
  }
};

TEST(HandTemplate, SameWhereverTheObjectIs) {
  const torch::Tensor here = Painting(kSide).l_shape(3, 4, 5).described();
  EXPECT_TRUE(torch::allclose(here, Painting(kSide).l_shape(20, 15, 5).described(), 0, 1e-6));
  EXPECT_TRUE(torch::allclose(here, Painting(kSide).l_shape(26, 26, 5).described(), 0, 1e-6));
  const torch::Tensor large = Painting(2 * kSide).l_shape(12, 12, 10).described();
  EXPECT_GT((here * large).slice(0, 0, kMask).sum().item<double>(), 0.9);
}

TEST(HandTemplate, HasAMaskOfNormOneTheMeanColourAndThePosition) {
  const torch::Tensor numbers = Painting(kSide).l_shape(3, 4, 5, {1, 0.5, 0.25}).described();
  ASSERT_EQ(numbers.numel(), kTemplateSize);
  EXPECT_NEAR(numbers.slice(0, 0, kMask).norm().item<double>(), 1, 1e-5);
  EXPECT_TRUE(torch::allclose(numbers.slice(0, kMask),
                              torch::tensor({1.0, 0.5, 0.25, 0.0, 0.0}).to(torch::kFloat32)));
  Painting one(kSide);
  one.slots[7][9] = 1;
  const torch::Tensor pixel = one.described(3);
  EXPECT_FLOAT_EQ(pixel[kTemplateSide / 2 * kTemplateSide + kTemplateSide / 2].item<float>(), 1);
  EXPECT_FLOAT_EQ(pixel[kMask + 3].item<float>(), 3.0F * 7 / kSide);
  EXPECT_FLOAT_EQ(pixel[kMask + 4].item<float>(), 3.0F * 9 / kSide);
}

TEST(HandTemplate, EmptyRegionIsZero) {
  EXPECT_EQ(Painting(kSide).l_shape(3, 4, 5).described(3, 2).abs().sum().item<float>(), 0);
}

}  // namespace
}  // namespace osc::program
