#include "data/image_set.hpp"

#include <algorithm>

#include "data/image_folder.hpp"
#include "support/parallel.hpp"

namespace osc::program {

namespace {

// Seeds of scenes with the highest bit set are the splits' own: `osc generate` takes the others,
// and no two runs or splits share one.
std::uint64_t scene_seed(Split split, std::uint64_t seed) {
  return std::uint64_t{1} << 63 | seed << 2 | static_cast<std::uint64_t>(split);
}

std::string_view split_name(Split split) {
  constexpr std::string_view kNames[] = {"train", "heldout", "final", "gallery"};
  return kNames[static_cast<int>(split)];
}

}  // namespace

Image ImageSet::image(std::int64_t index) const {
  const std::int64_t bytes = std::int64_t{3} * side * side;
  return {side, side, {pixels.begin() + index * bytes, pixels.begin() + (index + 1) * bytes}};
}

Mask ImageSet::mask(std::int64_t index) const {
  const std::int64_t bytes = std::int64_t{side} * side;
  return {side, side, {masks.begin() + index * bytes, masks.begin() + (index + 1) * bytes}};
}

ImageSet make_scene_set(Split split, std::uint64_t seed, std::int64_t count, int side,
                        int threads) {
  ImageSet set;
  set.source =
      "tetrominoes (" + std::string(split_name(split)) + ", seed " + std::to_string(seed) + ")";
  set.side = side;
  const std::int64_t area = std::int64_t{side} * side;
  set.pixels.resize(static_cast<std::size_t>(count * area * 3));
  set.masks.resize(static_cast<std::size_t>(count * area));
  set.objects.resize(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) set.names.push_back(std::to_string(i));

  const float scale = static_cast<float>(side) / kSceneSide;
  parallel_for(count, threads, [&](std::int64_t i) {
    Scene scene = tetromino_scene(scene_seed(split, seed), static_cast<std::uint64_t>(i));
    const Image image =
        side == kSceneSide ? std::move(scene.image) : resize(scene.image, side, side);
    const Mask mask = side == kSceneSide ? std::move(scene.mask) : resize(scene.mask, side, side);
    std::copy(image.pixels.begin(), image.pixels.end(), set.pixels.begin() + i * area * 3);
    std::copy(mask.values.begin(), mask.values.end(), set.masks.begin() + i * area);
    for (SceneObject& object : scene.objects) {
      object.x *= scale;
      object.y *= scale;
    }
    set.objects[i] = std::move(scene.objects);
  });
  return set;
}

ImageSet read_image_set(const std::filesystem::path& folder, int side, int threads) {
  FolderContents contents = read_image_folder(folder, side, threads);
  ImageSet set;
  set.source = folder.string();
  set.side = side;
  set.skipped = std::move(contents.skipped);
  const auto& entries = contents.entries;
  const bool all_masks = std::all_of(entries.begin(), entries.end(),
                                     [](const FolderEntry& e) { return e.mask.has_value(); });
  const bool all_objects = std::all_of(entries.begin(), entries.end(),
                                       [](const FolderEntry& e) { return !e.objects.empty(); });
  for (FolderEntry& entry : contents.entries) {
    set.names.push_back(std::move(entry.name));
    set.pixels.insert(set.pixels.end(), entry.image.pixels.begin(), entry.image.pixels.end());
    if (all_masks)
      set.masks.insert(set.masks.end(), entry.mask->values.begin(), entry.mask->values.end());
    if (all_masks && all_objects) set.objects.push_back(std::move(entry.objects));
  }
  return set;
}

ImageSet select(const ImageSet& set, const std::vector<std::int64_t>& indices) {
  ImageSet chosen;
  chosen.source = set.source;
  chosen.side = set.side;
  const std::int64_t area = std::int64_t{set.side} * set.side;
  for (std::int64_t i : indices) {
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
