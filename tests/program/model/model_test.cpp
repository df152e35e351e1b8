#include <gtest/gtest.h>
#include <torch/torch.h>

#include "model/model.hpp"
#include "model/object_embedding.hpp"
#include "model/targets.hpp"
#include "views/views.hpp"

namespace osc::program {
namespace {

TEST(Targets, TokensAreMeansOfTheirPixels) {
  const torch::Tensor images = torch::rand({2, 3, 8, 8});
  const Targets targets = token_targets(images);
  ASSERT_EQ(targets.colour.sizes(), torch::IntArrayRef({2, 16, 3}));
  const torch::Tensor expected =
      images[1].slice(1, 2, 4).slice(2, 6, 8).mean({1, 2});  // token row 1, column 3
  EXPECT_TRUE(torch::allclose(targets.colour[1][1 * 4 + 3], expected, 0, 1e-6));
}

TEST(Targets, PositionsOfTokensAndPixelsShareTheirUnits) {
  const torch::Tensor images = torch::rand({1, 3, 36, 36});
  const torch::Tensor tokens = token_targets(images).position;
  const torch::Tensor pixels = pixel_targets(images).position;
  EXPECT_NEAR(tokens[0][0].item<double>(), -3.3, 1e-5);   // (0/17 − 0.5) · 3.3 · 2
  EXPECT_NEAR(tokens[17][0].item<double>(), 3.3, 1e-5);   // x of the first row's last token
  EXPECT_NEAR(tokens[17][1].item<double>(), -3.3, 1e-5);  // y
  const torch::Tensor block =
      (pixels[0] + pixels[1] + pixels[36] + pixels[37]) / 4;  // the four pixels of token 0
  EXPECT_TRUE(torch::allclose(block, tokens[0], 0, 1e-4));
}

TEST(Targets, SaliencyIsTheDistanceFromTheMedianColour) {
  torch::Tensor images = torch::zeros({1, 3, 4, 4});
  images[0].select(1, 0).select(1, 0) = 0.5;  // one grey pixel on black
  const torch::Tensor saliency = pixel_targets(images).saliency;
  EXPECT_NEAR(saliency[0][0].item<double>(), (std::sqrt(0.75) - 0.3) / 0.7, 1e-5);
  EXPECT_EQ(saliency[0][5].item<double>(), 0);
}

TEST(Targets, ErrorIsTheWeightedSquaredDistance) {
  const Targets targets = token_targets(torch::randn({2, 3, 6, 6}));
  const torch::Tensor explanation = torch::randn({2, 3, 5});
  const torch::Tensor error = explanation_error(targets, explanation);
  for (int n = 0; n < 2; ++n) {
    for (int s = 0; s < 3; ++s) {
      for (int k = 0; k < 9; ++k) {
        double expected = 0;
        for (int c = 0; c < 3; ++c)
          expected += std::pow(
              explanation[n][s][c].item<double>() - targets.colour[n][k][c].item<double>(), 2);
        for (int c = 0; c < 2; ++c) {
          expected += targets.saliency[n][k].item<double>() *
                      std::pow(explanation[n][s][3 + c].item<double>() -
                                   targets.position[k][c].item<double>(),
                               2);
        }
        EXPECT_NEAR(error[n][s][k].item<double>(), expected, 1e-4 * (1 + expected));
      }
    }
  }
}

const SlotModelOptions kSmall{.image_size = 12, .slots = 3, .channels = 8, .iterations = 2};

TEST(SlotModel, AttentionIsShared) {
  torch::manual_seed(0);
  SlotModel model(kSmall);
  const Slots slots = model->forward(torch::randn({2, 3, 12, 12}), make_generator(0, 0), 5);
  EXPECT_EQ(slots.features.sizes(), torch::IntArrayRef({2, 5, 3, 8}));
  EXPECT_EQ(slots.attention.sizes(), torch::IntArrayRef({2, 5, 3, 36}));
  EXPECT_TRUE(torch::allclose(slots.attention.sum(2), torch::ones({2, 5, 36}), 0, 1e-5));
}

TEST(FoundObjects, EachPixelBelongsToOneSlot) {
  torch::manual_seed(0);
  SlotModel model(kSmall);
  for (const MaskReading reading : {MaskReading::explanation, MaskReading::attention}) {
    const FoundObjects found =
        find_objects(model, torch::randn({4, 3, 12, 12}), make_generator(0, 0), reading);
    EXPECT_EQ(found.features.sizes(), torch::IntArrayRef({4, 3, 8}));
    EXPECT_TRUE(torch::equal(found.masks.sum(1), torch::ones({4, 144})));
    EXPECT_TRUE(torch::equal(found.masks.argmax(1), found.slot.view({4, 144})));
  }
}

TEST(FoundObjects, MoreStartsExplainNoWorse) {
  torch::manual_seed(0);
  SlotModel model(kSmall);
  const torch::Tensor images = torch::randn({1, 3, 12, 12});
  const auto error_of = [&](int starts) {
    const FoundObjects found =
        find_objects(model, images, make_generator(5, 0), MaskReading::explanation, starts);
    const torch::NoGradGuard no_grad;
    const torch::Tensor error =
        explanation_error(pixel_targets(images), model->explain(found.features));
    return std::get<0>(error.min(1)).mean().item<double>();
  };
  EXPECT_LE(error_of(8), error_of(1) + 1e-6);
}

TEST(ObjectCrops, AreCentredOnTheObject) {
  // A 4×4 square, wherever it is, lies in the middle of its crop.
  torch::Tensor masks = torch::zeros({1, 2, 36, 36});
  masks[0][0].slice(0, 3, 7).slice(1, 10, 14).fill_(1);
  masks[0][1].slice(0, 20, 24).slice(1, 27, 31).fill_(1);
  const torch::Tensor images = masks.sum(1, true).expand({1, 3, 36, 36}).contiguous();
  const ObjectCrops crops = object_crops(images, masks.view({1, 2, 36 * 36}));
  EXPECT_TRUE(torch::allclose(crops.crops[0], crops.crops[1], 0, 1e-3));
  EXPECT_TRUE(torch::allclose(crops.crops[0], crops.crops[0].flip({1, 2}), 0, 1e-3));
  EXPECT_NEAR(crops.centroids[0][0][0].item<double>(), 12.0 / 36 * 2 - 1, 1e-3);
  EXPECT_NEAR(crops.centroids[0][0][1].item<double>(), 5.0 / 36 * 2 - 1, 1e-3);
}

TEST(ObjectCrops, UndoAKnownMirroring) {
  torch::manual_seed(1);
  torch::Tensor masks = torch::zeros({1, 1, 36, 36});
  masks[0][0].slice(0, 8, 20).slice(1, 12, 17).fill_(1);
  masks[0][0].slice(0, 15, 20).slice(1, 12, 27).fill_(1);  // an L
  const torch::Tensor images = torch::rand({1, 3, 36, 36});
  const torch::Tensor plain = object_crops(images, masks.flatten(2)).crops;
  const torch::Tensor undone =
      object_crops(images.flip(3), masks.flip(3).flatten(2), torch::tensor({true})).crops;
  EXPECT_TRUE(torch::allclose(plain, undone, 0, 1e-3));
  EXPECT_FALSE(torch::allclose(plain, object_crops(images.flip(3), masks.flip(3).flatten(2)).crops,
                               0, 1e-1));
}

TEST(ObjectEmbedding, TheCategoryDoesNotDependOnThePlace) {
  torch::manual_seed(0);
  ObjectEmbedding embedding;
  torch::Tensor masks = torch::zeros({2, 1, 36, 36});
  masks[0][0].slice(0, 8, 14).slice(1, 12, 18).fill_(1);
  masks[1][0].slice(0, 16, 22).slice(1, 15, 21).fill_(1);
  const torch::Tensor images = masks.expand({2, 3, 36, 36}).contiguous();
  const Embedding embedded = embedding->forward(images, masks.flatten(2));
  EXPECT_TRUE(torch::allclose(embedded.category[0], embedded.category[1], 1e-3, 1e-3));
  EXPECT_FALSE(torch::allclose(embedded.instance[0], embedded.instance[1], 1e-3, 1e-3));
  EXPECT_TRUE(torch::allclose(embedded.joined().norm(2, -1), torch::ones({2, 1}), 0, 1e-5));
}

}  // namespace
}  // namespace osc::program
