// How many threads a command uses.
#pragma once

#include <cstdint>

namespace osc::program {

// Sizes libtorch's pool, which the kernel library uses, too. 0 asks for the cores that this process
// may use. Returns the number taken.
int use_threads(std::int64_t wanted);

}  // namespace osc::program
