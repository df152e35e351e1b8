#include "data/image_folder.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <vector>

#include "data/objects_jsonl.hpp"
#include "support/files.hpp"
#include "temporary_folder.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

namespace fs = std::filesystem;

// One pixel whose red says which image it is.
std::string numbered_png(int number) {
  return encode_png(Image{1, 1, {static_cast<std::uint8_t>(number), 0, 0}});
}

void put(const fs::path& path, const std::string& bytes) {
  create_folder(path.parent_path());
  write_file_atomically(path, bytes);
}

std::vector<std::string> names(const FolderContents& contents) {
  std::vector<std::string> result;
  for (const FolderEntry& entry : contents.entries) result.push_back(entry.name);
  return result;
}

TEST(ListImages, FindsAllBelowTheFolderInOrder) {
  const TemporaryFolder folder;
  for (const char* name : {"b.png", "a.JPG", "sub/deep/c.jpeg", "sub/x.Png", "notes.txt", "png",
                           ".hidden.png", ".git/d.png", "folder.png/inside.png"}) {
    put(folder / name, numbered_png(0));
  }
  fs::create_directory_symlink(folder.path(), folder / "loop");
  fs::create_symlink(folder / "b.png", folder / "link.png");
  std::vector<std::string> found;
  for (const fs::path& path : list_images(folder.path()))
    found.push_back(path.lexically_relative(folder.path()).string());
  EXPECT_EQ(found, (std::vector<std::string>{"a.JPG", "b.png", "folder.png/inside.png", "link.png",
                                             "sub/deep/c.jpeg", "sub/x.Png"}));
}

TEST(ListImages, PrefersTheFolderOfImages) {
  const TemporaryFolder folder;
  put(folder / "images/a.png", numbered_png(0));
  put(folder / "masks/a.png", numbered_png(0));
  put(folder / "cover.png", numbered_png(0));
  EXPECT_EQ(list_images(folder.path()), std::vector<fs::path>{folder / "images/a.png"});
}

TEST(ListImages, RefusesWhatHoldsNone) {
  const TemporaryFolder folder;
  EXPECT_EQ(user_error([&] { list_images(folder.path()); }),
            folder.path().string() + ": holds no PNG or JPEG image");
  put(folder / "f.png", numbered_png(0));
  EXPECT_EQ(user_error([&] { list_images(folder / "f.png"); }),
            (folder / "f.png").string() + ": is not a folder");
  EXPECT_EQ(user_error([&] { list_images(folder / "missing"); }),
            (folder / "missing").string() + ": No such file or directory");
}

TEST(ListFiles, HasTheGroundTruthOfTheImages) {
  const TemporaryFolder folder;
  for (const char* name : {"images/a.png", "images/sub/b.jpg", "images/c.png", "masks/a.png",
                           "masks/sub/b.png", "masks/other.png", "objects.jsonl", "notes.txt"})
    put(folder / name, numbered_png(0));
  EXPECT_EQ(list_files(folder.path()),
            (std::vector<fs::path>{folder / "images/a.png", folder / "images/c.png",
                                   folder / "images/sub/b.jpg", folder / "masks/a.png",
                                   folder / "masks/sub/b.png", folder / "objects.jsonl"}));
  EXPECT_EQ(list_files(folder / "images").size(), 3U);
}

TEST(ReadImageFolder, KeepsTheOrderForAnyNumberOfThreads) {
  const TemporaryFolder folder;
  for (int i = 0; i < 60; ++i)
    put(folder / (std::to_string(100 + i) + ".png"), i % 20 == 7 ? "broken" : numbered_png(i));
  const FolderContents one = read_image_folder(folder.path(), 2, 1);
  const FolderContents many = read_image_folder(folder.path(), 2, 4);
  ASSERT_EQ(one.entries.size(), 57U);
  EXPECT_EQ(names(one), names(many));
  EXPECT_EQ(one.skipped, many.skipped);
  ASSERT_EQ(one.skipped.size(), 3U);
  EXPECT_EQ(one.skipped[0], (folder / "107.png").string() + ": is neither a PNG nor a JPEG image");
  for (std::size_t i = 0; i < one.entries.size(); ++i) {
    EXPECT_EQ(one.entries[i].image.pixels, many.entries[i].image.pixels);
    EXPECT_EQ(one.entries[i].image.pixels[0], std::stoi(one.entries[i].name) - 100);
    EXPECT_EQ(one.entries[i].image.width, 2);
    EXPECT_EQ(one.entries[i].image.height, 2);
    EXPECT_FALSE(one.entries[i].mask);
    EXPECT_TRUE(one.entries[i].objects.empty());
  }
}

