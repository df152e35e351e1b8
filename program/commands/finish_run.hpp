// What follows a training: scores, result.json, report.html.
#pragma once

#include <nlohmann/json.hpp>

#include "training/progress.hpp"
#include "training/run_data.hpp"
#include "training/run_folder.hpp"

namespace osc::program {

// Scores the run's checkpoint on `images` and returns what result.json holds.
nlohmann::json score_run(const RunFolder& run, const RunConfig& config, const HeldOutImages& images,
                         Progress& progress);

void write_result(const RunFolder& run, const nlohmann::json& result);

// Writes report.html from the run's files as they are; a run without result.json gets a report
// without tables.
void write_report(const RunFolder& run, const RunConfig& config, const HeldOutImages& images);

// The scores as a table for a terminal.
std::string result_text(const nlohmann::json& result);

}  // namespace osc::program
