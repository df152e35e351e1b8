// From images in memory to the tensors that the model sees.
#pragma once

#include <torch/torch.h>

#include <span>

#include "data/image_set.hpp"

namespace osc::program {

// float32 [n, 3, side, side] in 0…1 of the images at `indices`.
torch::Tensor image_tensor(const ImageSet& set, std::span<const std::int64_t> indices);
// The same of images first … first + count - 1.
torch::Tensor image_tensor(const ImageSet& set, std::int64_t first, std::int64_t count);
torch::Tensor image_tensor(const Image& image);

// int64 [n, side, side] of images first … first + count - 1.
torch::Tensor mask_tensor(const ImageSet& set, std::int64_t first, std::int64_t count);

// The colours as the model sees them, (x - 0.3) / 0.3.
torch::Tensor normalise(const torch::Tensor& images);

// A generator of random numbers that depends on nothing but these numbers: what a step draws is the
// same whether or not a run was interrupted before it.
torch::Generator make_generator(std::uint64_t seed, std::uint64_t purpose, std::uint64_t step = 0);

}  // namespace osc::program
