// The built-in scenes: tetrominoes on black, with ground truth. A scene is a pure function of
// (seed, index), the same on every machine.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "data/image.hpp"

namespace osc::program {

inline constexpr int kSceneSide = 36;    // pixels
inline constexpr int kSceneCell = 5;     // pixels a cell of a tetromino
inline constexpr int kSceneObjects = 3;  // objects a scene
inline constexpr int kSceneShapes =
    19;  // tetrominoes told apart by rotation, mirror images counted as the seven one-sided pieces
inline constexpr int kSceneColours = 6;  // red, green, blue, yellow, magenta, cyan, fully saturated

struct SceneObject {
  int shape = 0;   // 0 … kSceneShapes-1: the piece and its rotation, equal numbers for equal pixels
  int colour = 0;  // 0 … kSceneColours-1
  float x =
      0;  // centroid of its pixels, in pixels from the left edge (a pixel's centre is at +0.5)
  float y = 0;  // and from the top
};

struct Scene {
  Image image;                       // kSceneSide², black background
  Mask mask;                         // 0 background, k+1 for objects[k]
  std::vector<SceneObject> objects;  // kSceneObjects of them, none overlapping another
};

// Each object is one of the seven pieces, turned by a multiple of 90° and placed, all uniformly
// among what fits the image; where it overlaps an earlier one it is drawn anew, and the whole scene
// after 50 failures. Colours are independent of each other and of the shapes.
Scene tetromino_scene(std::uint64_t seed, std::uint64_t index);

// The piece and its degrees clockwise, e.g. "L90"; "red". Throw std::out_of_range for a number that
// is none.
std::string_view shape_name(int shape);
std::string_view colour_name(int colour);

}  // namespace osc::program
