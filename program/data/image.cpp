#include "data/image.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <memory>
#include <stdexcept>

#include "data/decoders.hpp"
#include "support/error.hpp"
#include "support/files.hpp"

namespace osc::program {
namespace {

template <typename Decode>
auto read_with(const std::filesystem::path& path, Decode decode) {
  const std::string bytes = read_file(path, kMaxImageFileBytes);
  return with_prefix(path.string() + ": ", [&] { return decode(bytes); });
}

std::unique_ptr<Rows> image_rows(std::string_view bytes) {
  if (bytes.empty()) throw UserError("the file is empty");
  if (is_png(bytes)) return png_image_rows(bytes);
  if (is_jpeg(bytes)) return jpeg_rows(bytes);
  throw UserError("is neither a PNG nor a JPEG image");
}

std::unique_ptr<Rows> mask_rows(std::string_view bytes) {
  if (bytes.empty()) throw UserError("the file is empty");
  if (is_png(bytes)) return png_mask_rows(bytes);
  throw UserError("is not a mask: wanted a PNG image");
}

std::vector<std::uint8_t> all_rows(Rows& rows, std::size_t channels) {
  const std::size_t stride = static_cast<std::size_t>(rows.width()) * channels;
  std::vector<std::uint8_t> bytes(stride * static_cast<std::size_t>(rows.height()));
  for (int y = 0; y < rows.height(); ++y)
    rows.read(bytes.data() + static_cast<std::size_t>(y) * stride);
  return bytes;
}

}  // namespace

void check_image_size(std::uint32_t width, std::uint32_t height, const char* whole) {
  if (width == 0 || height == 0) throw UserError("the image has no pixels");
  const std::int64_t pixels = std::int64_t{width} * height;
  std::string wanted;
  if (width > kMaxImageSide || height > kMaxImageSide || pixels > kMaxImagePixels) {
    wanted = std::to_string(kMaxImageSide) + " a side and " + std::to_string(kMaxImagePixels) +
             " in all";
  } else if (whole != nullptr && pixels > kMaxWholeImagePixels) {
    wanted = std::to_string(kMaxWholeImagePixels) + " of " + whole;
  }
  if (!wanted.empty())
    throw UserError("the image is too large: " + std::to_string(width) + " x " +
                    std::to_string(height) + " pixels, wanted at most " + wanted);
}

Image decode_image(std::string_view bytes) {
  const auto rows = image_rows(bytes);
  Image image{rows->width(), rows->height(), {}};
  image.pixels = all_rows(*rows, 3);
  return image;
}

Mask decode_mask(std::string_view bytes) {
  const auto rows = mask_rows(bytes);
  Mask mask{rows->width(), rows->height(), {}};
  mask.values = all_rows(*rows, 1);
  return mask;
}

Resized<Image> decode_image(std::string_view bytes, int width, int height) {
  const auto rows = image_rows(bytes);
  return {resize_image(*rows, width, height), rows->width(), rows->height()};
}

Resized<Mask> decode_mask(std::string_view bytes, int width, int height) {
  const auto rows = mask_rows(bytes);
  return {resize_mask(*rows, width, height), rows->width(), rows->height()};
}

Image read_image(const std::filesystem::path& path) {
  return read_with(path, [](std::string_view bytes) { return decode_image(bytes); });
}

Resized<Image> read_image(const std::filesystem::path& path, int width, int height) {
  return read_with(path,
                   [=](std::string_view bytes) { return decode_image(bytes, width, height); });
}

Resized<Mask> read_mask(const std::filesystem::path& path, int width, int height) {
  return read_with(path, [=](std::string_view bytes) { return decode_mask(bytes, width, height); });
}

Colour index_colour(int index) {
  // Steps of the golden ratio around the circle of hues keep any few successive numbers apart;
  // three levels of lightness tell apart those that come near.
  constexpr double kGoldenRatio = 0.6180339887498949;
  constexpr std::array<double, 3> kBrightness = {1.0, 0.62, 0.85};
  constexpr std::array<double, 3> kPaleness = {0.12, 0.0, 0.45};
  const double position = index * kGoldenRatio;
  const double hue = (position - std::floor(position)) * 6;
  const auto level = static_cast<std::size_t>((index % 3 + 3) % 3);
  const auto channel = [&](double centre) {
    const double distance =
        std::min(std::abs(hue - centre), 6 - std::abs(hue - centre));  // along the circle, 0 … 3
    const double pure = std::clamp(2 - distance, 0.0, 1.0);
    return static_cast<std::uint8_t>(
        std::lround(255 * kBrightness[level] * (kPaleness[level] + (1 - kPaleness[level]) * pure)));
  };
  return {channel(0), channel(2), channel(4)};
}

}  // namespace osc::program
