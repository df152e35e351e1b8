#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "data/image.hpp"

namespace osc::program {
namespace {

// What one pixel of the result takes along an axis: `weights` of the pixels from `first` on; their
// sum is 1.
struct Taps {
  std::size_t first = 0;
  std::vector<float> weights;
};

// The result's pixel i covers [i * from, (i + 1) * from) in units in which the source's pixel j
// covers [j * to, (j + 1) * to): whole numbers, no rounding.
Taps area_taps(std::int64_t i, std::int64_t from, std::int64_t to) {
  Taps taps;
  const std::int64_t begin = i * from, end = begin + from;
  taps.first = static_cast<std::size_t>(begin / to);
  for (std::int64_t j = begin / to; j * to < end; ++j) {
    const std::int64_t overlap = std::min(end, (j + 1) * to) - std::max(begin, j * to);
    taps.weights.push_back(
        static_cast<float>(static_cast<double>(overlap) / static_cast<double>(from)));
  }
  return taps;
}

// Between the two pixels whose centres are next to that of the result's pixel i; at the edges, the
// outermost pixel.
Taps bilinear_taps(std::int64_t i, std::int64_t from, std::int64_t to) {
  const double centre =
      (static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5;
  const double position = std::clamp(centre, 0.0, static_cast<double>(from - 1));
  const double before = std::floor(position);
  const auto share = static_cast<float>(position - before);
  Taps taps{static_cast<std::size_t>(before), {1 - share}};
  if (share > 0) taps.weights.push_back(share);
  return taps;
}

std::vector<Taps> make_taps(int from, int to) {
  std::vector<Taps> taps(static_cast<std::size_t>(to));
  for (int i = 0; i < to; ++i)
    taps[static_cast<std::size_t>(i)] =
        to < from ? area_taps(i, from, to) : bilinear_taps(i, from, to);
  return taps;
}

void check_resize(int width, int height, std::size_t size, std::size_t channels, int new_width,
                  int new_height) {
  if (width <= 0 || height <= 0 ||
      static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * channels != size) {
    throw std::invalid_argument("resize: the sides do not fit the number of pixels");
  }
  if (new_width <= 0 || new_height <= 0)
    throw std::invalid_argument("resize: the new sides must be positive");
}

}  // namespace

Image resize(const Image& image, int width, int height) {
  check_resize(image.width, image.height, image.pixels.size(), 3, width, height);
  if (width == image.width && height == image.height) return image;
  Image result{width, height,
               std::vector<std::uint8_t>(static_cast<std::size_t>(width) *
                                         static_cast<std::size_t>(height) * 3)};
  const std::vector<Taps> columns = make_taps(image.width, width);
  const std::size_t stride = static_cast<std::size_t>(image.width) * 3;
  // First down, then across: one row of floats is all the memory this takes.
  std::vector<float> row(stride);
  auto out = result.pixels.begin();
  for (const Taps& down : make_taps(image.height, height)) {
    std::ranges::fill(row, 0.0F);
    for (std::size_t j = 0; j < down.weights.size(); ++j) {
      const std::uint8_t* source = image.pixels.data() + (down.first + j) * stride;
      for (std::size_t i = 0; i < stride; ++i)
        row[i] += down.weights[j] * static_cast<float>(source[i]);
    }
    for (const Taps& across : columns) {
      for (std::size_t channel = 0; channel < 3; ++channel) {
        float sum = 0;
        for (std::size_t j = 0; j < across.weights.size(); ++j)
          sum += across.weights[j] * row[(across.first + j) * 3 + channel];
        *out++ = static_cast<std::uint8_t>(std::clamp(std::lround(sum), 0L, 255L));
      }
    }
  }
  return result;
}

Mask resize(const Mask& mask, int width, int height) {
  check_resize(mask.width, mask.height, mask.values.size(), 1, width, height);
  Mask result{width, height,
              std::vector<std::uint8_t>(static_cast<std::size_t>(width) *
                                        static_cast<std::size_t>(height))};
  // The source pixel that contains the centre of the result's.
  const auto source = [](int i, int from, int to) {
    return static_cast<std::size_t>((2 * std::int64_t{i} + 1) * from / (2 * std::int64_t{to}));
  };
  auto out = result.values.begin();
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* row =
        mask.values.data() + source(y, mask.height, height) * static_cast<std::size_t>(mask.width);
    for (int x = 0; x < width; ++x) *out++ = row[source(x, mask.width, width)];
  }
  return result;
}

}  // namespace osc::program
