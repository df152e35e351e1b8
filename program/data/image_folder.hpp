// A folder of PNG and JPEG images, with ground truth where the folder has it: what `osc generate`
// writes, or any folder of one's own.
//
//   DIR/images/**/NAME.{png,jpg,jpeg}  DIR/masks/**/NAME.png  DIR/objects.jsonl    as `osc
//   generate` writes them; masks and objects.jsonl are optional DIR/**/NAME.{png,jpg,jpeg} where
//   there is no DIR/images: every image below DIR
//
// Endings count in any case of letters. Files and folders whose names begin with a dot are passed
// over, and links to folders are not followed.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/image.hpp"
#include "data/scenes.hpp"

namespace osc::program {

struct FolderEntry {
  std::filesystem::path path;
  std::string name;  // path below DIR/images or DIR, without the ending
  Image image;       // resized to side × side
  std::optional<Mask> mask;
  std::vector<SceneObject> objects;  // objects[k] has the mask value k + 1; empty where
                                     // objects.jsonl does not list the image
};

struct FolderContents {
  std::vector<FolderEntry> entries;  // in the order of list_images
  std::vector<std::string> skipped;  // one line for each image that could not be read, with the
                                     // reason, in the same order
};

// Paths of the images, sorted byte by byte. Throws UserError where `folder` is not a folder or
// holds no image.
std::vector<std::filesystem::path> list_images(const std::filesystem::path& folder);

// All that reading the folder reads: images, their masks, objects.jsonl.
std::vector<std::filesystem::path> list_files(const std::filesystem::path& folder);

// Reads and resizes all images, on `threads` threads, with the same result for any number of them.
// A corrupt image is skipped and named; where more than `max_skipped_share` of them are, or all,
// throws UserError that names the first few. Ground truth that cannot be read, or a mask whose size
// is not its image's, is an error. Centroids of objects are scaled with the image.
FolderContents read_image_folder(const std::filesystem::path& folder, int side, int threads,
                                 double max_skipped_share = 0.1);

}  // namespace osc::program
