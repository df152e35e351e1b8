// Steps that several commands take on a run.
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

#include "data/sources.hpp"
#include "evaluation/object_index.hpp"
#include "training/progress.hpp"
#include "training/run_folder.hpp"

namespace osc::program {

// Sizes libtorch's thread pool, which the kernel library uses as well. 0 stands for the cores that
// this process may use. Returns the number taken.
int use_threads(std::int64_t wanted);

// Throws UserError where one of `outputs`, files of the run, is the same file as one that is read:
// another file of the run, one of its images, or one of `inputs`.
void check_run_outputs(const RunFolder& run, const RunConfig& config,
                       const std::vector<std::filesystem::path>& outputs,
                       std::vector<std::filesystem::path> inputs = {});

// The slots of one image at the model's size. An image's slots have the same numbers in every
// command.
ObjectIndex index_single_image(const Model& model, const RunConfig& config, const Image& image,
                               const std::string& name);

// Scores the run's checkpoint on `images` and returns the contents of result.json.
nlohmann::json score_run(const RunFolder& run, const RunConfig& config, const RunImages& images,
                         Progress& progress);

void write_result(const RunFolder& run, const nlohmann::json& result);

// Writes report.html from the other files of the run. Without result.json it has no tables.
void write_report(const RunFolder& run, const RunConfig& config, const RunImages& images);

// The scores as tables for a terminal.
std::string result_text(const nlohmann::json& result);

}  // namespace osc::program
