#include <gtest/gtest.h>
#include <png.h>
#include <zlib.h>

#include <array>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "data/image.hpp"
#include "data/sources.hpp"
#include "peak_memory.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

using Bytes = std::vector<std::uint8_t>;

// A PNG of any kind, written by libpng itself.
struct PngFile {
  png_uint_32 width, height;
  int depth, type;
  Bytes rows;  // as they lie in the file: packed bits, 16 bits with the high byte first
  int interlace = PNG_INTERLACE_NONE;
  std::vector<png_color> palette = {};
  Bytes palette_alpha = {};
  std::vector<png_color_16> transparent = {};  // at most one: the colour that is transparent

  std::string encode() const {
    std::string bytes;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
    png_infop info = png_create_info_struct(png);
    const auto append = [](png_structp p, png_bytep from, std::size_t count) {
      static_cast<std::string*>(png_get_io_ptr(p))->append(reinterpret_cast<char*>(from), count);
    };
    png_set_write_fn(png, &bytes, append, [](png_structp) {});
    png_set_IHDR(png, info, width, height, depth, type, interlace, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (!palette.empty()) png_set_PLTE(png, info, palette.data(), static_cast<int>(palette.size()));
    if (!palette_alpha.empty())
      png_set_tRNS(png, info, palette_alpha.data(), static_cast<int>(palette_alpha.size()),
                   nullptr);
    if (!transparent.empty()) png_set_tRNS(png, info, nullptr, 0, &transparent[0]);
    png_write_info(png, info);
    Bytes copy = rows;
    std::vector<png_bytep> starts(height);
    for (std::size_t y = 0; y < height; ++y) starts[y] = copy.data() + y * (copy.size() / height);
    png_write_image(png, starts.data());
    png_write_end(png, nullptr);
    png_destroy_write_struct(&png, &info);
    return bytes;
  }
};

Bytes decoded(const PngFile& file) {
  const Image image = decode_image(file.encode());
  EXPECT_EQ(image.width, static_cast<int>(file.width));
  EXPECT_EQ(image.height, static_cast<int>(file.height));
  return image.pixels;
}

std::string big_endian(std::uint32_t number) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(number >> shift & 255);
  return bytes;
}

