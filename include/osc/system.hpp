// What the machine offers to the library.
#pragma once

#include "osc/export.h"

namespace osc {

// The cores that this process may use, at least 1: the smallest of what the machine has, the process's affinity mask and the CPU quota of its control groups
// (versions 1 and 2; a quota of 1.5 cores counts as 2). Reads small files under /proc and /sys; allocates.
OSC_API int available_cores() noexcept;

// The widest instruction set of this processor that the library knows: "avx512", "avx2", "x86-64", "neon" or "generic".
OSC_API const char* instruction_set() noexcept;

}  // namespace osc
