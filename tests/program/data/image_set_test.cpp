#include "data/image_set.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "data/objects_jsonl.hpp"
#include "support/files.hpp"
#include "temporary_folder.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;
using Names = std::vector<std::string>;

// One pixel whose red is the number of the image.
std::string numbered_png(int number) {
  return encode_png(Image{1, 1, {static_cast<std::uint8_t>(number), 0, 0}});
}

void put(const fs::path& path, const std::string& bytes = numbered_png(0)) {
  create_folder(path.parent_path());
  write_file_atomically(path, bytes);
}

Names below(const fs::path& folder, const std::vector<fs::path>& paths) {
  Names names;
  for (const fs::path& path : paths) names.push_back(path.lexically_relative(folder).string());
  return names;
}

TEST(ListImages, FindsAllBelowTheFolderInOrder) {
  const TemporaryFolder folder;
  for (const char* name : {"b.png", "a.JPG", "sub/deep/c.jpeg", "sub/x.Png", "notes.txt", "png",
                           ".hidden.png", ".git/d.png", "folder.png/inside.png"})
    put(folder / name);
  fs::create_directory_symlink(folder.path(), folder / "loop");
  fs::create_symlink(folder / "b.png", folder / "link.png");
  EXPECT_EQ(below(folder.path(), list_images(folder.path())),
            (Names{"a.JPG", "b.png", "folder.png/inside.png", "link.png", "sub/deep/c.jpeg",
                   "sub/x.Png"}));
}

TEST(ListImages, RefusesAFolderWithoutImages) {
  const TemporaryFolder folder;
  const auto error = [&](const fs::path& path) { return user_error([&] { list_images(path); }); };
  EXPECT_EQ(error(folder.path()), folder.path().string() + ": holds no PNG or JPEG image");
  put(folder / "f.png");
  EXPECT_EQ(error(folder / "f.png"), (folder / "f.png").string() + ": is not a folder");
  EXPECT_EQ(error(folder / "missing"),
            (folder / "missing").string() + ": No such file or directory");
}

TEST(ListFiles, HasTheGroundTruthOfTheImages) {
  const TemporaryFolder folder;
  for (const char* name : {"cover.png", "images/a.png", "images/sub/b.jpg", "images/c.png",
                           "masks/a.png", "masks/sub/b.png", "masks/other.png", "objects.jsonl"})
    put(folder / name);
  EXPECT_EQ(below(folder.path(), list_files(folder.path())),
            (Names{"images/a.png", "images/c.png", "images/sub/b.jpg", "masks/a.png",
                   "masks/sub/b.png", "objects.jsonl"}));
  EXPECT_EQ(list_files(folder / "images").size(), 3U);
}

TEST(ReadImageSet, KeepsTheOrderForAnyNumberOfThreads) {
  const TemporaryFolder folder;
  for (int i = 0; i < 60; ++i)
    put(folder / (std::to_string(100 + i) + ".png"), i % 20 == 7 ? "broken" : numbered_png(i));
  const ImageSet one = read_image_set(folder.path(), 2, 1);
  const ImageSet many = read_image_set(folder.path(), 2, 4);
  EXPECT_EQ(one.names, many.names);
  EXPECT_EQ(one.pixels, many.pixels);
  EXPECT_EQ(one.skipped, many.skipped);
  ASSERT_EQ(one.skipped.size(), 3U);
  EXPECT_EQ(one.skipped[0], (folder / "107.png").string() + ": is neither a PNG nor a JPEG image");
  ASSERT_EQ(one.size(), 57);
  for (int i = 0; i < 57; ++i) EXPECT_EQ(one.image(i).pixels[0], std::stoi(one.names[i]) - 100);
  EXPECT_FALSE(one.has_masks() || one.has_objects());
}

