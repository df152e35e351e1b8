// What the library throws. It never prints, aborts or exits.
//
// Arguments are checked before anything is written, so after an InvalidArgument or a NonFiniteError
// every output is as it was.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "osc/export.h"
#include "osc/status.hpp"

namespace osc {

// A shape, stride, pointer, option or matching that a contract does not allow. The text says what
// was given and what was wanted.
class OSC_API InvalidArgument : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
  ~InvalidArgument() override;
};

// A NaN or an infinity in the input, where the caller asked for an error.
class OSC_API NonFiniteError : public std::domain_error {
 public:
  NonFiniteError(const std::string& text, std::int64_t image_index)
      : std::domain_error(text), image(image_index) {}
  ~NonFiniteError() override;

  std::int64_t image;  // the first image that holds one
};

// An assignment problem that has no answer. Its batch index is part of the text, too.
class OSC_API AssignmentError : public std::domain_error {
 public:
  AssignmentError(const std::string& text, std::int64_t problem_index)
      : std::domain_error(text), problem(problem_index) {}
  ~AssignmentError() override;

  std::int64_t problem;  // the first problem without an answer
};

// Throws what `status` says: one of the above, std::bad_alloc or std::runtime_error. Nothing where
// it is ok().
OSC_API void raise_unless_ok(const Status& status);

}  // namespace osc
