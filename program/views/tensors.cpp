#include "views/tensors.hpp"

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

std::uint64_t mix(
    std::uint64_t x) {  // splitmix64's finaliser: every input bit reaches every output bit
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

torch::Tensor image_tensor(const Image& image) {
  torch::Tensor bytes = torch::empty({1, image.height, image.width, 3}, torch::kUInt8);
  std::copy(image.pixels.begin(), image.pixels.end(), bytes.data_ptr<std::uint8_t>());
  return from_bytes(bytes);
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

}  // namespace osc::program
