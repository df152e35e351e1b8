// The sources of images, and the sets that a run takes from one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/image_set.hpp"
#include "support/settings.hpp"

namespace osc::program {

// An image with its ground truth.
struct Scene {
  Image image;                       // square
  Mask mask;                         // 0 background, k + 1 for objects[k]
  std::vector<SceneObject> objects;  // `category` is one of the source's categories
};

// What a run says about its images.
struct DataConfig {
  std::string data = "tetrominoes";  // the name of a source, or a folder
  std::int64_t seed = 0;
  std::int64_t image_size = 36;  // pixels a side that images are resized to
  NumberValues source;           // values of the settings of all sources, by name
};

// The sets of a run. `trained` shares no image with the others, except in a folder of few images.
struct RunImages {
  ImageSet trained;
  ImageSet followed;  // scored now and then while training
  ImageSet scored;    // scored at the end; generated scenes are used for nothing else
  ImageSet gallery;   // searched for objects of the same category as those of `scored`
};

enum class Needs { all_sets, held_out };  // held_out: `trained` may stay empty

// A row of the table in sources.cpp. A generator of scenes is a file with its row, and its line in
// the table; generated_images() makes its sets.
struct ImageSource {
  std::string_view name;  // in `data` and for `osc generate`
  std::string_view help;
  std::span<const NumberSetting> settings;
  RunImages (*read)(const ImageSource& source, const DataConfig& config, int threads, Needs needs);
  // A pure function of its arguments, the same on every machine. Null where images are files.
  Scene (*scene)(std::uint64_t seed, std::uint64_t index) = nullptr;
  // The names of all categories. Null where the labels of a folder name them.
  std::vector<std::string> (*categories)() = nullptr;
};

std::span<const ImageSource* const> image_sources();

// The source named `data`, or that of folders.
const ImageSource& source_of(std::string_view data);

// The sets of a run, the same for any number of threads. Every tenth image of a folder is held out.
// A folder with fewer than 20 images is both trained on and scored; `scored.source` says so.
RunImages run_images(const DataConfig& config, int threads, Needs needs = Needs::all_sets);

// The files that run_images reads; none of a generated source.
std::vector<std::filesystem::path> data_files(const DataConfig& config);

// Generated scenes come in sets that never share a scene.
enum class Split { train, heldout, final, gallery };

inline constexpr NumberSetting kTrainImages{
    "train_images", 12000, 1, 1e6, true, "generated scenes trained on"};
inline constexpr NumberSetting kFinalImages{
    "final_images", 500, 1, 1e5, true, "images scored at the end, at most"};
inline constexpr NumberSetting kGalleryImages{
    "gallery_images", 700, 1, 1e5, true, "images searched for objects of the same category"};
inline constexpr NumberSetting kGeneratedSettings[] = {kTrainImages, kFinalImages, kGalleryImages};

// ImageSource::read of a generator: scenes of each split, in the numbers of the settings.
RunImages generated_images(const ImageSource& source, const DataConfig& config, int threads,
                           Needs needs);

// `count` scenes of a split of the run with this seed.
ImageSet make_scene_set(const ImageSource& source, Split split, std::uint64_t seed,
                        std::int64_t count, int side, int threads);

inline constexpr std::int64_t kMaxGeneratedScenes = 1'000'000;  // names have six digits

// `osc generate`. Writes images/000000.png …, masks/000000.png … and, when all are written,
// objects.jsonl: scenes 0 … count - 1 of `seed`, the same files for any number of threads. Throws
// UserError for a `count` outside 1 … kMaxGeneratedScenes, for a `folder` that exists and is not an
// empty folder, and for a file that cannot be written; what was written is removed again.
void generate_scenes(const ImageSource& source, std::int64_t count, std::uint64_t seed,
                     const std::filesystem::path& folder, int threads = 1);

}  // namespace osc::program
