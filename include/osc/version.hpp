// The version of the library, as the build that made it knows it.
#pragma once

#include "osc/export.h"

namespace osc {

// "MAJOR.MINOR.PATCH", a string that lives as long as the library.
OSC_API const char* version() noexcept;

}  // namespace osc
