// The tensors that the model sees: images, and random views of them.
#pragma once

#include <torch/torch.h>

#include <span>

#include "data/image_set.hpp"

namespace osc::program {

// float32 [n, 3, side, side] in 0…1 of the images at `indices`.
torch::Tensor image_tensor(const ImageSet& set, std::span<const std::int64_t> indices);
// image_tensor of images first … first + count - 1.
torch::Tensor image_tensor(const ImageSet& set, std::int64_t first, std::int64_t count);

// int64 [n, side, side] of images first … first + count - 1.
torch::Tensor mask_tensor(const ImageSet& set, std::int64_t first, std::int64_t count);

// The colours as the model sees them, (x - 0.3) / 0.3.
torch::Tensor normalise(const torch::Tensor& images);

// A generator of random numbers that depends on these numbers alone: a step of a resumed run draws
// the same numbers.
torch::Generator make_generator(std::uint64_t seed, std::uint64_t purpose, std::uint64_t step = 0);

struct ViewStrength {
  double crop_area = 1;      // a view keeps a random share crop_area … 1 of the image's area
  bool mirror = false;       // each view mirrored left to right with probability 1/2
  double gain = 0.25;        // each colour channel times 1 ± gain
  double brightness = 0.30;  // all channels times 1 ± brightness
  double contrast = 0.30;    // distance from the image's mean times 1 ± contrast
  double shift = 0.10;       // all channels plus ± shift
  double noise = 0.04;       // standard deviation of Gaussian noise a pixel
};

// The views of the recipe: weak (stage 1), strong (stage 2).
inline constexpr ViewStrength kWeakView{.crop_area = 0.85, .mirror = false};
inline constexpr ViewStrength kStrongView{.crop_area = 0.60, .mirror = true};

struct Views {
  torch::Tensor images;    // float32 [n, 3, H, H], about 0…1, not clamped
  torch::Tensor masks;     // int64 [n, H, H], in the same views; undefined where none were given
  torch::Tensor mirrored;  // bool [n]
};

// One random view of each image. images: [n, 3, H, H] in 0…1; masks: int64 [n, H, H] or undefined.
Views random_views(const torch::Tensor& images, const ViewStrength& strength,
                   torch::Generator generator, const torch::Tensor& masks = {});

}  // namespace osc::program
