// The contents of a report as values for the templates. Each is null when there is nothing to show.
#pragma once

#include <nlohmann/json.hpp>

#include <vector>

#include "report/report.hpp"

namespace osc::program {

// The summary of result.json. Any JSON will do; missing values are left out.
nlohmann::json result_view(const nlohmann::json& result);

// The tables of the model's scores and the baselines', of any JSON.
nlohmann::json tables_view(const nlohmann::json& result);

// For each stage of metrics.jsonl, a chart of the loss and of every term, and one of the scores.
nlohmann::json training_view(const std::vector<nlohmann::json>& metrics);

nlohmann::json wall_view(const std::vector<WallItem>& wall);
nlohmann::json matching_view(const std::vector<MatchedViews>& pairs);
nlohmann::json retrieval_view(const std::vector<Retrieval>& retrievals);

// The truth renumbered for comparison by colour: an object takes the number of the slot that it
// overlaps most (intersection over union, largest first), the rest numbers of their own.
Mask numbered_like(const Mask& truth, const Mask& prediction);

}  // namespace osc::program
