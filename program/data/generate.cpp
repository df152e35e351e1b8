#include "data/generate.hpp"

#include <algorithm>
#include <string>
#include <system_error>
#include <vector>

#include "data/image.hpp"
#include "data/objects_jsonl.hpp"
#include "data/scenes.hpp"
#include "support/error.hpp"
#include "support/files.hpp"
#include "support/parallel.hpp"

namespace osc::program {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kDigits = 6;
constexpr std::int64_t kScenesAtOnce = 4096;  // whose lines are in memory together

std::string scene_name(std::int64_t index) {
  const std::string digits = std::to_string(index);
  return std::string(kDigits - digits.size(), '0') + digits;
}

void write_scenes(std::int64_t count, std::uint64_t seed, const fs::path& folder, int threads) {
  create_folder(folder / "images");
  create_folder(folder / "masks");
  AtomicFile objects(folder / "objects.jsonl");
  for (std::int64_t begin = 0; begin < count; begin += kScenesAtOnce) {
    std::vector<std::string> lines(
        static_cast<std::size_t>(std::min(kScenesAtOnce, count - begin)));
    parallel_for(static_cast<std::int64_t>(lines.size()), threads, [&](std::int64_t i) {
      const std::string name = scene_name(begin + i);
      const Scene scene = tetromino_scene(seed, static_cast<std::uint64_t>(begin + i));
      write_new_file(folder / "images" / (name + ".png"), encode_png(scene.image));
      write_new_file(folder / "masks" / (name + ".png"), encode_png(scene.mask));
      lines[static_cast<std::size_t>(i)] = objects_json_line(name, scene.objects) + "\n";
    });
    for (const std::string& line : lines) objects.write(line);
  }
  objects.commit();
}

}  // namespace

void generate_scenes(std::int64_t count, std::uint64_t seed, const fs::path& folder, int threads) {
  if (count < 1 || count > kMaxGeneratedScenes) {
    throw UserError("the number of scenes must be 1 to " + std::to_string(kMaxGeneratedScenes) +
                    ", not " + std::to_string(count));
  }
  std::error_code error;
  const bool existed = fs::exists(folder, error);
  if (existed && !fs::is_directory(folder, error))
    throw UserError(folder.string() + ": is a file, not a folder");
  if (existed && !fs::is_empty(folder, error)) {
    throw UserError(folder.string() + ": " +
                    (error ? error.message()
                           : "is not empty; scenes are written into a new or an empty folder"));
  }
  create_folder(folder);
  try {
    write_scenes(count, seed, folder, threads);
  } catch (...) {
    // The folder was empty: all that is in these is ours.
    fs::remove_all(folder / "images", error);
    fs::remove_all(folder / "masks", error);
    if (!existed) fs::remove(folder, error);
    throw;
  }
}

}  // namespace osc::program
