#include "data/sources.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <cmath>
#include <csignal>
#include <map>
#include <set>

#include "support/files.hpp"
#include "temporary_folder.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 36, kCell = 5, kObjects = 3, kObjectPixels = 4 * kCell * kCell;
const ImageSource& kSource = source_of("tetrominoes");

// One row of letters for each row of cells. Degrees are clockwise from the piece's 0.
const std::map<std::string, std::vector<std::string>> kShapes = {
    {"I0", {"####"}},           {"I90", {"#", "#", "#", "#"}}, {"O0", {"##", "##"}},
    {"T0", {"###", ".#."}},     {"T90", {".#", "##", ".#"}},   {"T180", {".#.", "###"}},
    {"L0", {"###", "#.."}},     {"T270", {"#.", "##", "#."}},  {"L90", {"##", ".#", ".#"}},
    {"J0", {"###", "..#"}},     {"L180", {"..#", "###"}},      {"L270", {"#.", "#.", "##"}},
    {"Z0", {"##.", ".##"}},     {"J90", {".#", ".#", "##"}},   {"J180", {"#..", "###"}},
    {"S0", {".##", "##."}},     {"J270", {"##", "#.", "#."}},  {"Z90", {".#", "##", "#."}},
    {"S90", {"#.", "##", ".#"}}};
const std::map<std::string, std::array<int, 3>> kColours = {
    {"red", {255, 0, 0}},      {"green", {0, 255, 0}},     {"blue", {0, 0, 255}},
    {"yellow", {255, 255, 0}}, {"magenta", {255, 0, 255}}, {"cyan", {0, 255, 255}}};

std::string colour_of(const SceneObject& object) {
  return object.category.substr(0, object.category.find(' '));
}
std::string shape_of(const SceneObject& object) {
  return object.category.substr(object.category.find(' ') + 1);
}

// The pixels of a shape, its upper left corner at (0, 0).
std::set<std::pair<int, int>> pixels_of(const std::string& shape) {
  std::set<std::pair<int, int>> pixels;
  const auto& rows = kShapes.at(shape);
  for (int y = 0; y < static_cast<int>(rows.size()) * kCell; ++y) {
    for (int x = 0; x < static_cast<int>(rows[0].size()) * kCell; ++x) {
      if (rows[y / kCell][x / kCell] == '#') pixels.emplace(y, x);
    }
  }
  return pixels;
}

TEST(Tetrominoes, AreWholeObjectsOfTheirCategoryOnBlack) {
  std::set<std::string> shapes;
  for (std::uint64_t index = 0; index < 500; ++index) {
    const Scene scene = kSource.scene(3, index);
    ASSERT_EQ(scene.image.pixels.size(), 3UL * kSide * kSide);
    ASSERT_EQ(scene.mask.values.size(), 1UL * kSide * kSide);
    ASSERT_EQ(scene.objects.size(), 1UL * kObjects);
    std::array<std::vector<std::pair<int, int>>, kObjects + 1> pixels;
    for (int i = 0; i < kSide * kSide; ++i) {
      const int value = scene.mask.values[i];
      pixels.at(value).emplace_back(i / kSide, i % kSide);
      const std::array<int, 3> colour =
          value == 0 ? std::array{0, 0, 0} : kColours.at(colour_of(scene.objects[value - 1]));
      for (int c = 0; c < 3; ++c)
        ASSERT_EQ(scene.image.pixels[i * 3 + c], colour[c]) << "scene " << index << " pixel " << i;
    }
    for (int k = 0; k < kObjects; ++k) {
      int top = kSide, left = kSide;
      double sum_x = 0, sum_y = 0;
      for (const auto& [y, x] : pixels[k + 1]) {
        top = std::min(top, y);
        left = std::min(left, x);
        sum_x += x + 0.5;
        sum_y += y + 0.5;
      }
      std::set<std::pair<int, int>> moved;
      for (const auto& [y, x] : pixels[k + 1]) moved.emplace(y - top, x - left);
      ASSERT_EQ(moved, pixels_of(shape_of(scene.objects[k]))) << scene.objects[k].category;
      EXPECT_NEAR(scene.objects[k].x, sum_x / kObjectPixels, 1e-5);
      EXPECT_NEAR(scene.objects[k].y, sum_y / kObjectPixels, 1e-5);
      shapes.insert(shape_of(scene.objects[k]));
    }
  }
  EXPECT_EQ(shapes.size(), kShapes.size());
}

