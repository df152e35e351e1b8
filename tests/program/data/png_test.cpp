#include <gtest/gtest.h>
#include <png.h>
#include <zlib.h>

#include <array>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "data/image.hpp"
#include "data/scenes.hpp"
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

TEST(Png, Grey) {
  EXPECT_EQ(decoded({2, 1, 8, PNG_COLOR_TYPE_GRAY, {7, 200}}), (Bytes{7, 7, 7, 200, 200, 200}));
}

TEST(Png, GreyOfFewBitsIsStretched) {
  EXPECT_EQ(decoded({4, 1, 1, PNG_COLOR_TYPE_GRAY, {0b10100000}}),
            (Bytes{255, 255, 255, 0, 0, 0, 255, 255, 255, 0, 0, 0}));
  EXPECT_EQ(decoded({4, 1, 2, PNG_COLOR_TYPE_GRAY, {0b00011011}}),
            (Bytes{0, 0, 0, 85, 85, 85, 170, 170, 170, 255, 255, 255}));
  EXPECT_EQ(decoded({2, 1, 4, PNG_COLOR_TYPE_GRAY, {0x1f}}), (Bytes{17, 17, 17, 255, 255, 255}));
}

TEST(Png, SixteenBitsBecomeEight) {
  EXPECT_EQ(decoded({2, 1, 16, PNG_COLOR_TYPE_GRAY, {0xff, 0xff, 0x80, 0x80}}),
            (Bytes{255, 255, 255, 128, 128, 128}));
  // 129 / 257 is just over a half.
  EXPECT_EQ(decoded({2, 1, 16, PNG_COLOR_TYPE_GRAY, {0x00, 0x81, 0x00, 0x80}}),
            (Bytes{1, 1, 1, 0, 0, 0}));
  EXPECT_EQ(decoded({1, 1, 16, PNG_COLOR_TYPE_RGB, {0x01, 0x01, 0x40, 0x40, 0x00, 0x00}}),
            (Bytes{1, 64, 0}));
  EXPECT_EQ(
      decoded(
          {1, 1, 16, PNG_COLOR_TYPE_RGB_ALPHA, {0xff, 0xff, 0x40, 0x40, 0x00, 0x00, 0xff, 0xff}}),
      (Bytes{255, 64, 0}));
}

TEST(Png, Rgb) {
  EXPECT_EQ(decoded({1, 2, 8, PNG_COLOR_TYPE_RGB, {1, 2, 3, 4, 5, 6}}), (Bytes{1, 2, 3, 4, 5, 6}));
}

TEST(Png, TransparentPixelsAreBlendedOntoBlack) {
  EXPECT_EQ(decoded({3,
                     1,
                     8,
                     PNG_COLOR_TYPE_RGB_ALPHA,
                     {200, 100, 50, 255, 200, 100, 50, 128, 200, 100, 50, 0}}),
            (Bytes{200, 100, 50, 100, 50, 25, 0, 0, 0}));
  EXPECT_EQ(decoded({2, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, {200, 255, 200, 51}}),
            (Bytes{200, 200, 200, 40, 40, 40}));
}

TEST(Png, Palette) {
  const std::vector<png_color> palette = {{10, 20, 30}, {40, 50, 60}, {70, 80, 90}};
  EXPECT_EQ(decoded({3, 1, 8, PNG_COLOR_TYPE_PALETTE, {2, 0, 1}, PNG_INTERLACE_NONE, palette}),
            (Bytes{70, 80, 90, 10, 20, 30, 40, 50, 60}));
  EXPECT_EQ(decoded({3, 1, 2, PNG_COLOR_TYPE_PALETTE, {0b10000100}, PNG_INTERLACE_NONE, palette}),
            (Bytes{70, 80, 90, 10, 20, 30, 40, 50, 60}));
  EXPECT_EQ(
      decoded({2, 1, 8, PNG_COLOR_TYPE_PALETTE, {0, 1}, PNG_INTERLACE_NONE, palette, {0, 255}}),
      (Bytes{0, 0, 0, 40, 50, 60}));
}

TEST(Png, AColourMayBeTheTransparentOne) {
  png_color_16 red{};
  red.red = 255;
  EXPECT_EQ(
      decoded(
          {2, 1, 8, PNG_COLOR_TYPE_RGB, {255, 0, 0, 0, 0, 9}, PNG_INTERLACE_NONE, {}, {}, {red}}),
      (Bytes{0, 0, 0, 0, 0, 9}));
  png_color_16 grey{};
  grey.gray = 5;
  EXPECT_EQ(decoded({2, 1, 8, PNG_COLOR_TYPE_GRAY, {5, 6}, PNG_INTERLACE_NONE, {}, {}, {grey}}),
            (Bytes{0, 0, 0, 6, 6, 6}));
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

TEST(Png, OnePixel) {
  EXPECT_EQ(decoded({1, 1, 8, PNG_COLOR_TYPE_RGB, {9, 8, 7}}), (Bytes{9, 8, 7}));
}

TEST(Png, RoundTrips) {
  const Scene scene = tetromino_scene(1, 2);
  const Image image = decode_image(encode_png(scene.image));
  EXPECT_EQ(image.width, kSceneSide);
  EXPECT_EQ(image.pixels, scene.image.pixels);
  const Mask mask = decode_mask(encode_png(scene.mask));
  EXPECT_EQ(mask.height, kSceneSide);
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
  const std::string reason = "is not a mask: wanted a grey or palette PNG of at most 8 bits";
  EXPECT_EQ(
      user_error([] { decode_mask(PngFile{1, 1, 8, PNG_COLOR_TYPE_RGB, {1, 2, 3}}.encode()); }),
      reason);
  EXPECT_EQ(
      user_error([] { decode_mask(PngFile{1, 1, 16, PNG_COLOR_TYPE_GRAY, {1, 2}}.encode()); }),
      reason);
  EXPECT_EQ(
      user_error([] { decode_mask(PngFile{1, 1, 8, PNG_COLOR_TYPE_GRAY_ALPHA, {1, 2}}.encode()); }),
      reason);
}

TEST(Png, EveryTruncationIsFound) {
  const std::string whole = encode_png(tetromino_scene(1, 3).image);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_NE(user_error([&] { decode_image(std::string_view(whole).substr(0, length)); }),
              "(no error)")
        << length;
  }
  EXPECT_EQ(user_error([&] { decode_image(std::string_view(whole).substr(0, whole.size() / 2)); }),
            "corrupt PNG: the file is truncated");
}

