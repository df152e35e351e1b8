// How deep the text of a file nests, found out before a parser reads it. The libraries that parse
// JSON and TOML, or what copies, prints and destroys their results, call themselves once a level:
// a short file of many levels would overflow the stack.
#pragma once

#include <string_view>

namespace osc::program {

inline constexpr int kMaxNesting = 64;  // levels; the program's own files have six at most

// Throw UserError "is nested deeper than 64 levels". The text need not be valid: whatever a parser
// reads of it until its first error has no more levels than were counted.
void check_json_nesting(std::string_view text);
// Tables, lists and the parts of a dotted key are levels.
void check_toml_nesting(std::string_view text);

}  // namespace osc::program
