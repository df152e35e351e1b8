#include "data/image_set.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "data/objects_jsonl.hpp"
#include "support/error.hpp"
#include "support/parallel.hpp"

namespace osc::program {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReasonsInMessage = 3;
constexpr std::size_t kSkippedOneIn = 10;  // more corrupt images than this share are an error

// Where the images themselves lie.
fs::path image_root(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_directory(folder / "images", ignored) ? folder / "images" : folder;
}

bool has_image_ending(const fs::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  constexpr std::array<std::string_view, 3> kEndings = {".png", ".jpg", ".jpeg"};
  return std::ranges::find(kEndings, ending) != kEndings.end();
}

// The ground truth of a folder; empty paths for what it does not have.
struct TruthPaths {
  fs::path masks, objects;

  explicit TruthPaths(const fs::path& folder) {
    std::error_code ignored;
    if (image_root(folder) == folder) return;
    if (fs::is_directory(folder / "masks", ignored)) masks = folder / "masks";
    if (fs::exists(folder / "objects.jsonl", ignored)) objects = folder / "objects.jsonl";
  }

  // Nothing where the image has none.
  std::optional<fs::path> mask_of(const std::string& name) const {
    std::error_code ignored;
    if (masks.empty() || !fs::exists(masks / (name + ".png"), ignored)) return std::nullopt;
    return masks / (name + ".png");
  }
};

std::string name_below(const fs::path& root, const fs::path& path) {
  return path.lexically_relative(root).replace_extension().generic_string();
}

// An image with its ground truth, or the reason why it could not be read.
struct Entry {
  std::string name, error;
  Image image;
  std::optional<Mask> mask;
  std::vector<SceneObject> objects;
};

class FolderReader {
 public:
  FolderReader(const fs::path& folder, int side)
      : root_(image_root(folder)), truth_(folder), side_(side) {
    if (!truth_.objects.empty()) objects_ = read_objects_jsonl(truth_.objects);
  }

  Entry read(const fs::path& path) const {
    Entry entry{name_below(root_, path), {}, {}, {}, {}};
    Resized<Image> image;
    try {
      image = read_image(path, side_, side_);
    } catch (const UserError& error) {
      entry.error = error.what();
      return entry;
    }
    if (const auto mask = truth_.mask_of(entry.name)) entry.mask = read_fitting_mask(*mask, image);
    if (const auto found = objects_.find(entry.name); found != objects_.end())
      entry.objects = scaled(found->second, image);
    entry.image = std::move(image.picture);
    return entry;
  }

  // The names of all categories of objects.jsonl, sorted.
  std::vector<std::string> categories() const {
    std::set<std::string> names;
    for (const auto& [image, objects] : objects_) {
      for (const SceneObject& object : objects) names.insert(object.category);
    }
    return {names.begin(), names.end()};
  }

 private:
  Mask read_fitting_mask(const fs::path& path, const Resized<Image>& image) const {
    Resized<Mask> mask = read_mask(path, side_, side_);
    if (mask.file_width != image.file_width || mask.file_height != image.file_height) {
      throw UserError(path.string() + ": the mask has " + std::to_string(mask.file_width) + " x " +
                      std::to_string(mask.file_height) + " pixels, its image " +
                      std::to_string(image.file_width) + " x " + std::to_string(image.file_height));
    }
    return std::move(mask.picture);
  }

  std::vector<SceneObject> scaled(std::vector<SceneObject> objects,
                                  const Resized<Image>& image) const {
    for (SceneObject& object : objects) {
      object.x *= static_cast<float>(side_) / static_cast<float>(image.file_width);
      object.y *= static_cast<float>(side_) / static_cast<float>(image.file_height);
    }
    return objects;
  }

  fs::path root_;
  TruthPaths truth_;
  ImageObjects objects_;
  int side_;
};

}  // namespace

