// What metrics.jsonl tells of a training, as charts.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace osc::program {

// For each stage, a chart of the loss and of every term, and one of the scores where there are any.
// Empty when there is nothing to draw.
std::string training_curves_html(const std::vector<nlohmann::json>& metrics);

}  // namespace osc::program
