// The answer of a function that never throws: whether it worked, and if not why, for which image or
// problem, and in words.
//
// Every operation of the library has two forms. try_x(...) is noexcept and returns a Status; x(...)
// throws what osc/error.hpp declares. Both check their arguments before they write anything.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "osc/export.h"

namespace osc {

// The codes have the same numbers as osc_status in osc/osc.h.
enum class StatusCode : std::int32_t {
  ok = 0,
  invalid_argument = 1,  // a shape, stride, pointer, option or matching is not allowed
  nonfinite = 2,         // a NaN or an infinity, where the caller asked for an error
  unsolvable = 3,        // an assignment problem without an answer, where the caller asked for one
  out_of_memory = 4,     // also: the caller's Workspace is too small
  internal = 5,          // the executor threw
};

class Status {
 public:
  Status() noexcept { text_[0] = '\0'; }
  // Copies the text, cut where it does not fit.
  Status(StatusCode code, std::int64_t index, const char* text) noexcept
      : code_(code), index_(index) {
    const std::size_t length = std::min(std::strlen(text), sizeof(text_) - 1);
    std::memcpy(text_, text, length);
    text_[length] = '\0';
  }
  // Copies the text up to its end. That of an ok status is empty, so copying one is cheap.
  Status(const Status& other) noexcept { *this = other; }
  Status& operator=(const Status& other) noexcept {
    code_ = other.code_;
    index_ = other.index_;
    std::strcpy(text_, other.text_);
    return *this;
  }

  bool ok() const noexcept { return code_ == StatusCode::ok; }
  StatusCode code() const noexcept { return code_; }
  // The first image, group or problem concerned; -1: none.
  std::int64_t index() const noexcept { return index_; }
  // What was given and what was wanted; "" if ok().
  const char* text() const noexcept { return text_; }

 private:
  StatusCode code_ = StatusCode::ok;
  std::int64_t index_ = -1;
  char text_[320];
};

// The status of one image.
enum class ImageStatus : std::int32_t {
  ok = 0,
  nonfinite = 1,  // it holds a NaN or an infinity: its results are NaN, its matching is -1
};

// The status of one assignment problem.
enum class AssignmentStatus : std::int32_t {
  solved = 0,
  nan_cost = 1,        // a cost is NaN
  unbounded_cost = 2,  // a cost is -inf (+inf to maximise)
  infeasible = 3,  // +inf (-inf to maximise) forbids so many pairs that no full assignment is left
};

enum class NonFinite : std::int32_t {
  propagate,  // the image's own results are NaN (or -1), those of other images are untouched
  raise,      // StatusCode::nonfinite for the first image with a NaN or an infinity
};

}  // namespace osc
