// The images of a run, in the parts that must not be mixed.
#pragma once

#include "data/image_set.hpp"
#include "training/config.hpp"

namespace osc::program {

// What a run does not train on. Of a folder, every tenth image is held out; a folder with fewer
// than 20 images is both trained on and scored, and `source` says so.
struct HeldOutImages {
  ImageSet followed;  // scored now and then while training
  ImageSet scored;    // scored at the end; of the built-in scenes, used for nothing else
  ImageSet gallery;   // searched for objects like those of `scored`
};
HeldOutImages held_out_images(const RunConfig& config, int threads);

// All that a training needs, a folder read once.
struct RunImages {
  ImageSet trained;  // `skipped` names the images of the folder that could not be read
  HeldOutImages held_out;
};
RunImages run_images(const RunConfig& config, int threads);

// The files that these are read from; none of the built-in scenes.
std::vector<std::filesystem::path> data_files(const RunConfig& config);

}  // namespace osc::program
