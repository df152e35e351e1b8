// What a function that never throws says: whether it worked, and if not why, for which image or
// problem, and in words.
//
// Every operation of the library has two forms. try_x(…) is noexcept and returns a Status; x(…)
// calls it and throws what osc/error.hpp declares. Both check their arguments before they write
// anything.
#pragma once

#include <cstdint>

#include "osc/export.h"

namespace osc {

// The same numbers as osc_status in osc/osc.h.
enum class StatusCode : std::int32_t {
  ok = 0,
  invalid_argument =
      1,           // a shape, stride, pointer, option or matching that a contract does not allow
  nonfinite = 2,   // a NaN or an infinity, where the caller asked for an error
  unsolvable = 3,  // an assignment problem without an answer, where the caller asked for an error
  out_of_memory = 4,  // also: a Workspace of the caller's that is too small
  internal = 5,       // the executor threw
};

class OSC_API Status {
 public:
  Status() noexcept = default;
  // The text is formatted as printf does, and cut where it does not fit.
  Status(StatusCode code, std::int64_t index, const char* format, ...) noexcept
      __attribute__((format(printf, 4, 5)));

  bool ok() const noexcept { return code_ == StatusCode::ok; }
  StatusCode code() const noexcept { return code_; }
  std::int64_t index() const noexcept {
    return index_;
  }  // the first image or problem concerned, -1 for none
  const char* text() const noexcept {
    return text_;
  }  // what was given and what was wanted; "" where ok()

 private:
  StatusCode code_ = StatusCode::ok;
  std::int64_t index_ = -1;
  char text_[240] = "";
};

// What became of one image, on request.
enum class ImageStatus : std::int32_t {
  ok = 0,
  nonfinite =
      1,  // it holds a NaN or an infinity: its losses and gradients are NaN, its matching -1
};

enum class NonFinite {
  propagate,  // the image's own results are NaN (or -1), every other image's are untouched
  raise,      // StatusCode::nonfinite (a NonFiniteError) for the first image that holds a NaN or an
              // infinity, before anything is written
};

}  // namespace osc
