#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "data/image.hpp"
#include "support/files.hpp"
#include "temporary_folder.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

const Image kPixel{1, 1, {1, 2, 3}};

TEST(ReadImage, GoesByTheFirstBytesNotByTheName) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "photo.jpg", encode_png(kPixel));
  EXPECT_EQ(read_image(folder / "photo.jpg").pixels, kPixel.pixels);
}

TEST(ReadImage, NamesThePathAndTheReason) {
  const TemporaryFolder folder;
  const std::string path = folder / "x.png";
  EXPECT_EQ(user_error([&] { read_image(path); }), path + ": No such file or directory");
  write_file_atomically(path, "");
  EXPECT_EQ(user_error([&] { read_image(path); }), path + ": the file is empty");
  write_file_atomically(path, "dear diary,\n");
  EXPECT_EQ(user_error([&] { read_image(path); }), path + ": is neither a PNG nor a JPEG image");
  EXPECT_EQ(user_error([&] { read_mask(path, 2, 2); }),
            path + ": is not a mask: wanted a PNG image");
  write_file_atomically(path, encode_png(kPixel).substr(0, 40));
  EXPECT_EQ(user_error([&] { read_image(path); }), path + ": corrupt PNG: the file is truncated");
  const std::string named_like_one = folder / "folder.png";
  create_folder(named_like_one);
  EXPECT_EQ(user_error([&] { read_image(named_like_one); }),
            named_like_one + ": is a folder, not a file");
}

TEST(IndexColour, DiffersFromItsNeighbours) {
  const auto distance = [](const Colour& a, const Colour& b) {
    return std::abs(a.red - b.red) + std::abs(a.green - b.green) + std::abs(a.blue - b.blue);
  };
  for (int i = 0; i < 12; ++i) {
    for (int j = 0; j < i; ++j)
      EXPECT_GE(distance(index_colour(i), index_colour(j)), 90) << i << " " << j;
  }
  std::set<std::tuple<int, int, int>> all;
  for (int i = 0; i < 256; ++i) {
    const Colour colour = index_colour(i);
    all.emplace(colour.red, colour.green, colour.blue);
    EXPECT_GE(distance(index_colour(i), index_colour(i + 1)), 150) << i;
    EXPECT_GE(distance(colour, {0, 0, 0}), 150) << i;
  }
  EXPECT_GE(all.size(), 250U);
}

Image grey_image(int width, int height, const std::vector<int>& values) {
  Image image{width, height, {}};
  for (const int value : values)
    image.pixels.insert(image.pixels.end(), 3, static_cast<std::uint8_t>(value));
  return image;
}

std::vector<int> first_channel(const Image& image) {
  std::vector<int> values;
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) values.push_back(image.pixels[i]);
  return values;
}

Image random_image(int width, int height, unsigned seed) {
  std::mt19937 random(seed);
  Image image{width, height,
              std::vector<std::uint8_t>(static_cast<std::size_t>(width * height) * 3)};
  for (auto& value : image.pixels) value = static_cast<std::uint8_t>(random() & 255);
  return image;
}

// The area average by its definition: both images cut into pieces of 1 / (from * to), each counted.
int slow_area_average(const Image& image, int x, int y, int channel, int width, int height) {
  double sum = 0;
  for (int v = y * image.height; v < (y + 1) * image.height; ++v) {
    for (int u = x * image.width; u < (x + 1) * image.width; ++u) {
      sum += image.pixels[static_cast<std::size_t>(((v / height) * image.width + u / width) * 3 +
                                                   channel)];
    }
  }
  return static_cast<int>(std::lround(sum / (image.width * image.height)));
}

TEST(Resize, TheSameSizeIsTheSameImage) {
  const Image image = random_image(7, 5, 1);
  EXPECT_EQ(resize(image, 7, 5).pixels, image.pixels);
}

TEST(Resize, HalvingAveragesPairs) {
  EXPECT_EQ(first_channel(resize(grey_image(4, 1, {0, 10, 100, 200}), 2, 1)),
            (std::vector<int>{5, 150}));
  EXPECT_EQ(first_channel(resize(grey_image(1, 4, {0, 10, 100, 200}), 1, 2)),
            (std::vector<int>{5, 150}));
  EXPECT_EQ(first_channel(resize(grey_image(2, 2, {0, 40, 80, 120}), 1, 1)),
            (std::vector<int>{60}));
}

