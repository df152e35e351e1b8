// What a command writes into a run's folder, beside what it reads.
#pragma once

#include "training/config.hpp"
#include "training/run_folder.hpp"

namespace osc::program {

// Throws UserError where one of `outputs`, files of the run, is in truth one that is read: another
// file of the run, one of its data, or one of `inputs`.
void check_run_outputs(const RunFolder& run, const RunConfig& config,
                       const std::vector<std::filesystem::path>& outputs,
                       std::vector<std::filesystem::path> inputs = {});

}  // namespace osc::program
