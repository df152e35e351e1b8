#include "data/image.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>
#include <string>
#include <tuple>

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
  EXPECT_EQ(user_error([&] { read_mask(path); }), path + ": the file is empty");
  write_file_atomically(path, "dear diary,\n");
  EXPECT_EQ(user_error([&] { read_image(path); }), path + ": is neither a PNG nor a JPEG image");
  EXPECT_EQ(user_error([&] { read_mask(path); }), path + ": is not a mask: wanted a PNG image");
  write_file_atomically(path, encode_png(kPixel).substr(0, 40));
  EXPECT_EQ(user_error([&] { read_image(path); }), path + ": corrupt PNG: the file is truncated");
  const std::string named_like_one = folder / "folder.png";
  create_folder(named_like_one);
  EXPECT_EQ(user_error([&] { read_image(named_like_one); }),
            named_like_one + ": is a folder, not a file");
}

TEST(ReadMask, ReadsWhatEncodePngWrites) {
  const TemporaryFolder folder;
  const Mask mask{3, 1, {0, 1, 255}};
  write_file_atomically(folder / "m.png", encode_png(mask));
  EXPECT_EQ(read_mask(folder / "m.png").values, mask.values);
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

}  // namespace
}  // namespace osc::program
