// What `osc generate tetrominoes` does: the built-in scenes as a folder of files that
// image_folder.hpp reads.
#pragma once

#include <cstdint>
#include <filesystem>

namespace osc::program {

inline constexpr std::int64_t kMaxGeneratedScenes = 1'000'000;  // names have six digits

// Writes images/000000.png …, masks/000000.png … and, when these are all there, objects.jsonl:
// scenes 0 … count-1 of `seed`, the same files for any number of threads. Throws UserError where
// `count` is not 1 … kMaxGeneratedScenes, where `folder` is something other than an empty folder or
// nothing, and where a file cannot be written; what had been written is removed again.
void generate_scenes(std::int64_t count, std::uint64_t seed, const std::filesystem::path& folder,
                     int threads = 1);

}  // namespace osc::program