TEST(Resize, ThreeToTwoSharesTheMiddle) {
  // (1 * 30 + 0.5 * 90) / 1.5 and (0.5 * 90 + 1 * 240) / 1.5
  EXPECT_EQ(first_channel(resize(grey_image(3, 1, {30, 90, 240}), 2, 1)),
            (std::vector<int>{50, 190}));
}

TEST(Resize, ShrinkingIsTheAreaAverage) {
  const Image image = random_image(13, 11, 2);
  for (const auto& [width, height] : {std::pair{5, 4}, {12, 10}, {1, 1}, {13, 3}, {7, 11}}) {
    const Image small = resize(image, width, height);
    ASSERT_EQ(small.width, width);
    ASSERT_EQ(small.height, height);
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        for (int c = 0; c < 3; ++c) {
          const int expected = slow_area_average(image, x, y, c, width, height);
          // Floats may fall on the other side of a half.
          ASSERT_LE(
              std::abs(small.pixels[static_cast<std::size_t>((y * width + x) * 3 + c)] - expected),
              1)
              << width << " x " << height;
        }
      }
    }
  }
}

TEST(Resize, EnlargingIsBilinearBetweenCentres) {
  EXPECT_EQ(first_channel(resize(grey_image(2, 1, {0, 100}), 4, 1)),
            (std::vector<int>{0, 25, 75, 100}));
  EXPECT_EQ(first_channel(resize(grey_image(1, 2, {0, 100}), 1, 4)),
            (std::vector<int>{0, 25, 75, 100}));
  EXPECT_EQ(first_channel(resize(grey_image(1, 1, {77}), 2, 2)),
            (std::vector<int>{77, 77, 77, 77}));
}

TEST(Resize, EachAxisOnItsOwn) {
  // Halved across, doubled down.
  EXPECT_EQ(first_channel(resize(grey_image(2, 2, {0, 20, 100, 120}), 1, 4)),
            (std::vector<int>{10, 35, 85, 110}));
}

TEST(Resize, AConstantImageStaysConstant) {
  for (const int value : {0, 1, 127, 254, 255}) {
    const Image image = grey_image(37, 23, std::vector<int>(37 * 23, value));
    for (const auto& [width, height] : {std::pair{36, 36}, {5, 7}, {100, 90}, {1, 200}}) {
      for (const std::uint8_t pixel : resize(image, width, height).pixels) ASSERT_EQ(pixel, value);
    }
  }
}

TEST(Resize, KeepsChannelsApart) {
  const Image image{2, 1, {10, 20, 30, 20, 40, 60}};
  EXPECT_EQ(resize(image, 1, 1).pixels, (std::vector<std::uint8_t>{15, 30, 45}));
}

TEST(Resize, LongAndThin) {
  const Image line = grey_image(30000, 1, std::vector<int>(30000, 200));
  EXPECT_EQ(first_channel(resize(line, 2, 2)), (std::vector<int>{200, 200, 200, 200}));
}

TEST(Resize, MasksTakeTheNearestValue) {
  const Mask mask{4, 2, {1, 2, 3, 4, 5, 6, 7, 8}};
  EXPECT_EQ(resize(mask, 8, 4).values,
            (std::vector<std::uint8_t>{1, 1, 2, 2, 3, 3, 4, 4, 1, 1, 2, 2, 3, 3, 4, 4,
                                       5, 5, 6, 6, 7, 7, 8, 8, 5, 5, 6, 6, 7, 7, 8, 8}));
  EXPECT_EQ(resize(mask, 2, 1).values, (std::vector<std::uint8_t>{6, 8}));
  EXPECT_EQ(resize(Mask{3, 1, {1, 2, 3}}, 1, 1).values, (std::vector<std::uint8_t>{2}));
  EXPECT_EQ(resize(mask, 4, 2).values, mask.values);
}

TEST(Resize, RefusesSidesThatAreNone) {
  const Image image = grey_image(2, 1, {0, 100});
  EXPECT_THROW(resize(image, 0, 1), std::invalid_argument);
  EXPECT_THROW(resize(image, 1, -1), std::invalid_argument);
  EXPECT_THROW(resize(Image{}, 1, 1), std::invalid_argument);
  EXPECT_THROW(resize(Image{2, 2, {1, 2, 3}}, 1, 1), std::invalid_argument);
  EXPECT_THROW(resize(Mask{}, 1, 1), std::invalid_argument);
}

}  // namespace
}  // namespace osc::program
