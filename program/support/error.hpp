// Exceptions that end the program, and interruption by the user.
#pragma once

#include <stdexcept>
#include <string>

namespace osc::program {

// The input or the machine does not allow what was asked. main exits with status 1.
class UserError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The user stopped the work (interrupted() below). The text says how to go on. main exits with
// status 130.
class Interrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Calls `action`. A UserError that it throws gets `prefix` before its text.
template <typename Action>
auto with_prefix(const std::string& prefix, Action action) {
  try {
    return action();
  } catch (const UserError& error) {
    throw UserError(prefix + error.what());
  }
}

// From now on the first SIGINT or SIGTERM makes interrupted() true; a second one ends the process.
void catch_interrupts();

bool interrupted();

}  // namespace osc::program
