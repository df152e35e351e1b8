// The program's way to read and write JSON, and a bound on the levels of JSON and TOML.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

#include "support/error.hpp"

namespace osc::program {

inline constexpr int kMaxNesting = 64;  // levels; the program's own files have six at most

// Throws UserError "is nested deeper than 64 levels".
[[noreturn]] void fail_nesting();

// fail_nesting() for TOML whose parser would build more levels. Tables, lists and the parts of a
// dotted key are levels. The text need not be valid.
void check_toml_nesting(std::string_view text);

// The value; a discarded one where the text is not JSON. Throws UserError where it has more than
// kMaxNesting levels.
template <typename Json = nlohmann::json>
Json parse_json(std::string_view text) {
  const auto check_depth = [](int levels_around, typename Json::parse_event_t event, Json&) {
    const bool opens =
        event == Json::parse_event_t::array_start || event == Json::parse_event_t::object_start;
    if (opens && levels_around >= kMaxNesting) fail_nesting();
    return true;
  };
  return Json::parse(text, check_depth, /*allow_exceptions=*/false);
}

// Bytes that are not UTF-8, of a file's name, become U+FFFD.
template <typename Json>
std::string json_text(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace osc::program
