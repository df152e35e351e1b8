#include "data/sources.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "data/objects_jsonl.hpp"
#include "support/error.hpp"
#include "support/files.hpp"
#include "support/parallel.hpp"

namespace osc::program {

namespace fs = std::filesystem;

extern const ImageSource kTetrominoes;

namespace {

constexpr std::int64_t kHoldOutEvery = 10;
constexpr std::int64_t kFewImages = 20;
constexpr std::int64_t kFollowedImages = 64;
constexpr std::int64_t kScenesAtOnce = 4096;  // scenes whose labels are in memory at the same time

std::int64_t count_of(const DataConfig& config, const NumberSetting& setting) {
  return static_cast<std::int64_t>(value_of(config.source, setting));
}

// The first images, `most` at most, for whose index `keep` is true.
template <typename Keep>
ImageSet part(const ImageSet& all, std::int64_t most, Keep keep) {
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < all.size() && std::ssize(indices) < most; ++i) {
    if (keep(i)) indices.push_back(i);
  }
  return select(all, indices);
}

RunImages folder_images(const ImageSource&, const DataConfig& config, int threads, Needs) {
  ImageSet all = read_image_set(config.data, static_cast<int>(config.image_size), threads);
  const bool few = all.size() < kFewImages;
  const auto held_out = [&](std::int64_t i) {
    return few || i % kHoldOutEvery == kHoldOutEvery - 1;
  };
  const auto others = [&](std::int64_t i) { return few || !held_out(i); };
  RunImages images;
  images.scored = part(all, count_of(config, kFinalImages), held_out);
  images.gallery = part(all, count_of(config, kGalleryImages), others);
  images.scored.source +=
      few ? " (all images, trained on as well)" : " (every tenth image, held out)";
  // With few images, scored and gallery images are the same: each query would find itself.
  if (few) images.gallery.objects.clear();
  images.followed = part(images.scored, kFollowedImages, [](std::int64_t) { return true; });
  images.trained = few ? all : part(all, all.size(), others);
  images.trained.skipped = std::move(all.skipped);
  return images;
}

constexpr NumberSetting kFolderSettings[] = {kFinalImages, kGalleryImages};
constexpr ImageSource kFolder{"a folder",      "a folder of PNG and JPEG images",
                              kFolderSettings, folder_images,
                              nullptr,         nullptr};

// A name in `data` that is none of these is a folder's path.
constexpr const ImageSource* kSources[] = {&kTetrominoes, &kFolder};

void write_scenes(const ImageSource& source, std::int64_t count, std::uint64_t seed,
                  const fs::path& folder, int threads) {
  create_folder(folder / "images");
  create_folder(folder / "masks");
  AtomicFile labels(folder / "objects.jsonl");
  for (std::int64_t begin = 0; begin < count; begin += kScenesAtOnce) {
    std::vector<std::string> lines(
        static_cast<std::size_t>(std::min(kScenesAtOnce, count - begin)));
    parallel_for(std::ssize(lines), threads, [&](std::int64_t i) {
      char name[16];
      std::snprintf(name, sizeof name, "%06lld", static_cast<long long>(begin + i));
      const Scene scene = source.scene(seed, static_cast<std::uint64_t>(begin + i));
      const std::string file = std::string(name) + ".png";
      write_new_file(folder / "images" / file, encode_png(scene.image));
      write_new_file(folder / "masks" / file, encode_png(scene.mask));
      lines[static_cast<std::size_t>(i)] = objects_json_line(name, scene.objects) + "\n";
    });
    for (const std::string& line : lines) labels.write(line);
  }
  labels.commit();
}

}  // namespace

std::span<const ImageSource* const> image_sources() { return kSources; }

const ImageSource& source_of(std::string_view data) {
  for (const ImageSource* source : kSources) {
    if (source->scene != nullptr && source->name == data) return *source;
  }
  return kFolder;
}

RunImages run_images(const DataConfig& config, int threads, Needs needs) {
  const ImageSource& source = source_of(config.data);
  return source.read(source, config, threads, needs);
}

std::vector<fs::path> data_files(const DataConfig& config) {
  if (source_of(config.data).scene != nullptr) return {};
  return list_files(config.data);
}

RunImages generated_images(const ImageSource& source, const DataConfig& config, int threads,
                           Needs needs) {
  const auto set = [&](Split split, std::int64_t count) {
    return make_scene_set(source, split, static_cast<std::uint64_t>(config.seed), count,
                          static_cast<int>(config.image_size), threads);
  };
  RunImages images;
  if (needs == Needs::all_sets) images.trained = set(Split::train, count_of(config, kTrainImages));
  images.followed = set(Split::heldout, kFollowedImages);
  images.scored = set(Split::final, count_of(config, kFinalImages));
  images.gallery = set(Split::gallery, count_of(config, kGalleryImages));
  return images;
}

ImageSet make_scene_set(const ImageSource& source, Split split, std::uint64_t seed,
                        std::int64_t count, int side, int threads) {
  constexpr const char* kSplitNames[] = {"train", "heldout", "final", "gallery"};
  // The highest bit is set in the seeds of splits alone: `osc generate` takes the others, and no
  // two runs or splits share a seed.
  const std::uint64_t scene_seed =
      std::uint64_t{1} << 63 | seed << 2 | static_cast<std::uint64_t>(split);
  ImageSet set;
  set.source = std::string(source.name) + " (" + kSplitNames[static_cast<int>(split)] + ", seed " +
               std::to_string(seed) + ")";
  set.side = side;
  set.categories = source.categories();
  const std::int64_t area = std::int64_t{side} * side;
  set.pixels.resize(static_cast<std::size_t>(count * area * 3));
  set.masks.resize(static_cast<std::size_t>(count * area));
  set.objects.resize(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) set.names.push_back(std::to_string(i));
  parallel_for(count, threads, [&](std::int64_t i) {
    Scene scene = source.scene(scene_seed, static_cast<std::uint64_t>(i));
    const float scale = static_cast<float>(side) / static_cast<float>(scene.image.width);
    if (side != scene.image.width) {
      scene.image = resize(scene.image, side, side);
      scene.mask = resize(scene.mask, side, side);
    }
    std::ranges::copy(scene.image.pixels, set.pixels.begin() + i * area * 3);
    std::ranges::copy(scene.mask.values, set.masks.begin() + i * area);
    for (SceneObject& object : scene.objects) {
      object.x *= scale;
      object.y *= scale;
    }
    set.objects[static_cast<std::size_t>(i)] = std::move(scene.objects);
  });
  return set;
}

void generate_scenes(const ImageSource& source, std::int64_t count, std::uint64_t seed,
                     const fs::path& folder, int threads) {
  if (count < 1 || count > kMaxGeneratedScenes) {
    throw UserError("the number of scenes is " + std::to_string(count) + ", wanted 1 to " +
                    std::to_string(kMaxGeneratedScenes));
  }
  std::error_code error;
  const bool existed = fs::exists(folder, error);
  if (existed && !fs::is_directory(folder, error))
    throw UserError(folder.string() + ": is a file, not a folder");
  if (existed && !fs::is_empty(folder, error)) {
    throw UserError(folder.string() + ": " +
                    (error ? error.message() : "is not empty, wanted a new or an empty folder"));
  }
  create_folder(folder);
  try {
    write_scenes(source, count, seed, folder, threads);
  } catch (...) {
    fs::remove_all(folder / "images", error);
    fs::remove_all(folder / "masks", error);
    if (!existed) fs::remove(folder, error);
    throw;
  }
}

}  // namespace osc::program