std::vector<fs::path> list_images(const fs::path& folder) {
  std::error_code error;
  const auto check = [&](const fs::path& path) {
    if (error) throw UserError(path.string() + ": " + error.message());
  };
  if (!fs::is_directory(folder, error)) {
    check(folder);
    throw UserError(folder.string() + ": is not a folder");
  }
  const fs::path root = image_root(folder);
  std::vector<fs::path> paths;
  fs::recursive_directory_iterator entry(root, error);
  check(root);
  while (entry != fs::recursive_directory_iterator()) {
    const fs::path& path = entry->path();
    if (path.filename().string().starts_with('.')) {
      entry.disable_recursion_pending();
    } else if (has_image_ending(path) && entry->is_regular_file(error)) {
      paths.push_back(path);
    }
    entry.increment(error);
    check(root);
  }
  if (paths.empty()) throw UserError(root.string() + ": holds no PNG or JPEG image");
  std::ranges::sort(paths, {},
                    [](const fs::path& path) -> const std::string& { return path.native(); });
  return paths;
}

std::vector<fs::path> list_files(const fs::path& folder) {
  std::vector<fs::path> paths = list_images(folder);
  const TruthPaths truth(folder);
  const std::size_t images = paths.size();
  for (std::size_t i = 0; i < images; ++i) {
    if (auto mask = truth.mask_of(name_below(image_root(folder), paths[i])))
      paths.push_back(std::move(*mask));
  }
  if (!truth.objects.empty()) paths.push_back(truth.objects);
  return paths;
}

ImageSet read_image_set(const fs::path& folder, int side, int threads) {
  const std::vector<fs::path> paths = list_images(folder);
  const FolderReader reader(folder, side);
  std::vector<Entry> entries(paths.size());
  parallel_for(std::ssize(paths), threads, [&](std::int64_t i) {
    const auto k = static_cast<std::size_t>(i);
    entries[k] = reader.read(paths[k]);
  });
  ImageSet set;
  set.source = folder.string();
  set.side = side;
  set.categories = reader.categories();
  for (Entry& entry : entries) {
    if (!entry.error.empty()) set.skipped.push_back(std::move(entry.error));
  }
  const std::size_t skipped = set.skipped.size();
  if (skipped * kSkippedOneIn > paths.size() || skipped == paths.size()) {
    std::string message = folder.string() + ": " + std::to_string(skipped) + " of " +
                          std::to_string(paths.size()) + " images cannot be read";
    for (std::size_t i = 0; i < std::min(skipped, kReasonsInMessage); ++i)
      message += "; " + set.skipped[i];
    throw UserError(skipped > kReasonsInMessage ? message + "; …" : message);
  }
  // A skipped image leaves neither a name nor a mask.
  std::erase_if(entries, [](const Entry& entry) { return entry.image.pixels.empty(); });
  const bool masks = std::ranges::all_of(entries, [](const Entry& e) { return bool(e.mask); });
  const bool objects =
      masks && std::ranges::none_of(entries, [](const Entry& e) { return e.objects.empty(); });
  for (Entry& entry : entries) {
    set.names.push_back(std::move(entry.name));
    set.pixels.insert(set.pixels.end(), entry.image.pixels.begin(), entry.image.pixels.end());
    if (masks)
      set.masks.insert(set.masks.end(), entry.mask->values.begin(), entry.mask->values.end());
    if (objects) set.objects.push_back(std::move(entry.objects));
  }
  return set;
}

Image ImageSet::image(std::int64_t index) const {
  const std::int64_t bytes = std::int64_t{3} * side * side;
  return {side, side, {pixels.begin() + index * bytes, pixels.begin() + (index + 1) * bytes}};
}

Mask ImageSet::mask(std::int64_t index) const {
  const std::int64_t bytes = std::int64_t{side} * side;
  return {side, side, {masks.begin() + index * bytes, masks.begin() + (index + 1) * bytes}};
}

ImageSet select(const ImageSet& set, const std::vector<std::int64_t>& indices) {
  ImageSet chosen;
  chosen.source = set.source;
  chosen.side = set.side;
  chosen.categories = set.categories;
  const std::int64_t area = std::int64_t{set.side} * set.side;
  for (const std::int64_t i : indices) {
    chosen.names.push_back(set.names[i]);
    chosen.pixels.insert(chosen.pixels.end(), set.pixels.begin() + i * area * 3,
                         set.pixels.begin() + (i + 1) * area * 3);
    if (set.has_masks())
      chosen.masks.insert(chosen.masks.end(), set.masks.begin() + i * area,
                          set.masks.begin() + (i + 1) * area);
    if (set.has_objects()) chosen.objects.push_back(set.objects[i]);
  }
  return chosen;
}

}  // namespace osc::program
