#include "data/generate.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <iterator>
#include <map>
#include <string>

#include "data/image_folder.hpp"
#include "data/scenes.hpp"
#include "support/files.hpp"
#include "temporary_folder.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

namespace fs = std::filesystem;

std::map<std::string, std::string> all_files(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      files[entry.path().lexically_relative(folder).string()] = read_file(entry.path());
  }
  return files;
}

TEST(Generate, WritesTheScenes) {
  const TemporaryFolder folder;
  generate_scenes(25, 11, folder / "out", 2);
  const auto files = all_files(folder / "out");
  EXPECT_EQ(files.size(), 51U);
  EXPECT_TRUE(files.contains("images/000000.png"));
  EXPECT_TRUE(files.contains("masks/000024.png"));
  const FolderContents contents = read_image_folder(folder / "out", kSceneSide, 1);
  ASSERT_EQ(contents.entries.size(), 25U);
  for (std::size_t i = 0; i < contents.entries.size(); ++i) {
    const Scene scene = tetromino_scene(11, i);
    const FolderEntry& entry = contents.entries[i];
    EXPECT_EQ(std::stoul(entry.name), i);
    EXPECT_EQ(entry.image.pixels, scene.image.pixels);
    ASSERT_TRUE(entry.mask);
    EXPECT_EQ(entry.mask->values, scene.mask.values);
    ASSERT_EQ(entry.objects.size(), scene.objects.size());
    for (std::size_t k = 0; k < scene.objects.size(); ++k) {
      EXPECT_EQ(entry.objects[k].shape, scene.objects[k].shape);
      EXPECT_EQ(entry.objects[k].colour, scene.objects[k].colour);
      EXPECT_EQ(entry.objects[k].x, scene.objects[k].x);
      EXPECT_EQ(entry.objects[k].y, scene.objects[k].y);
    }
  }
}

TEST(Generate, TheSameForAnyNumberOfThreads) {
  const TemporaryFolder folder;
  generate_scenes(40, 12, folder / "one", 1);
  generate_scenes(40, 12, folder / "four", 4);
  EXPECT_EQ(all_files(folder / "one"), all_files(folder / "four"));
}

TEST(Generate, RefusesCountsOutOfRange) {
  const TemporaryFolder folder;
  for (const std::int64_t count : {std::int64_t{0}, std::int64_t{-5}, kMaxGeneratedScenes + 1}) {
    EXPECT_EQ(user_error([&] { generate_scenes(count, 0, folder / "out"); }),
              "the number of scenes must be 1 to 1000000, not " + std::to_string(count));
  }
  EXPECT_FALSE(fs::exists(folder / "out"));
}

TEST(Generate, RefusesAFolderThatIsNotEmpty) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  create_folder(out);
  generate_scenes(1, 0, out);
  const auto before = all_files(out);
  EXPECT_EQ(user_error([&] { generate_scenes(1, 1, out); }),
            out + ": is not empty; scenes are written into a new or an empty folder");
  EXPECT_EQ(all_files(out), before);
  EXPECT_EQ(user_error([&] { generate_scenes(1, 1, out + "/objects.jsonl"); }),
            out + "/objects.jsonl: is a file, not a folder");
}

TEST(Generate, AFullDiskLeavesNothingBehind) {
  const TemporaryFolder folder;
  // The list outgrows the limit while the images stay below it.
  const auto previous_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit previous{};
  ::getrlimit(RLIMIT_FSIZE, &previous);
  const rlimit limit{2000, previous.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  const std::string message = user_error([&] { generate_scenes(100, 0, folder / "out", 2); });
  ::setrlimit(RLIMIT_FSIZE, &previous);
  std::signal(SIGXFSZ, previous_handler);
  EXPECT_EQ(message, (folder / "out/objects.jsonl").string() + ": File too large");
  EXPECT_FALSE(fs::exists(folder / "out"));
}

}  // namespace
}  // namespace osc::program
