#include <gtest/gtest.h>
#include <torch/torch.h>

#include "views/views.hpp"

namespace osc::program {
namespace {

constexpr ViewStrength kNothing{.crop_area = 1,
                                .mirror = false,
                                .gain = 0,
                                .brightness = 0,
                                .contrast = 0,
                                .shift = 0,
                                .noise = 0};

TEST(Views, NoStrengthIsTheImageItself) {
  const torch::Tensor images = torch::rand({3, 3, 8, 8});
  const Views views = random_views(images, kNothing, make_generator(1, 1));
  EXPECT_TRUE(torch::allclose(views.images, images, 0, 1e-5));
  EXPECT_FALSE(views.mirrored.any().item<bool>());
}

TEST(Views, AMirroredViewIsTheImageFlipped) {
  ViewStrength strength = kNothing;
  strength.mirror = true;
  const torch::Tensor images = torch::rand({64, 3, 8, 8});
  const Views views = random_views(images, strength, make_generator(1, 1));
  const std::int64_t mirrored = views.mirrored.sum().item<std::int64_t>();
  EXPECT_GT(mirrored, 15);
  EXPECT_LT(mirrored, 49);
  const torch::Tensor expected =
      torch::where(views.mirrored.view({-1, 1, 1, 1}), images.flip(3), images);
  EXPECT_TRUE(torch::allclose(views.images, expected, 0, 1e-5));
}

TEST(Views, MasksAreCroppedAsTheImagesAre) {
  // Each image is its own mask, so a view's mask must agree with its image wherever no two regions
  // are blended.
  const torch::Tensor masks = torch::randint(0, 4, {16, 9, 9}, torch::kInt64)
                                  .repeat_interleave(4, 1)
                                  .repeat_interleave(4, 2);
  const torch::Tensor images =
      masks.unsqueeze(1).to(torch::kFloat32).expand({16, 3, 36, 36}).contiguous();
  ViewStrength strength = kNothing;
  strength.crop_area = 0.5;
  strength.mirror = true;
  const Views views = random_views(images, strength, make_generator(2, 1), masks);
  const torch::Tensor disagreement =
      (views.images.select(1, 0) - views.masks.to(torch::kFloat32)).abs();
  EXPECT_LT((disagreement > 0.01).to(torch::kFloat32).mean().item<float>(), 0.45f);  // seams
  EXPECT_LE(disagreement.max().item<float>(), 3.0f);
  EXPECT_LT((disagreement > 0.5 * 3).to(torch::kFloat32).mean().item<float>(), 0.05f);
}

TEST(Views, DependOnTheGeneratorAlone) {
  const torch::Tensor images = torch::rand({4, 3, 12, 12});
  const torch::Tensor a = random_views(images, kStrongView, make_generator(7, 1, 3)).images;
  torch::rand({5});
  EXPECT_TRUE(torch::equal(a, random_views(images, kStrongView, make_generator(7, 1, 3)).images));
  EXPECT_FALSE(torch::equal(a, random_views(images, kStrongView, make_generator(7, 1, 4)).images));
  EXPECT_FALSE(torch::equal(a, random_views(images, kStrongView, make_generator(7, 2, 3)).images));
  EXPECT_FALSE(torch::equal(a, random_views(images, kStrongView, make_generator(8, 1, 3)).images));
}

TEST(Tensors, HoldThePixelsInTheirPlaces) {
  ImageSet set;
  set.side = 2;
  set.names = {"a", "b"};
  for (int k = 0; k < 24; ++k) set.pixels.push_back(static_cast<std::uint8_t>(10 * k));
  const torch::Tensor images = image_tensor(set, 0, 2);
  ASSERT_EQ(images.sizes(), torch::IntArrayRef({2, 3, 2, 2}));
  EXPECT_FLOAT_EQ((images[1][2][0][1].item<float>()),
                  170.0f / 255);  // image b, blue, first row, second column
  const std::int64_t order[] = {1, 0};
  EXPECT_TRUE(torch::equal(image_tensor(set, order), images.flip(0)));
}

}  // namespace
}  // namespace osc::program
