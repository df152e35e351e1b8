// The exceptions of the library. It never prints, aborts or exits.
//
// Arguments are checked before anything is written, so after an InvalidArgument or a NonFiniteError
// every output is as it was.
#pragma once

#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>

#include "osc/export.h"
#include "osc/status.hpp"

namespace osc {

// A shape, stride, pointer, option or matching is not allowed. The text says what was given and
// what was wanted.
class OSC_API InvalidArgument : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// A NaN or an infinity in the input, where the caller asked for an error.
class OSC_API NonFiniteError : public std::domain_error {
 public:
  NonFiniteError(const std::string& text, std::int64_t image_index)
      : std::domain_error(text), image(image_index) {}

  std::int64_t image;  // the first that holds one
};

// An assignment problem that has no answer.
class OSC_API AssignmentError : public std::domain_error {
 public:
  AssignmentError(const std::string& text, std::int64_t problem_index)
      : std::domain_error(text), problem(problem_index) {}

  std::int64_t problem;  // the first without an answer
};

// Throws one of the above, std::bad_alloc or std::runtime_error unless the status is ok().
inline void raise_unless_ok(const Status& status) {
  switch (status.code()) {
    case StatusCode::ok: return;
    case StatusCode::invalid_argument: throw InvalidArgument(status.text());
    case StatusCode::nonfinite: throw NonFiniteError(status.text(), status.index());
    case StatusCode::unsolvable: throw AssignmentError(status.text(), status.index());
    case StatusCode::out_of_memory: throw std::bad_alloc();
    case StatusCode::internal: break;
  }
  throw std::runtime_error(status.text());
}

}  // namespace osc
