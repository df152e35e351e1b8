// The machine as the library sees it, and the library's version.
#pragma once

#include "osc/call.hpp"
#include "osc/error.hpp"
#include "osc/export.h"
#include "osc/osc.h"
#include "osc/status.hpp"

namespace osc {

// "MAJOR.MINOR.PATCH", a string that lives as long as the library.
inline const char* version() noexcept { return osc_version(); }

// The cores that this process may use, at least 1: the smallest of the cores of the machine, the
// affinity mask of the process and the CPU quota of its control groups (versions 1 and 2; a quota
// of 1.5 cores counts as 2). Reads small files under /proc and /sys; allocates.
OSC_API int available_cores() noexcept;

// The instruction set whose kernels run: "avx512", "avx2", "x86-64", "neon" or "generic". It is the
// widest that this processor has, unless the environment variable OSC_INSTRUCTION_SET, which is
// read once, or set_instruction_set() forces one. If the variable names one that this processor or
// this build lacks, every computation fails with a text that says so.
inline const char* instruction_set() noexcept { return osc_instruction_set(); }

// Forces the kernels of calls that start from now on, on all threads; "" is the widest again. A
// call that runs meanwhile keeps the set that it started with. InvalidArgument, and nothing
// changes, for a name that is none of the above or an instruction set that this processor lacks.
// The last bits of results differ between instruction sets, and are the same within one. So do the
// bytes that calls need: a Workspace of the caller's memory that was large enough before may be too
// small afterwards.
[[nodiscard]] inline Status try_set_instruction_set(const char* name) noexcept {
  return detail::status_of(osc_set_instruction_set(name));
}
inline void set_instruction_set(const char* name) {
  raise_unless_ok(try_set_instruction_set(name));
}

}  // namespace osc
