#include "data/objects_jsonl.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "support/error.hpp"
#include "support/files.hpp"
#include "support/json.hpp"

namespace osc::program {
namespace {

using Json = nlohmann::json;

constexpr int kMaxObjects = 255;  // a mask has no more values

const Json& field(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) throw UserError(std::string("lacks \"") + key + "\"");
  return *found;
}

int integer_field(const Json& object, const char* key, int least, int most) {
  const Json& value = field(object, key);
  // An unsigned number beyond the range of a signed one would wrap around.
  const bool fits = value.is_number_unsigned()
                        ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(most)
                        : value.is_number_integer();
  if (!fits || value.get<std::int64_t>() < least || value.get<std::int64_t>() > most) {
    throw UserError(std::string("\"") + key + "\" is not a whole number of " +
                    std::to_string(least) + " to " + std::to_string(most));
  }
  return value.get<int>();
}

float position_field(const Json& object, const char* key) {
  const Json& value = field(object, key);
  const double position = value.is_number() ? value.get<double>() : -1;
  if (!(position >= 0 && position <= kMaxImageSide))
    throw UserError(std::string("\"") + key + "\" is not a position in an image");
  return static_cast<float>(position);
}

void check_name(const Json& object, const char* key, std::string_view wanted) {
  const Json& value = field(object, key);
  if (!value.is_string() || value.get_ref<const std::string&>() != wanted) {
    throw UserError(std::string("\"") + key + "\" does not fit its number, which is that of \"" +
                    std::string(wanted) + "\"");
  }
}

std::vector<SceneObject> parse_objects(const Json& list) {
  if (!list.is_array() || list.size() > kMaxObjects)
    throw UserError("\"objects\" is not a list of at most " + std::to_string(kMaxObjects));
  std::vector<SceneObject> objects(list.size());
  std::vector<bool> seen(list.size(), false);
  for (const Json& item : list) {
    if (!item.is_object()) throw UserError("\"objects\" holds something else than objects");
    SceneObject object;
    object.shape = integer_field(item, "shape_id", 0, kSceneShapes - 1);
    object.colour = integer_field(item, "colour_id", 0, kSceneColours - 1);
    check_name(item, "shape", shape_name(object.shape));
    check_name(item, "colour", colour_name(object.colour));
    object.x = position_field(item, "x");
    object.y = position_field(item, "y");
    const auto k = static_cast<std::size_t>(
        integer_field(item, "mask", 1, static_cast<int>(objects.size())) - 1);
    if (seen[k]) throw UserError("two objects have the same \"mask\"");
    seen[k] = true;
    objects[k] = object;
  }
  return objects;
}

std::pair<std::string, std::vector<SceneObject>> parse_line(std::string_view line) {
  const Json json = parse_json(line);
  if (!json.is_object()) throw UserError("is not a JSON object");
  const Json& image = field(json, "image");
  if (!image.is_string()) throw UserError("\"image\" is not a string");
  return {image.get<std::string>(), parse_objects(field(json, "objects"))};
}

}  // namespace

std::string objects_json_line(std::string_view image, std::span<const SceneObject> objects) {
  using OrderedJson = nlohmann::ordered_json;
  OrderedJson list = OrderedJson::array();
  for (std::size_t k = 0; k < objects.size(); ++k) {
    const SceneObject& object = objects[k];
    list.push_back(OrderedJson{{"shape", shape_name(object.shape)},
                               {"shape_id", object.shape},
                               {"colour", colour_name(object.colour)},
                               {"colour_id", object.colour},
                               {"x", object.x},
                               {"y", object.y},
                               {"mask", k + 1}});
  }
  return OrderedJson{{"image", image}, {"objects", std::move(list)}}.dump();
}

std::map<std::string, std::vector<SceneObject>, std::less<>> read_objects_jsonl(
    const std::filesystem::path& path) {
  const std::string text = read_file(path);
  std::map<std::string, std::vector<SceneObject>, std::less<>> result;
  std::size_t number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      if (!result.insert(parse_line(line)).second)
        throw UserError("names an image for the second time");
    } catch (const UserError& error) {
      throw UserError(path.string() + ":" + std::to_string(number) + ": " + error.what());
    }
  }
  return result;
}

}  // namespace osc::program
