#include <gtest/gtest.h>

#include <cstdio>

#include <jpeglib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "data/image.hpp"
#include "peak_memory.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr int kTolerance = 4;  // of lossy compression at quality 100

// A JPEG of any kind, written by libjpeg itself.
struct JpegFile {
  unsigned width, height;
  J_COLOR_SPACE space;
  Bytes pixels;
  J_COLOR_SPACE stored = JCS_UNKNOWN;  // unknown: libjpeg's choice for `space`
  bool adobe_marker = true;
  bool progressive = false;
  std::vector<jpeg_scan_info> scans = {};

  std::string encode() const {
    jpeg_compress_struct jpeg;
    jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    unsigned char* buffer = nullptr;
    unsigned long size = 0;
    jpeg_mem_dest(&jpeg, &buffer, &size);
    jpeg.image_width = width;
    jpeg.image_height = height;
    jpeg.input_components = static_cast<int>(pixels.size() / (width * height));
    jpeg.in_color_space = space;
    jpeg_set_defaults(&jpeg);
    if (stored != JCS_UNKNOWN) jpeg_set_colorspace(&jpeg, stored);
    jpeg_set_quality(&jpeg, 100, TRUE);
    for (int c = 0; c < jpeg.num_components; ++c)
      jpeg.comp_info[c].h_samp_factor = jpeg.comp_info[c].v_samp_factor = 1;
    if (!adobe_marker) jpeg.write_Adobe_marker = FALSE;
    if (progressive) jpeg_simple_progression(&jpeg);
    if (!scans.empty()) {
      jpeg.scan_info = scans.data();
      jpeg.num_scans = static_cast<int>(scans.size());
    }
    jpeg_start_compress(&jpeg, TRUE);
    Bytes copy = pixels;
    while (jpeg.next_scanline < jpeg.image_height) {
      JSAMPROW row = copy.data() + jpeg.next_scanline * (pixels.size() / height);
      jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    std::string bytes(reinterpret_cast<char*>(buffer), size);
    jpeg_destroy_compress(&jpeg);
    std::free(buffer);
    return bytes;
  }
};

Bytes constant(unsigned count, const Bytes& pixel) {
  Bytes pixels;
  for (unsigned i = 0; i < count; ++i) pixels.insert(pixels.end(), pixel.begin(), pixel.end());
  return pixels;
}

void expect_constant(const JpegFile& file, const std::array<int, 3>& expected) {
  const Image image = decode_image(file.encode());
  ASSERT_EQ(image.width, static_cast<int>(file.width));
  ASSERT_EQ(image.height, static_cast<int>(file.height));
  ASSERT_EQ(image.pixels.size(), std::size_t{file.width} * file.height * 3);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    ASSERT_NEAR(image.pixels[i], expected[i % 3], kTolerance) << i;
}

// Smooth, so that compression keeps it.
JpegFile gradient(unsigned width, unsigned height) {
  JpegFile file{width, height, JCS_RGB, {}};
  for (unsigned y = 0; y < height; ++y) {
    for (unsigned x = 0; x < width; ++x) {
      file.pixels.push_back(static_cast<std::uint8_t>(x * 255 / width));
      file.pixels.push_back(static_cast<std::uint8_t>(y * 255 / height));
      file.pixels.push_back(static_cast<std::uint8_t>(255 - x * 255 / width));
    }
  }
  return file;
}

void expect_gradient(const JpegFile& file) {
  const Image image = decode_image(file.encode());
  ASSERT_EQ(image.pixels.size(), file.pixels.size());
  for (std::size_t i = 0; i < file.pixels.size(); ++i)
    ASSERT_NEAR(image.pixels[i], file.pixels[i], kTolerance) << i;
}

TEST(Jpeg, EveryKindBecomesRgb) {
  JpegFile progressive = gradient(40, 23), stored_as_rgb = gradient(40, 23);
  progressive.progressive = true;
  stored_as_rgb.stored = JCS_RGB;
  for (const JpegFile& file : {gradient(40, 23), progressive, stored_as_rgb}) expect_gradient(file);
  expect_constant({9, 5, JCS_GRAYSCALE, constant(45, {90})}, {90, 90, 90});
  expect_constant({1, 1, JCS_RGB, {200, 100, 50}}, {200, 100, 50});
}

TEST(Jpeg, CmykAsTheStandardHasIt) {
  // Full ink is 255 here. Cyan ink takes red away; black takes all.
  JpegFile file{8, 8, JCS_CMYK, constant(64, {255, 0, 0, 0})};
  file.adobe_marker = false;
  expect_constant(file, {0, 255, 255});
  file.pixels = constant(64, {0, 0, 0, 128});
  expect_constant(file, {127, 127, 127});
}

TEST(Jpeg, CmykAsAdobeHasIt) {
  // Full ink is 0 here.
  expect_constant({8, 8, JCS_CMYK, constant(64, {0, 255, 255, 255})}, {0, 255, 255});
  expect_constant({8, 8, JCS_CMYK, constant(64, {255, 255, 255, 127})}, {127, 127, 127});
  expect_constant({8, 8, JCS_CMYK, constant(64, {200, 100, 50, 255}), JCS_YCCK}, {200, 100, 50});
}

TEST(Jpeg, EveryTruncationIsFound) {
  for (const bool progressive : {false, true}) {
    JpegFile file = gradient(40, 23);
    file.progressive = progressive;
    const std::string whole = file.encode();
    EXPECT_TRUE(every_truncation_fails(whole, [](auto cut) { decode_image(cut); }));
    EXPECT_EQ(
        user_error([&] { decode_image(std::string_view(whole).substr(0, whole.size() * 3 / 4)); }),
        "corrupt JPEG: Premature end of JPEG file");
  }
}

// The same file with another size in its frame header.
std::string with_size(std::string bytes, unsigned width, unsigned height) {
  const std::size_t frame = std::min(bytes.find("\xff\xc0"), bytes.find("\xff\xc2"));
  const auto put = [&](std::size_t at, unsigned number) {
    bytes[at] = static_cast<char>(number >> 8);
    bytes[at + 1] = static_cast<char>(number & 255);
  };
  put(frame + 5, height);
  put(frame + 7, width);
  return bytes;
}

TEST(Jpeg, ClaimsOfManyPixelsAreRefused) {
  const auto error = [](unsigned width, unsigned height, bool progressive = false) {
    JpegFile file = gradient(16, 16);
    file.progressive = progressive;
    return user_error([&] { decode_image(with_size(file.encode(), width, height)); });
  };
  EXPECT_NE(error(32769, 1).find("too large: 32769 x 1"), std::string::npos);
  EXPECT_NE(error(20000, 20000).find("too large"), std::string::npos);
  EXPECT_NE(error(0, 16), "(no error)");
  EXPECT_NE(error(16, 0), "(no error)");
  EXPECT_EQ(error(10000, 5001, true),
            "the image is too large: 10000 x 5001 pixels, wanted at most 50000000 of a progressive "
            "JPEG");
  EXPECT_EQ(error(10000, 10000), "corrupt JPEG: the file is truncated");
  EXPECT_EQ(error(10000, 5000, true), "corrupt JPEG: the file is truncated");
}

TEST(Jpeg, ResizedWhileReadIsAsResizedAfterwards) {
  JpegFile progressive = gradient(40, 23);
  progressive.progressive = true;
  for (const JpegFile& file : {gradient(40, 23), progressive,
                               JpegFile{8, 8, JCS_CMYK, constant(64, {200, 100, 50, 255})}}) {
    const std::string bytes = file.encode();
    for (const auto& [width, height] : {std::pair{1, 1}, {36, 36}, {7, 50}}) {
      const Resized<Image> image = decode_image(bytes, width, height);
      EXPECT_EQ(image.picture.pixels, resize(decode_image(bytes), width, height).pixels);
      EXPECT_EQ(image.file_width, static_cast<int>(file.width));
      EXPECT_EQ(image.file_height, static_cast<int>(file.height));
    }
  }
}

TEST(Jpeg, ResizedWhileReadALargeOneTakesLittleMemory) {
  const std::string bytes = JpegFile{8000, 6000, JCS_GRAYSCALE, Bytes(48000000, 90)}.encode();
  EXPECT_LT(peak_mebibytes([&] { decode_image(bytes, 36, 36); }), 16);  // 144 MB of pixels
}

TEST(Jpeg, ScansWithoutEndAreRefused) {
  // Each scan is whole, so that the last one may stand there any number of times.
  JpegFile file{16, 16, JCS_GRAYSCALE, constant(256, {90})};
  file.scans = {{1, {0, 0, 0, 0}, 0, 0, 0, 0}, {1, {0, 0, 0, 0}, 1, 63, 0, 0}};
  const std::string bytes = file.encode();
  const std::size_t scan = bytes.rfind("\xff\xda"), end = bytes.size() - 2;
  const auto with_scans = [&](int extra) {
    std::string repeated = bytes.substr(0, end);
    for (int i = 0; i < extra; ++i) repeated.append(bytes, scan, end - scan);
    return repeated.append(bytes, end);
  };
  EXPECT_EQ(decode_image(with_scans(50)).pixels.size(), 768U);
  EXPECT_EQ(user_error([&] { decode_image(with_scans(200)); }), "corrupt JPEG: too many scans");
}

TEST(Jpeg, IsNoMask) {
  EXPECT_EQ(user_error([] { decode_mask(gradient(8, 8).encode()); }),
            "is not a mask: wanted a PNG image");
}

}  // namespace
}  // namespace osc::program
