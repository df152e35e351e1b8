// A training from its first or its next step to its last: progress, metrics, checkpoints,
// interruption.
#pragma once

#include "data/image_set.hpp"
#include "training/progress.hpp"
#include "training/run_folder.hpp"
#include "training/trainer.hpp"

namespace osc::program {

// Trains to the last step of the configuration. `followed` are scored now and then where they have
// masks. Throws Interrupted, after a checkpoint, when the user asks to stop.
void run_training(const RunFolder& run, const RunConfig& config, Trainer& trainer,
                  const ImageSet& followed, Progress& progress);

}  // namespace osc::program
