// Text from outside, such as a file's name, made safe to print.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace osc::program {

// Bytes of the well-formed UTF-8 sequence that `text` begins with; 0 where it begins with none.
std::size_t utf8_length(std::string_view text);

// Whether a well-formed sequence is a control character: U+0000 to U+001F, U+007F to U+009F.
bool is_control(std::string_view sequence);

// The text on one line, without control over a terminal: control characters and bytes that are not
// UTF-8 are escaped as \n, \x1b, \x9b. A backslash stays as it is, so that the function is
// idempotent.
std::string printable(std::string_view text);

}  // namespace osc::program
