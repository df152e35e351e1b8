// The message of the UserError that an action throws, or a sentence that no test expects.
#pragma once

#include <string>
#include <string_view>

#include "support/error.hpp"

namespace osc::program {

template <typename Action>
std::string user_error(Action action) {
  try {
    action();
  } catch (const UserError& error) {
    return error.what();
  }
  return "(no error)";
}

// Whether read(bytes) throws UserError for every beginning of `bytes` but the whole.
template <typename Read>
bool every_truncation_fails(std::string_view bytes, Read read) {
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    if (user_error([&] { read(bytes.substr(0, length)); }) == "(no error)") return false;
  }
  return user_error([&] { read(bytes); }) == "(no error)";
}

}  // namespace osc::program
