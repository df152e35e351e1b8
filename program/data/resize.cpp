#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "data/decoders.hpp"

namespace osc::program {
namespace {

// The weights of source pixels, from `first` on, in one pixel of the result along an axis. Their
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

// The latest two rows of a picture.
class RowWindow {
 public:
  RowWindow(Rows& rows, std::size_t channels)
      : rows_(rows), stride_(static_cast<std::size_t>(rows.width()) * channels) {
    for (std::vector<std::uint8_t>& row : kept_) row.resize(stride_);
  }

  const std::uint8_t* at(std::size_t y) {
    for (; next_ <= y; ++next_) rows_.read(kept_[next_ % 2].data());
    return kept_[y % 2].data();
  }

  void read_to_the_end() { at(static_cast<std::size_t>(rows_.height()) - 1); }

 private:
  Rows& rows_;
  std::size_t stride_;
  std::size_t next_ = 0;
  std::vector<std::uint8_t> kept_[2];
};

// A picture in memory, row by row.
class MemoryRows : public Rows {
 public:
  MemoryRows(int width, int height, const std::vector<std::uint8_t>& bytes, std::size_t channels)
      : width_(width),
        height_(height),
        stride_(static_cast<std::size_t>(width) * channels),
        next_(bytes.data()) {
    if (width <= 0 || height <= 0 || stride_ * static_cast<std::size_t>(height) != bytes.size())
      throw std::invalid_argument("resize: the sides do not fit the number of pixels");
  }

  int width() const override { return width_; }
  int height() const override { return height_; }
  void read(std::uint8_t* row) override {
    std::copy_n(next_, stride_, row);
    next_ += stride_;
  }

 private:
  int width_, height_;
  std::size_t stride_;
  const std::uint8_t* next_;
};

std::vector<std::uint8_t> make_result(int width, int height, std::size_t channels) {
  if (width <= 0 || height <= 0)
    throw std::invalid_argument("resize: the new sides must be positive");
  return std::vector<std::uint8_t>(static_cast<std::size_t>(width) *
                                   static_cast<std::size_t>(height) * channels);
}

}  // namespace

Image resize_image(Rows& rows, int width, int height) {
  Image result{width, height, make_result(width, height, 3)};
  const std::vector<Taps> columns = make_taps(rows.width(), width);
  // First down, then across: besides the window, one row of floats is all the memory this takes.
  RowWindow window(rows, 3);
  std::vector<float> row(static_cast<std::size_t>(rows.width()) * 3);
  auto out = result.pixels.begin();
  for (const Taps& down : make_taps(rows.height(), height)) {
    std::ranges::fill(row, 0.0F);
    for (std::size_t j = 0; j < down.weights.size(); ++j) {
      const std::uint8_t* source = window.at(down.first + j);
      for (std::size_t i = 0; i < row.size(); ++i)
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
  window.read_to_the_end();
  return result;
}

Mask resize_mask(Rows& rows, int width, int height) {
  Mask result{width, height, make_result(width, height, 1)};
  // The source pixel that contains the centre of the result's.
  const auto source = [](int i, int from, int to) {
    return static_cast<std::size_t>((2 * std::int64_t{i} + 1) * from / (2 * std::int64_t{to}));
  };
  RowWindow window(rows, 1);
  auto out = result.values.begin();
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* row = window.at(source(y, rows.height(), height));
    for (int x = 0; x < width; ++x) *out++ = row[source(x, rows.width(), width)];
  }
  window.read_to_the_end();
  return result;
}

Image resize(const Image& image, int width, int height) {
  MemoryRows rows(image.width, image.height, image.pixels, 3);
  return resize_image(rows, width, height);
}

Mask resize(const Mask& mask, int width, int height) {
  MemoryRows rows(mask.width, mask.height, mask.values, 1);
  return resize_mask(rows, width, height);
}

}  // namespace osc::program
