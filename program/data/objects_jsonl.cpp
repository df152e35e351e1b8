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

float position_field(const Json& object, const char* key) {
  const Json& value = field(object, key);
  const double position = value.is_number() ? value.get<double>() : -1;
  if (!(position >= 0 && position <= kMaxImageSide))
    throw UserError(std::string("\"") + key + "\" is not a position in an image");
  return static_cast<float>(position);
}

std::string text_field(const Json& object, const char* key) {
  const Json& value = field(object, key);
  if (!value.is_string() || value.get_ref<const std::string&>().empty())
    throw UserError(std::string("\"") + key + "\" is not a text");
  return value.get<std::string>();
}

std::vector<SceneObject> parse_objects(const Json& list) {
  if (!list.is_array() || list.size() > kMaxObjects)
    throw UserError("\"objects\" is not a list of at most " + std::to_string(kMaxObjects));
  std::vector<SceneObject> objects(list.size());
  for (const Json& item : list) {
    if (!item.is_object()) throw UserError("\"objects\" holds a value that is not an object");
    const Json& mask = field(item, "mask");
    if (!mask.is_number_unsigned() || mask == 0 || mask > list.size())
      throw UserError("\"mask\" is not a whole number of 1 to " + std::to_string(list.size()));
    SceneObject& object = objects[mask.get<std::size_t>() - 1];
    if (!object.category.empty()) throw UserError("two objects have the same \"mask\"");
    object = {text_field(item, "category"), position_field(item, "x"), position_field(item, "y")};
  }
  return objects;
}

std::pair<std::string, std::vector<SceneObject>> parse_line(std::string_view line) {
  const Json json = parse_json(line);
  if (!json.is_object()) throw UserError("is not a JSON object");
  return {text_field(json, "image"), parse_objects(field(json, "objects"))};
}

}  // namespace

std::string objects_json_line(std::string_view image, std::span<const SceneObject> objects) {
  using OrderedJson = nlohmann::ordered_json;
  OrderedJson list = OrderedJson::array();
  for (std::size_t k = 0; k < objects.size(); ++k) {
    const auto& [category, x, y] = objects[k];
    list.push_back(OrderedJson{{"category", category}, {"x", x}, {"y", y}, {"mask", k + 1}});
  }
  return OrderedJson{{"image", image}, {"objects", std::move(list)}}.dump();
}

ImageObjects read_objects_jsonl(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  ImageObjects result;
  std::size_t number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    with_prefix(path.string() + ":" + std::to_string(number) + ": ", [&] {
      if (!result.insert(parse_line(line)).second) throw UserError("names an image a second time");
    });
  }
  return result;
}

}  // namespace osc::program
