// Memory that a call works in, and that the next call may use again.
//
// A call without a Workspace takes its memory from the system and gives it back. A caller who calls
// again and again keeps one, or brings the memory. Then nothing is allocated but, for a batch that
// several threads share, the few bytes in which the body of a loop is handed to the Executor. Two
// calls at the same time need two.
#pragma once

#include <cstddef>

#include "osc/export.h"
#include "osc/osc.h"

// The osc_workspace of osc/osc.h.
struct OSC_API osc_workspace {
 public:
  // Grows when a call needs more.
  osc_workspace() noexcept = default;
  // The caller's memory, which must outlive this, of any alignment. It does not grow: a call that
  // needs more fails with StatusCode::out_of_memory and says how much it wanted.
  osc_workspace(void* memory, std::size_t bytes) noexcept
      : memory_(memory), bytes_(bytes), owned_(false) {}
  ~osc_workspace();
  osc_workspace(const osc_workspace&) = delete;
  osc_workspace& operator=(const osc_workspace&) = delete;

  // The size. A workspace that grows has, after a call, at least the bytes that the call needed. A
  // caller who provides memory for the same call must add 63 bytes for its alignment.
  std::size_t bytes() const noexcept { return bytes_; }

  // At least `bytes`, aligned to 64; what it held before is lost. Null if there is not enough. For
  // the library.
  void* reserve(std::size_t bytes) noexcept;

  // Gives back memory of its own that exceeds `bytes`.
  void shrink(std::size_t bytes) noexcept;

 private:
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
  bool owned_ = true;
};

namespace osc {

using Workspace = osc_workspace;

}  // namespace osc
