// Memory that a call works in, kept from one call to the next.
//
// A call without a Workspace takes its memory from the system and gives it back. With one, a caller
// who calls again and again takes it once, or brings it: then nothing is allocated but, for a batch
// that several threads share, the few bytes in which a loop's body is handed to the Executor. Not
// for two calls at the same time.
#pragma once

#include <cstddef>

#include "osc/export.h"

namespace osc {

class OSC_API Workspace {
 public:
  // Grows when a call needs more.
  Workspace() noexcept = default;
  // The caller's memory, which must outlive this, of any alignment. It does not grow: a call that
  // needs more fails with StatusCode::out_of_memory and says how much it wanted.
  Workspace(void* memory, std::size_t bytes) noexcept
      : memory_(memory), bytes_(bytes), owned_(false) {}
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  std::size_t bytes() const noexcept { return bytes_; }

  // At least `bytes`, aligned to 64; what it held before is lost. Null where that cannot be. For
  // the library.
  void* reserve(std::size_t bytes) noexcept;

 private:
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
  bool owned_ = true;
};

}  // namespace osc
