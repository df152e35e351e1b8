// objects.jsonl: what is in each image of a generated folder, one JSON object a line.
//
//   {"image":"000000","objects":[{"shape":"L90","shape_id":8,"colour":"red","colour_id":0,
//   "x":12.5,"y":20.0,"mask":1}, …]}
//
// `image` is the image's path below images/ without its ending; x and y are the centroid in pixels
// from the left and upper edge; `mask` is the object's value in the image's mask.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/scenes.hpp"

namespace osc::program {

// The line of one image, without a line feed. objects[k] gets the mask value k + 1.
std::string objects_json_line(std::string_view image, std::span<const SceneObject> objects);

// The objects of each image, in the order of their mask values, which must be 1, 2, … without a
// gap. Empty lines and keys other than the above are passed over. Throws UserError "PATH:LINE:
// reason" for a line that is not as above, for numbers out of range and names that contradict them,
// and for an image that is named twice.
std::map<std::string, std::vector<SceneObject>, std::less<>> read_objects_jsonl(
    const std::filesystem::path& path);

}  // namespace osc::program
