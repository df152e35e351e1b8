#include "data/image_folder.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
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

// What a thread leaves for one image: an entry, or the reason why there is none.
struct Reading {
  std::optional<FolderEntry> entry;
  std::string skipped;
};

class FolderReader {
 public:
  FolderReader(const fs::path& folder, int side)
      : root_(image_root(folder)), truth_(folder), side_(side) {
    if (!truth_.objects.empty()) objects_ = read_objects_jsonl(truth_.objects);
  }

  Reading read(const fs::path& path) const {
    Resized<Image> image;
    try {
      image = read_image(path, side_, side_);
    } catch (const UserError& error) {
      return {std::nullopt, error.what()};
    }
    FolderEntry entry{path, name_below(root_, path), std::move(image.picture), std::nullopt, {}};
    if (const auto mask = truth_.mask_of(entry.name)) entry.mask = read_fitting_mask(*mask, image);
    if (const auto found = objects_.find(entry.name); found != objects_.end())
      entry.objects = scaled(found->second, image);
    return {std::move(entry), {}};
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
  std::map<std::string, std::vector<SceneObject>, std::less<>> objects_;
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

FolderContents read_image_folder(const fs::path& folder, int side, int threads,
                                 double max_skipped_share) {
  const std::vector<fs::path> paths = list_images(folder);
  const FolderReader reader(folder, side);
  std::vector<Reading> readings(paths.size());
  parallel_for(static_cast<std::int64_t>(paths.size()), threads, [&](std::int64_t i) {
    const auto k = static_cast<std::size_t>(i);
    readings[k] = reader.read(paths[k]);
  });
  FolderContents contents;
  for (Reading& reading : readings) {
    if (reading.entry) {
      contents.entries.push_back(std::move(*reading.entry));
    } else {
      contents.skipped.push_back(std::move(reading.skipped));
    }
  }
  const std::size_t skipped = contents.skipped.size();
  if (contents.entries.empty() ||
      static_cast<double>(skipped) > max_skipped_share * static_cast<double>(paths.size())) {
    std::string message = folder.string() + ": " + std::to_string(skipped) + " of " +
                          std::to_string(paths.size()) + " images cannot be read";
    for (std::size_t i = 0; i < std::min(skipped, kReasonsInMessage); ++i)
      message += "; " + contents.skipped[i];
    throw UserError(skipped > kReasonsInMessage ? message + "; …" : message);
  }
  return contents;
}

}  // namespace osc::program