std::uint32_t checksum(std::string_view bytes) {
  return static_cast<std::uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

std::string chunk(const std::string& name_and_data) {
  return big_endian(static_cast<std::uint32_t>(name_and_data.size() - 4)) + name_and_data +
         big_endian(checksum(name_and_data));
}

const std::string kSignature = "\x89PNG\r\n\x1a\n";

// A header that claims a size, and next to nothing behind it.
std::string claim(std::uint32_t width, std::uint32_t height, bool interlaced = false) {
  return kSignature +
         chunk("IHDR" + big_endian(width) + big_endian(height) +
               std::string("\x08\x02\x00\x00", 4) + static_cast<char>(interlaced)) +
         chunk("IDAT" + std::string(20, 'x')) + chunk("IEND");
}

TEST(Png, EveryKindBecomesRgb) {
  const std::vector<png_color> palette = {{10, 20, 30}, {40, 50, 60}, {70, 80, 90}};
  const auto plain = PNG_INTERLACE_NONE;
  const Bytes turned = {70, 80, 90, 10, 20, 30, 40, 50, 60};
  png_color_16 red{}, five{};
  red.red = 255;
  five.gray = 5;
  const std::vector<std::pair<PngFile, Bytes>> cases = {
      {{2, 1, 8, PNG_COLOR_TYPE_GRAY, {7, 200}}, {7, 7, 7, 200, 200, 200}},
      // Few bits are stretched.
      {{4, 1, 1, PNG_COLOR_TYPE_GRAY, {0b10100000}},
       {255, 255, 255, 0, 0, 0, 255, 255, 255, 0, 0, 0}},
      {{4, 1, 2, PNG_COLOR_TYPE_GRAY, {0b00011011}},
       {0, 0, 0, 85, 85, 85, 170, 170, 170, 255, 255, 255}},
      {{2, 1, 4, PNG_COLOR_TYPE_GRAY, {0x1f}}, {17, 17, 17, 255, 255, 255}},
      // 16 bits are rounded: 129 / 257 is just over a half.
      {{2, 1, 16, PNG_COLOR_TYPE_GRAY, {0xff, 0xff, 0x80, 0x80}}, {255, 255, 255, 128, 128, 128}},
      {{2, 1, 16, PNG_COLOR_TYPE_GRAY, {0x00, 0x81, 0x00, 0x80}}, {1, 1, 1, 0, 0, 0}},
      {{1, 1, 16, PNG_COLOR_TYPE_RGB, {0x01, 0x01, 0x40, 0x40, 0x00, 0x00}}, {1, 64, 0}},
      {{1, 1, 16, PNG_COLOR_TYPE_RGB_ALPHA, {0xff, 0xff, 0x40, 0x40, 0x00, 0x00, 0xff, 0xff}},
       {255, 64, 0}},
      {{1, 2, 8, PNG_COLOR_TYPE_RGB, {1, 2, 3, 4, 5, 6}}, {1, 2, 3, 4, 5, 6}},
      // Transparent pixels are blended onto black.
      {{3, 1, 8, PNG_COLOR_TYPE_RGB_ALPHA, {200, 100, 50, 255, 200, 100, 50, 128, 200, 100, 50, 0}},
       {200, 100, 50, 100, 50, 25, 0, 0, 0}},
      {{2, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, {200, 255, 200, 51}}, {200, 200, 200, 40, 40, 40}},
      {{3, 1, 8, PNG_COLOR_TYPE_PALETTE, {2, 0, 1}, plain, palette}, turned},
      {{3, 1, 2, PNG_COLOR_TYPE_PALETTE, {0b10000100}, plain, palette}, turned},
      {{2, 1, 8, PNG_COLOR_TYPE_PALETTE, {0, 1}, plain, palette, {0, 255}}, {0, 0, 0, 40, 50, 60}},
      {{2, 1, 8, PNG_COLOR_TYPE_RGB, {255, 0, 0, 0, 0, 9}, plain, {}, {}, {red}},
       {0, 0, 0, 0, 0, 9}},
      {{2, 1, 8, PNG_COLOR_TYPE_GRAY, {5, 6}, plain, {}, {}, {five}}, {0, 0, 0, 6, 6, 6}},
  };
  for (std::size_t k = 0; k < cases.size(); ++k)
    EXPECT_EQ(decoded(cases[k].first), cases[k].second) << "case " << k;
}

TEST(Png, InterlacedIsTheSameImage) {
  std::mt19937 random(1);
  for (const png_uint_32 side : {1U, 3U, 8U, 17U}) {
    Bytes rows(side * side * 3);
    for (auto& value : rows) value = static_cast<std::uint8_t>(random());
    EXPECT_EQ(decoded({side, side, 8, PNG_COLOR_TYPE_RGB, rows, PNG_INTERLACE_ADAM7}), rows)
        << side;
  }
}

TEST(Png, RoundTrips) {
  const Scene scene = source_of("tetrominoes").scene(1, 2);
  const Image image = decode_image(encode_png(scene.image));
  EXPECT_EQ(image.width, 36);
  EXPECT_EQ(image.pixels, scene.image.pixels);
  const Mask mask = decode_mask(encode_png(scene.mask));
  EXPECT_EQ(mask.height, 36);
  EXPECT_EQ(mask.values, scene.mask.values);
}

TEST(Png, EncodingRefusesSidesThatDoNotFit) {
  EXPECT_THROW(encode_png(Image{}), std::invalid_argument);
  EXPECT_THROW(encode_png(Image{2, 2, {1, 2, 3}}), std::invalid_argument);
  EXPECT_THROW(encode_png(Mask{2, -1, {1, 2}}), std::invalid_argument);
}

TEST(Png, MasksAreReadAsIndices) {
  const PngFile grey{3, 1, 8, PNG_COLOR_TYPE_GRAY, {0, 3, 255}};
  EXPECT_EQ(decode_mask(grey.encode()).values, (Bytes{0, 3, 255}));
  const PngFile two_bits{4, 1, 2, PNG_COLOR_TYPE_GRAY, {0b00011011}};
  EXPECT_EQ(decode_mask(two_bits.encode()).values, (Bytes{0, 1, 2, 3}));
  const PngFile palette{2,
                        2,
                        1,
                        PNG_COLOR_TYPE_PALETTE,
                        {0b01000000, 0b10000000},
                        PNG_INTERLACE_ADAM7,
                        {{9, 9, 9}, {8, 8, 8}}};
  EXPECT_EQ(decode_mask(palette.encode()).values, (Bytes{0, 1, 1, 0}));
}

TEST(Png, OtherImagesAreNoMasks) {
  for (const PngFile& file : {PngFile{1, 1, 8, PNG_COLOR_TYPE_RGB, {1, 2, 3}},
                              PngFile{1, 1, 16, PNG_COLOR_TYPE_GRAY, {1, 2}},
                              PngFile{1, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, {1, 2}}}) {
    EXPECT_EQ(user_error([&] { decode_mask(file.encode()); }),
              "is not a mask: wanted a grey or palette PNG of at most 8 bits");
  }
}

TEST(Png, EveryTruncationIsFound) {
  const std::string whole = encode_png(source_of("tetrominoes").scene(1, 3).mask);
  EXPECT_TRUE(every_truncation_fails(whole, [](auto cut) { decode_image(cut); }));
  EXPECT_TRUE(every_truncation_fails(whole, [](auto cut) { decode_image(cut, 3, 3); }));
  EXPECT_TRUE(every_truncation_fails(whole, [](auto cut) { decode_mask(cut, 1, 1); }));
  EXPECT_EQ(user_error([&] { decode_image(std::string_view(whole).substr(0, whole.size() / 2)); }),
            "corrupt PNG: the file is truncated");
}

TEST(Png, ClaimsOfManyPixelsAreRefused) {
  const auto error = [](std::uint32_t width, std::uint32_t height, bool interlaced = false) {
    return user_error([&] { decode_image(claim(width, height, interlaced)); });
  };
  EXPECT_EQ(error(kMaxImageSide + 1, 1),
            "the image is too large: 32769 x 1 pixels, wanted at most 32768 a side and 100000000 "
            "in all");
  for (const auto& [width, height] : {std::pair{10001U, 10000U}, {0x7fffffffU, 0x7fffffffU}})
    EXPECT_NE(error(width, height).find("too large"), std::string::npos);
  EXPECT_NE(error(0, 5), "(no error)");
  EXPECT_NE(error(0xffffffff, 5), "(no error)");
  EXPECT_EQ(error(10000, 5001, true),
            "the image is too large: 10000 x 5001 pixels, wanted at most 50000000 of an interlaced "
            "PNG");
  // Within the limits, but no compression makes so short a file of so many pixels.
  EXPECT_EQ(error(200, 200), "corrupt PNG: the file is truncated");
  EXPECT_EQ(error(10000, 10000), "corrupt PNG: the file is truncated");
  EXPECT_EQ(error(10000, 5000, true), "corrupt PNG: the file is truncated");
}

TEST(Png, ResizedWhileReadIsAsResizedAfterwards) {
  std::mt19937 random(5);
  const auto rows = [&](std::size_t bytes) {
    Bytes values(bytes);
    for (auto& value : values) value = static_cast<std::uint8_t>(random());
    return values;
  };
  const auto expect_same = [](const std::string& bytes, bool is_mask) {
    for (const auto& [width, height] :
         {std::pair{1, 1}, {5, 4}, {13, 11}, {36, 36}, {40, 3}, {4, 60}}) {
      const Resized<Image> image = decode_image(bytes, width, height);
      const Image whole = decode_image(bytes);
      EXPECT_EQ(image.picture.pixels, resize(whole, width, height).pixels);
      EXPECT_EQ(image.file_width, whole.width);
      EXPECT_EQ(image.file_height, whole.height);
      if (!is_mask) continue;
      EXPECT_EQ(decode_mask(bytes, width, height).picture.values,
                resize(decode_mask(bytes), width, height).values);
    }
  };
  for (const int interlace : {PNG_INTERLACE_NONE, PNG_INTERLACE_ADAM7}) {
    expect_same(PngFile{13, 11, 8, PNG_COLOR_TYPE_RGB, rows(13 * 11 * 3), interlace}.encode(),
                false);
    expect_same(
        PngFile{13, 11, 16, PNG_COLOR_TYPE_RGB_ALPHA, rows(13 * 11 * 8), interlace}.encode(),
        false);
    expect_same(PngFile{13, 11, 8, PNG_COLOR_TYPE_GRAY, rows(13 * 11), interlace}.encode(), true);
  }
}

TEST(Png, ResizedWhileReadALargeOneTakesLittleMemory) {
  constexpr png_uint_32 kSide = 10000;  // 300 MB of pixels
  const std::string bytes =
      PngFile{kSide, kSide, 1, PNG_COLOR_TYPE_GRAY, Bytes(kSide / 8 * kSide, 0xff)}.encode();
  EXPECT_LT(peak_mebibytes([&] { decode_image(bytes, 36, 36); }), 16);
  EXPECT_LT(peak_mebibytes([&] { decode_mask(bytes, 36, 36); }), 16);
}

}  // namespace
}  // namespace osc::program
