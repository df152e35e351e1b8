// The images that a run works on, in memory at the model's size, with ground truth where known.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/image.hpp"

namespace osc::program {

// A labelled object. Objects of equal `category` are of one kind.
struct SceneObject {
  std::string category;
  float x = 0, y = 0;  // centroid in pixels from the left and upper edge; a pixel's centre is +0.5
};

struct ImageSet {
  std::string source;                             // as shown to a user
  int side = 0;                                   // images are side × side
  std::vector<std::string> names;                 // one an image
  std::vector<std::uint8_t> pixels;               // [size, side, side, 3]
  std::vector<std::uint8_t> masks;                // [size, side, side]; empty: not known
  std::vector<std::vector<SceneObject>> objects;  // [size]; objects[i][k] has mask value k + 1
  std::vector<std::string> categories;            // that the source tells apart, sorted
  std::vector<std::string> skipped;               // a line for each image that could not be read

  std::int64_t size() const { return std::ssize(names); }
  bool has_masks() const { return !masks.empty(); }
  bool has_objects() const { return !objects.empty(); }
  Image image(std::int64_t index) const;
  Mask mask(std::int64_t index) const;
};

// The images at `indices`, in that order; without `skipped`.
ImageSet select(const ImageSet& set, const std::vector<std::int64_t>& indices);

// A folder of PNG and JPEG images:
//
//   DIR/images/**/NAME.{png,jpg,jpeg}  DIR/masks/**/NAME.png  DIR/objects.jsonl
//   DIR/**/NAME.{png,jpg,jpeg}         where there is no DIR/images
//
// Masks and objects.jsonl are optional; `osc generate` writes them. Endings count in any case of
// letters. Files and folders whose names begin with a dot are ignored, links to folders are not
// followed.

// Paths of the images, sorted byte by byte. Throws UserError where `folder` is not a folder or
// holds no image.
std::vector<std::filesystem::path> list_images(const std::filesystem::path& folder);

// All files that read_image_set reads: images, their masks, objects.jsonl.
std::vector<std::filesystem::path> list_files(const std::filesystem::path& folder);

// Every image of a folder, resized; the same for any number of threads. A name is the path below
// DIR/images or DIR without its ending. A corrupt image is skipped. Throws UserError where more
// than a tenth of them are, naming the first few. The set has masks where every image has one, and
// objects where every image also has labels. A mask or label file that cannot be read, and a mask
// of another size than its image, are errors. Centroids are scaled with the image.
ImageSet read_image_set(const std::filesystem::path& folder, int side, int threads);

}  // namespace osc::program
