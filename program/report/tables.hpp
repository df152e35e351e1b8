// result.json as tables: the model's row, and one for each baseline, beside it.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace osc::program {

// Empty when `result` holds no number for it.
std::string mask_table_html(const nlohmann::json& result);
std::string recognition_table_html(const nlohmann::json& result);

}  // namespace osc::program
