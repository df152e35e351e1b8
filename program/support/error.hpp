// How the program ends early: main prints the text as a single line on stderr.
#pragma once

#include <stdexcept>
#include <string>

namespace osc::program {

// What the user gave, or the machine, does not allow it. main exits with status 1.
class UserError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The user asked to stop (interrupt.hpp), and the work stopped in good order; the text says how to
// go on. main exits with status 130.
class Interrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace osc::program
