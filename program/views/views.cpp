#include "views/views.hpp"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <numeric>

namespace osc::program {
namespace {

torch::Tensor from_bytes(const torch::Tensor& bytes_nhwc) {
  return bytes_nhwc.permute({0, 3, 1, 2})
      .to(torch::kFloat32, false, false, torch::MemoryFormat::Contiguous)
      .div_(255);
}

// The finaliser of splitmix64: every input bit reaches every output bit.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

torch::Tensor image_tensor(const ImageSet& set, std::span<const std::int64_t> indices) {
  const std::int64_t image_bytes = std::int64_t{3} * set.side * set.side;
  torch::Tensor bytes = torch::empty(
      {static_cast<std::int64_t>(indices.size()), set.side, set.side, 3}, torch::kUInt8);
  std::uint8_t* out = bytes.data_ptr<std::uint8_t>();
  for (std::int64_t index : indices)
    out = std::copy_n(set.pixels.data() + index * image_bytes, image_bytes, out);
  return from_bytes(bytes);
}

torch::Tensor image_tensor(const ImageSet& set, std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), first);
  return image_tensor(set, indices);
}

torch::Tensor mask_tensor(const ImageSet& set, std::int64_t first, std::int64_t count) {
  const std::int64_t pixels = std::int64_t{set.side} * set.side;
  torch::Tensor bytes = torch::empty({count, set.side, set.side}, torch::kUInt8);
  std::copy_n(set.masks.data() + first * pixels, count * pixels, bytes.data_ptr<std::uint8_t>());
  return bytes.to(torch::kInt64);
}

torch::Tensor normalise(const torch::Tensor& images) { return (images - 0.3) / 0.3; }

torch::Generator make_generator(std::uint64_t seed, std::uint64_t purpose, std::uint64_t step) {
  return at::make_generator<at::CPUGeneratorImpl>(mix(mix(mix(seed) + purpose) + step));
}

namespace F = torch::nn::functional;

Views random_views(const torch::Tensor& images, const ViewStrength& strength,
                   torch::Generator generator, const torch::Tensor& masks) {
  const torch::NoGradGuard no_grad;
  const std::int64_t n = images.size(0);
  const auto uniform = [&](at::IntArrayRef shape) {
    return torch::rand(shape, generator, images.options());
  };  // 0…1
  const auto symmetric = [&](at::IntArrayRef shape) {
    return uniform(shape).mul_(2).sub_(1);
  };  // −1…1

  Views views;
  const torch::Tensor scale =
      (strength.crop_area + (1 - strength.crop_area) * uniform({n})).sqrt_();
  views.mirrored = uniform({n}) < (strength.mirror ? 0.5 : 0.0);
  torch::Tensor crop = torch::zeros({n, 2, 3}, images.options());
  crop.select(1, 0).select(1, 0).copy_(torch::where(views.mirrored, -scale, scale));
  crop.select(1, 1).select(1, 1).copy_(scale);
  crop.select(2, 2).copy_(symmetric({n, 2}) * (1 - scale).unsqueeze(1));
  const torch::Tensor grid = F::affine_grid(crop, images.sizes(), /*align_corners=*/false);
  const auto sampling = F::GridSampleFuncOptions().padding_mode(torch::kZeros).align_corners(false);
  torch::Tensor y =
      F::grid_sample(images, grid, F::GridSampleFuncOptions(sampling).mode(torch::kBilinear));
  if (masks.defined()) {
    const torch::Tensor sampled =
        F::grid_sample(masks.unsqueeze(1).to(images.dtype()), grid,
                       F::GridSampleFuncOptions(sampling).mode(torch::kNearest));
    views.masks = sampled.squeeze(1).round().to(torch::kInt64);
  }

  const torch::Tensor gain = (1 + symmetric({n, 3, 1, 1}) * strength.gain) *
                             (1 + symmetric({n, 1, 1, 1}) * strength.brightness);
  const torch::Tensor contrast = 1 + symmetric({n, 1, 1, 1}) * strength.contrast;
  const torch::Tensor mean = y.mean({1, 2, 3}, /*keepdim=*/true);
  y.sub_(mean).mul_(contrast).add_(mean).mul_(gain).add_(symmetric({n, 1, 1, 1}) * strength.shift);
  y.add_(torch::randn(y.sizes(), generator, y.options()), strength.noise);
  views.images = y;
  return views;
}

}  // namespace osc::program
