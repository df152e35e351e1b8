// result.json as the page shows it: the summary, and tables of the model's scores and the
// baselines'. Any JSON will do; what is missing is left out.
#pragma once

#include <nlohmann/json.hpp>

namespace osc::program {

nlohmann::json result_view(const nlohmann::json& result);

// Null when there is no score.
nlohmann::json tables_view(const nlohmann::json& result);

}  // namespace osc::program
