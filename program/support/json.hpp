// The one way in which the program reads JSON.
#pragma once

#include <nlohmann/json.hpp>

#include <string_view>

#include "support/nesting.hpp"

namespace osc::program {

// The value; a discarded one where the text is no JSON. Throws UserError "is nested deeper than …"
// (nesting.hpp).
template <typename Json = nlohmann::json>
Json parse_json(std::string_view text) {
  check_json_nesting(text);
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace osc::program
