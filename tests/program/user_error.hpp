// The message of the UserError that an action throws, or a sentence that no test expects.
#pragma once

#include <string>

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

}  // namespace osc::program
