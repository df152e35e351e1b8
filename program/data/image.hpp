// Images in memory, and PNG and JPEG files, which are decoded to 8-bit RGB or refused with a
// reason.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace osc::program {

// 8-bit RGB, rows from the top, `pixels[(y * width + x) * 3 + channel]`.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;
};

// One small number a pixel: 0 background, 1… objects in ground truth; slot indices in a
// segmentation.
struct Mask {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> values;
};

// Files that exceed one of these are refused before any memory is taken for their pixels.
inline constexpr int kMaxImageSide = 32768;
inline constexpr std::int64_t kMaxImagePixels = 100'000'000;
// The limit of interlaced PNG and progressive JPEG files, whose rows come only when all has been
// decoded. Decoding takes up to 8 bytes a pixel.
inline constexpr std::int64_t kMaxWholeImagePixels = 50'000'000;
inline constexpr std::uint64_t kMaxImageFileBytes = std::uint64_t{1} << 30;

// Decodes a PNG or JPEG file, told apart by its first bytes, not by its name. Grey becomes RGB, 16
// bits become 8, a palette is expanded, transparent pixels are blended onto black, CMYK JPEG
// becomes RGB. Colour profiles, gamma and EXIF orientation are ignored: pixels come as they are
// stored. Throws UserError "PATH: reason" for anything that is not a whole, valid image.
Image read_image(const std::filesystem::path& path);

// read_image of a file's bytes. Throws UserError "reason".
Image decode_image(std::string_view bytes);

// The indices of an 8-bit (or fewer) grey or palette PNG. Throws UserError "reason" for any other
// file.
Mask decode_mask(std::string_view bytes);

// A picture that was brought to another size.
template <typename Picture>
struct Resized {
  Picture picture;
  int file_width = 0, file_height = 0;
};

// The same as resize() of the above. The pixels are resized while they are decoded: beside the
// file's bytes and the result this takes memory for a few rows.
Resized<Image> read_image(const std::filesystem::path& path, int width, int height);
Resized<Mask> read_mask(const std::filesystem::path& path, int width, int height);
Resized<Image> decode_image(std::string_view bytes, int width, int height);
Resized<Mask> decode_mask(std::string_view bytes, int width, int height);

// Throw std::invalid_argument where the sides are not positive or do not fit the number of pixels.
std::string encode_png(const Image& image);
// 8-bit grey whose values are the mask's own.
std::string encode_png(const Mask& mask);

// For each axis on its own: averaged over the pixel's area when shrinking, bilinear when enlarging.
// Throw std::invalid_argument where a side, of the argument or of the result, is not positive.
Image resize(const Image& image, int width, int height);
// The nearest pixel's value; of two as near, the one to the right or below.
Mask resize(const Mask& mask, int width, int height);

// The colour of slot or object `index`. Colours of neighbouring numbers differ clearly.
struct Colour {
  std::uint8_t red = 0, green = 0, blue = 0;
};
Colour index_colour(int index);

}  // namespace osc::program
