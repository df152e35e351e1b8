#include "data/image.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <stdexcept>

#include "data/image_limits.hpp"
#include "data/jpeg.hpp"
#include "data/png.hpp"
#include "support/error.hpp"
#include "support/files.hpp"

namespace osc::program {
namespace {

template <typename Decode>
auto read_with(const std::filesystem::path& path, Decode decode) {
  const std::string bytes = read_file(path, kMaxImageFileBytes);
  try {
    return decode(bytes);
  } catch (const UserError& error) {
    throw UserError(path.string() + ": " + error.what());
  }
}

}  // namespace

void check_image_size(std::uint32_t width, std::uint32_t height) {
  if (width == 0 || height == 0) throw UserError("the image has no pixels");
  if (width > kMaxImageSide || height > kMaxImageSide ||
      std::int64_t{width} * height > kMaxImagePixels) {
    throw UserError("the image is too large: " + std::to_string(width) + " x " +
                    std::to_string(height) + " pixels, at most " + std::to_string(kMaxImageSide) +
                    " a side and " + std::to_string(kMaxImagePixels) + " in all are read");
  }
}

Image decode_image(std::string_view bytes) {
  if (bytes.empty()) throw UserError("the file is empty");
  if (is_png(bytes)) return decode_png_image(bytes);
  if (is_jpeg(bytes)) return decode_jpeg(bytes);
  throw UserError("is neither a PNG nor a JPEG image");
}

Mask decode_mask(std::string_view bytes) {
  if (bytes.empty()) throw UserError("the file is empty");
  if (is_png(bytes)) return decode_png_mask(bytes);
  throw UserError("is not a mask: wanted a PNG image");
}

Image read_image(const std::filesystem::path& path) { return read_with(path, decode_image); }

Mask read_mask(const std::filesystem::path& path) { return read_with(path, decode_mask); }

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
