// All the images that a run works on, in memory at the model's size, with ground truth where there
// is any.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/image.hpp"
#include "data/scenes.hpp"

namespace osc::program {

struct ImageSet {
  std::string source;  // what a person would call it: "tetrominoes (heldout, seed 0)" or the folder
  int side = 0;        // images are side × side
  std::vector<std::string> names;    // one an image
  std::vector<std::uint8_t> pixels;  // [size, side, side, 3]
  std::vector<std::uint8_t> masks;   // [size, side, side], or empty without ground truth
  std::vector<std::vector<SceneObject>>
      objects;  // [size][objects]; empty without labels; objects[i][k] has mask value k + 1
  std::vector<std::string> skipped;  // one line for each image that could not be read

  std::int64_t size() const { return static_cast<std::int64_t>(names.size()); }
  bool has_masks() const { return !masks.empty(); }
  bool has_objects() const { return !objects.empty(); }
  Image image(std::int64_t index) const;
  Mask mask(std::int64_t index) const;
};

// The built-in scenes come in three sets that never share a scene seed: what is trained on, what
// may be looked at while training or choosing, and what is scored at the end and used for no
// choice; a fourth, as large, is searched by the retrieval measures.
enum class Split { train, heldout, final, gallery };

// `count` scenes of a split of the run with this seed. A pure function of its arguments for any
// number of threads.
ImageSet make_scene_set(Split split, std::uint64_t seed, std::int64_t count, int side, int threads);

// Every image of a folder (image_folder.hpp says which, and what is an error).
ImageSet read_image_set(const std::filesystem::path& folder, int side, int threads);

// The images at `indices`, in that order.
ImageSet select(const ImageSet& set, const std::vector<std::int64_t>& indices);

}  // namespace osc::program