TEST(ReadImageFolder, StopsWhereTooManyAreBroken) {
  const TemporaryFolder folder;
  for (int i = 0; i < 10; ++i)
    put(folder / (std::to_string(i) + ".png"), i < 4 ? "broken" : numbered_png(i));
  EXPECT_EQ(read_image_folder(folder.path(), 1, 2, 0.4).entries.size(), 6U);
  const std::string message = user_error([&] { read_image_folder(folder.path(), 1, 2, 0.39); });
  EXPECT_TRUE(message.starts_with(folder.path().string() + ": 4 of 10 images cannot be read; " +
                                  (folder / "0.png").string() + ": "))
      << message;
  EXPECT_TRUE(message.ends_with("; …")) << message;
  EXPECT_EQ(std::ranges::count(message, '\n'), 0);
}

TEST(ReadImageFolder, StopsWhereAllAreBroken) {
  const TemporaryFolder folder;
  put(folder / "a.png", "");
  EXPECT_EQ(user_error([&] { read_image_folder(folder.path(), 1, 1, 1.0); }),
            folder.path().string() + ": 1 of 1 images cannot be read; " +
                (folder / "a.png").string() + ": the file is empty");
}

TEST(ReadImageFolder, ReadsAndScalesGroundTruth) {
  const TemporaryFolder folder;
  const Image image{2, 4, std::vector<std::uint8_t>(24, 9)};
  put(folder / "images/a.png", encode_png(image));
  put(folder / "images/sub/b.png", encode_png(image));
  put(folder / "masks/a.png", encode_png(Mask{2, 4, {0, 1, 0, 1, 2, 2, 2, 2}}));
  put(folder / "masks/sub/b.png", encode_png(Mask{2, 4, {3, 3, 3, 3, 3, 3, 3, 3}}));
  put(folder / "objects.jsonl",
      objects_json_line("a", std::vector<SceneObject>{{1, 2, 1.5F, 1.0F}}) + "\n");
  const FolderContents contents = read_image_folder(folder.path(), 4, 1);
  ASSERT_EQ(names(contents), (std::vector<std::string>{"a", "sub/b"}));
  const FolderEntry& a = contents.entries[0];
  ASSERT_TRUE(a.mask);
  EXPECT_EQ(a.mask->values,
            (std::vector<std::uint8_t>{0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2}));
  ASSERT_EQ(a.objects.size(), 1U);
  EXPECT_EQ(a.objects[0].x, 3.0F);
  EXPECT_EQ(a.objects[0].y, 1.0F);
  ASSERT_TRUE(contents.entries[1].mask);
  EXPECT_EQ(contents.entries[1].mask->values, std::vector<std::uint8_t>(16, 3));
  EXPECT_TRUE(contents.entries[1].objects.empty());
}

TEST(ReadImageFolder, AMaskMayBeMissing) {
  const TemporaryFolder folder;
  put(folder / "images/a.png", numbered_png(1));
  put(folder / "images/b.png", numbered_png(2));
  put(folder / "masks/b.png", encode_png(Mask{1, 1, {5}}));
  const FolderContents contents = read_image_folder(folder.path(), 1, 1);
  EXPECT_FALSE(contents.entries[0].mask);
  EXPECT_TRUE(contents.entries[1].mask);
}

TEST(ReadImageFolder, WrongGroundTruthIsAnError) {
  const TemporaryFolder folder;
  put(folder / "images/a.png", numbered_png(1));
  const std::string mask = folder / "masks/a.png";
  put(mask, encode_png(Mask{2, 1, {0, 1}}));
  EXPECT_EQ(user_error([&] { read_image_folder(folder.path(), 1, 2); }),
            mask + ": the mask has 2 x 1 pixels, its image 1 x 1");
  fs::remove(mask);
  ASSERT_EQ(::mkfifo(mask.c_str(), 0600), 0);
  EXPECT_EQ(user_error([&] { read_image_folder(folder.path(), 1, 2); }),
            mask + ": is a pipe, not a file");
  fs::remove(mask);
  put(mask, "text");
  EXPECT_EQ(user_error([&] { read_image_folder(folder.path(), 1, 2); }),
            mask + ": is not a mask: wanted a PNG image");
  fs::remove(mask);
  put(folder / "objects.jsonl", "text\n");
  EXPECT_EQ(user_error([&] { read_image_folder(folder.path(), 1, 2); }),
            (folder / "objects.jsonl").string() + ":1: is not a JSON object");
}

}  // namespace
}  // namespace osc::program
