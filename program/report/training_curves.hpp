// What metrics.jsonl tells of a training, as charts.
#pragma once

#include <nlohmann/json.hpp>

#include <vector>

namespace osc::program {

// For each stage, a chart of the loss and of every term, and one of the scores where there are any.
// Null when there is nothing to draw.
nlohmann::json training_view(const std::vector<nlohmann::json>& metrics);

}  // namespace osc::program