TEST(Png, ClaimsOfManyPixelsAreRefused) {
  EXPECT_EQ(user_error([] { decode_image(claim(kMaxImageSide + 1, 1)); }),
            "the image is too large: 32769 x 1 pixels, at most 32768 a side and 100000000 in all "
            "are read");
  EXPECT_NE(user_error([] { decode_image(claim(10001, 10000)); }).find("too large"),
            std::string::npos);
  EXPECT_NE(user_error([] { decode_image(claim(0x7fffffff, 0x7fffffff)); }).find("too large"),
            std::string::npos);
  // Within the limits, but the file is far too short for it.
  EXPECT_EQ(user_error([] { decode_image(claim(10000, 10000)); }),
            "corrupt PNG: the file is truncated");
  EXPECT_NE(user_error([] { decode_image(claim(0, 5)); }), "(no error)");
  EXPECT_NE(user_error([] { decode_image(claim(0xffffffff, 5)); }), "(no error)");
}

TEST(Png, AnInterlacedOneMayHaveFewerPixels) {
  EXPECT_EQ(user_error([] { decode_image(claim(10000, 5001, true)); }),
            "the image is too large: 10000 x 5001 pixels, at most 50000000 of an interlaced PNG "
            "are read");
  EXPECT_EQ(user_error([] { decode_image(claim(10000, 5000, true)); }),
            "corrupt PNG: the file is truncated");
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

TEST(Png, ResizedWhileReadStillFindsEveryTruncation) {
  const std::string whole = encode_png(tetromino_scene(1, 3).mask);
  EXPECT_EQ(user_error([&] { decode_mask(whole, 1, 1); }), "(no error)");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const std::string_view cut = std::string_view(whole).substr(0, length);
    EXPECT_NE(user_error([&] { decode_image(cut, 3, 3); }), "(no error)") << length;
    EXPECT_NE(user_error([&] { decode_mask(cut, 1, 1); }), "(no error)") << length;
  }
}

TEST(Png, ResizedWhileReadALargeOneTakesLittleMemory) {
  constexpr png_uint_32 kSide = 10000;  // 300 MB of pixels
  const std::string bytes =
      PngFile{kSide, kSide, 1, PNG_COLOR_TYPE_GRAY, Bytes(kSide / 8 * kSide, 0xff)}.encode();
  EXPECT_LT(peak_mebibytes([&] { decode_image(bytes, 36, 36); }), 16);
  EXPECT_LT(peak_mebibytes([&] { decode_mask(bytes, 36, 36); }), 16);
}

// With right checksums, so that a mutation gets past the first check of each chunk.
std::string with_checksums(std::string bytes) {
  std::size_t at = kSignature.size();
  while (at + 12 <= bytes.size()) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i)
      length = length << 8 | static_cast<unsigned char>(bytes[at + i]);
    if (length > bytes.size() - at - 12) break;
    bytes.replace(at + 8 + length, 4,
                  big_endian(checksum(std::string_view(bytes).substr(at + 4, length + 4))));
    at += 12 + length;
  }
  return bytes;
}

TEST(Png, MutatedFilesAreDecodedOrRefused) {
  const std::vector<png_color> colours = {{10, 20, 30}, {40, 50, 60}, {70, 80, 90}};
  const std::vector<std::string> originals = {
      encode_png(tetromino_scene(1, 4).image),
      PngFile{
          9, 2, 4, PNG_COLOR_TYPE_PALETTE, Bytes(10, 0x12), PNG_INTERLACE_ADAM7, colours, {1, 2, 3}}
          .encode(),
      PngFile{5, 2, 16, PNG_COLOR_TYPE_RGB_ALPHA, Bytes(80, 77), PNG_INTERLACE_ADAM7}.encode(),
  };
  std::mt19937 random(2);
  int refused = 0, decoded_count = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string bytes = originals[static_cast<std::size_t>(round) % originals.size()];
    for (auto n = 1 + random() % 4; n > 0; --n)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    if (round % 5 != 0) bytes = with_checksums(bytes);
    if (round % 7 == 0) bytes.resize(random() % (bytes.size() + 1));
    try {
      const Image image = decode_image(bytes);
      ASSERT_EQ(image.pixels.size(),
                static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) * 3);
      ++decoded_count;
    } catch (const UserError&) {
      ++refused;
    }
    try {
      decode_mask(bytes);
    } catch (const UserError&) {
    }
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(decoded_count, 100);
}

}  // namespace
}  // namespace osc::program
