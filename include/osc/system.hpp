// What the machine offers to the library.
#pragma once

#include "osc/export.h"
#include "osc/status.hpp"

namespace osc {

// The cores that this process may use, at least 1: the smallest of what the machine has, the
// process's affinity mask and the CPU quota of its control groups (versions 1 and 2; a quota of 1.5
// cores counts as 2). Reads small files under /proc and /sys; allocates.
OSC_API int available_cores() noexcept;

// The instruction set whose kernels run: "avx512", "avx2", "x86-64", "neon" or "generic". The
// widest that this processor has, unless one is forced by the environment variable
// OSC_INSTRUCTION_SET, which is read once, or by set_instruction_set(). Where that variable names
// none that there is, every computation fails with a text that says so.
OSC_API const char* instruction_set() noexcept;

// Forces the kernels of calls that start from now on, on all threads; "" is the widest again. A
// call that runs meanwhile keeps the set that it started with. InvalidArgument, and nothing
// changes, for a name that is none of the above or an instruction set that this processor lacks.
// Results differ between instruction sets in the last bits, within one never. So do the bytes that
// calls need: a Workspace of the caller's memory that was sized before may be too small afterwards,
// which is StatusCode::out_of_memory.
OSC_API void set_instruction_set(const char* name);
OSC_API Status try_set_instruction_set(const char* name) noexcept;

}  // namespace osc