TEST(Tetrominoes, CategoriesAreColoursAndShapes) {
  std::vector<std::string> expected;
  for (const auto& [colour, rgb] : kColours) {
    for (const auto& [shape, rows] : kShapes) expected.push_back(colour + " " + shape);
  }
  EXPECT_EQ(kSource.categories(), expected);
}

TEST(Tetrominoes, ShapesAndColoursAreUniform) {
  constexpr int kScenes = 20000;
  std::map<std::string, int> shapes, first_shapes, colours;
  for (std::uint64_t index = 0; index < kScenes; ++index) {
    const Scene scene = kSource.scene(7, index);
    ++first_shapes[shape_of(scene.objects[0])];
    for (const SceneObject& object : scene.objects) {
      ++shapes[shape_of(object)];
      ++colours[colour_of(object)];
    }
  }
  const auto five_sigma = [](double n, double p) { return 5 * std::sqrt(n * p * (1 - p)); };
  for (const auto& [colour, n] : colours)
    EXPECT_NEAR(n, kScenes * 3 / 6.0, five_sigma(kScenes * 3, 1 / 6.0)) << colour;
  // Each piece has 1/7, shared by its orientations. Compact pieces are a little more frequent,
  // since pieces that overlap are drawn again: hence the margin on top of chance.
  std::map<char, int> orientations;
  for (const auto& [shape, rows] : kShapes) ++orientations[shape[0]];
  for (const auto& [shape, rows] : kShapes) {
    const double p = 1.0 / (7 * orientations[shape[0]]);
    EXPECT_NEAR(first_shapes[shape], kScenes * p, five_sigma(kScenes, p) + 0.02 * kScenes * p);
    EXPECT_NEAR(shapes[shape], kScenes * 3 * p, 0.35 * kScenes * 3 * p) << shape;
  }
}

TEST(Tetrominoes, AreAFunctionOfSeedAndIndex) {
  const auto pixels = [](std::uint64_t seed, std::uint64_t index) {
    return kSource.scene(seed, index).image.pixels;
  };
  EXPECT_EQ(pixels(8, 42), pixels(8, 42));
  EXPECT_NE(pixels(8, 43), pixels(8, 42));
  EXPECT_NE(pixels(9, 42), pixels(8, 42));
  EXPECT_NE(pixels(9, 41), pixels(8, 42));  // neighbouring seeds are not shifted
  EXPECT_EQ(kSource.scene(~0ULL, ~0ULL).objects.size(), 3U);
  // FNV-1a of the first scenes, from a second implementation in Python. A change here changes every
  // published figure.
  std::uint64_t hash = 0xcbf29ce484222325;
  for (std::uint64_t index = 0; index < 100; ++index) {
    for (const std::uint8_t value : pixels(0, index)) hash = (hash ^ value) * 0x100000001b3;
  }
  EXPECT_EQ(hash, 0x4706322a0d193383U);
}

TEST(ImageSources, SplitsShareNoScene) {
  const ImageSet train = make_scene_set(kSource, Split::train, 0, 20, kSide, 1);
  for (const Split split : {Split::heldout, Split::final, Split::gallery}) {
    const ImageSet other = make_scene_set(kSource, split, 0, 20, kSide, 2);
    EXPECT_EQ(other.categories, kSource.categories());
    for (int i = 0; i < 20; ++i) {
      for (int j = 0; j < 20; ++j) EXPECT_NE(train.image(i).pixels, other.image(j).pixels);
    }
  }
  EXPECT_EQ(make_scene_set(kSource, Split::train, 0, 20, kSide, 3).pixels, train.pixels);
  EXPECT_NE(make_scene_set(kSource, Split::train, 1, 20, kSide, 1).pixels, train.pixels);
}