TEST(ReadImageSet, StopsWhereMoreThanATenthIsCorrupt) {
  const TemporaryFolder folder;
  const auto error = [&] { return user_error([&] { read_image_set(folder.path(), 1, 2); }); };
  for (int i = 0; i < 10; ++i)
    put(folder / (std::to_string(i) + ".png"), i == 0 ? "" : numbered_png(i));
  EXPECT_EQ(error(), "(no error)");
  for (int i = 1; i < 4; ++i) put(folder / (std::to_string(i) + ".png"), "broken");
  const std::string message = error();
  EXPECT_TRUE(message.starts_with(folder.path().string() + ": 4 of 10 images cannot be read; " +
                                  (folder / "0.png").string() + ": the file is empty; "))
      << message;
  EXPECT_TRUE(message.ends_with("; …")) << message;
}

TEST(ReadImageSet, ReadsAndScalesGroundTruth) {
  const TemporaryFolder folder;
  const std::string image = encode_png(Image{2, 4, Bytes(24, 9)});
  put(folder / "images/a.png", image);
  put(folder / "images/sub/b.png", image);
  put(folder / "masks/a.png", encode_png(Mask{2, 4, {0, 1, 0, 1, 2, 2, 2, 2}}));
  const auto label = [](const std::string& name, const std::string& category) {
    return objects_json_line(name, std::vector<SceneObject>{{category, 1.5F, 1.0F}}) + "\n";
  };
  put(folder / "objects.jsonl", label("a", "dog"));
  EXPECT_FALSE(read_image_set(folder.path(), 4, 1).has_masks());  // one image has none
  put(folder / "masks/sub/b.png", encode_png(Mask{2, 4, Bytes(8, 3)}));
  const ImageSet set = read_image_set(folder.path(), 4, 1);
  EXPECT_EQ(set.names, (Names{"a", "sub/b"}));
  EXPECT_EQ(set.mask(0).values, (Bytes{0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2}));
  EXPECT_EQ(set.mask(1).values, Bytes(16, 3));
  EXPECT_FALSE(set.has_objects());  // one image has none
  put(folder / "objects.jsonl", label("sub/b", "cat") + label("a", "dog") + label("other", "emu"));
  const ImageSet labelled = read_image_set(folder.path(), 4, 1);
  EXPECT_EQ(labelled.categories, (Names{"cat", "dog", "emu"}));
  ASSERT_EQ(labelled.objects.size(), 2U);
  EXPECT_EQ(labelled.objects[0].at(0).category, "dog");
  EXPECT_EQ(labelled.objects[0][0].x, 3.0F);
  EXPECT_EQ(labelled.objects[0][0].y, 1.0F);
  const ImageSet last = select(labelled, {1});
  EXPECT_EQ(last.names, Names{"sub/b"});
  EXPECT_EQ(last.mask(0).values, Bytes(16, 3));
  EXPECT_EQ(last.objects[0][0].category, "cat");
  EXPECT_EQ(last.categories, labelled.categories);
}

TEST(ReadImageSet, WrongGroundTruthIsAnError) {
  const TemporaryFolder folder;
  const std::string mask = folder / "masks/a.png", labels = folder / "objects.jsonl";
  const auto error = [&] { return user_error([&] { read_image_set(folder.path(), 1, 2); }); };
  put(folder / "images/a.png");
  put(mask, encode_png(Mask{2, 1, {0, 1}}));
  EXPECT_EQ(error(), mask + ": the mask has 2 x 1 pixels, its image 1 x 1");
  fs::remove(mask);
  ASSERT_EQ(::mkfifo(mask.c_str(), 0600), 0);
  EXPECT_EQ(error(), mask + ": is a pipe, not a file");
  fs::remove(mask);
  put(mask, "text");
  EXPECT_EQ(error(), mask + ": is not a mask: wanted a PNG image");
  fs::remove(mask);
  put(labels, "text\n");
  EXPECT_EQ(error(), labels + ":1: is not a JSON object");
}

}  // namespace
}  // namespace osc::program
