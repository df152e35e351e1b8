// objects.jsonl: the labelled objects of each image of a folder, one JSON object a line.
//
//   {"image":"000000","objects":[{"category":"red L90","x":12.5,"y":20.0,"mask":1}, …]}
//
// `image` is the image's path below images/ without its ending. `category` is any text that is not
// empty. x and y are the centroid in pixels from the left and upper edge. `mask` is the object's
// value in the image's mask.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/image_set.hpp"

namespace osc::program {

// The line of one image, without a line feed. objects[k] gets the mask value k + 1.
std::string objects_json_line(std::string_view image, std::span<const SceneObject> objects);

using ImageObjects = std::map<std::string, std::vector<SceneObject>, std::less<>>;

// The objects of each image, in the order of their mask values, which must be 1, 2, … without a
// gap. Empty lines and unknown keys are ignored. Throws UserError "PATH:LINE: reason" for any other
// line and for an image that is named twice.
ImageObjects read_objects_jsonl(const std::filesystem::path& path);

}  // namespace osc::program