TEST(ImageSources, AFolderIsSplitByImages) {
  const TemporaryFolder folder;
  DataConfig config;
  const auto names = [&](int count) {
    generate_scenes(kSource, count, 1, folder / std::to_string(count));
    config.data = (folder / std::to_string(count)).string();
    const RunImages images = run_images(config, 1);
    return std::array{images.trained.names.size(), images.scored.names.size(),
                      images.gallery.objects.size()};
  };
  EXPECT_EQ(names(20), (std::array<std::size_t, 3>{18, 2, 18}));
  EXPECT_EQ(names(19), (std::array<std::size_t, 3>{19, 19, 0}));  // each would find itself
  config.source["final_images"] = 5;
  EXPECT_EQ(run_images(config, 1).scored.size(), 5);
  EXPECT_EQ(&source_of("no tetrominoes"), &source_of("folder"));
}

std::map<std::string, std::string> all_files(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      files[entry.path().lexically_relative(folder).string()] = read_file(entry.path());
  }
  return files;
}

TEST(Generate, WritesTheScenesForAnyNumberOfThreads) {
  const TemporaryFolder folder;
  generate_scenes(kSource, 25, 11, folder / "one", 1);
  generate_scenes(kSource, 25, 11, folder / "four", 4);
  const auto files = all_files(folder / "one");
  EXPECT_EQ(files, all_files(folder / "four"));
  EXPECT_EQ(files.size(), 51U);
  EXPECT_TRUE(files.contains("images/000000.png") && files.contains("masks/000024.png"));
  const ImageSet set = read_image_set(folder / "one", kSide, 1);
  ASSERT_EQ(set.size(), 25);
  for (int i = 0; i < 25; ++i) {
    const Scene scene = kSource.scene(11, i);
    EXPECT_EQ(std::stoi(set.names[i]), i);
    EXPECT_EQ(set.image(i).pixels, scene.image.pixels);
    EXPECT_EQ(set.mask(i).values, scene.mask.values);
    for (int k = 0; k < kObjects; ++k) {
      EXPECT_EQ(set.objects[i].at(k).category, scene.objects[k].category);
      EXPECT_EQ(set.objects[i][k].x, scene.objects[k].x);
      EXPECT_EQ(set.objects[i][k].y, scene.objects[k].y);
    }
  }
}

TEST(Generate, RefusesCountsAndFolders) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  for (const std::int64_t count : {std::int64_t{0}, std::int64_t{-5}, kMaxGeneratedScenes + 1}) {
    EXPECT_EQ(user_error([&] { generate_scenes(kSource, count, 0, out); }),
              "the number of scenes is " + std::to_string(count) + ", wanted 1 to 1000000");
  }
  EXPECT_FALSE(fs::exists(out));
  create_folder(out);
  generate_scenes(kSource, 1, 0, out);
  const auto before = all_files(out);
  EXPECT_EQ(user_error([&] { generate_scenes(kSource, 1, 1, out); }),
            out + ": is not empty, wanted a new or an empty folder");
  EXPECT_EQ(all_files(out), before);
  EXPECT_EQ(user_error([&] { generate_scenes(kSource, 1, 1, out + "/objects.jsonl"); }),
            out + "/objects.jsonl: is a file, not a folder");
}

TEST(Generate, AFullDiskLeavesNothingBehind) {
  const TemporaryFolder folder;
  // The labels exceed the limit, the images do not.
  const FileSizeLimit limit(2000);
  EXPECT_EQ(user_error([&] { generate_scenes(kSource, 100, 0, folder / "out", 2); }),
            (folder / "out/objects.jsonl").string() + ": File too large");
  EXPECT_FALSE(fs::exists(folder / "out"));
}

}  // namespace
}  // namespace osc::program
