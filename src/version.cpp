#include "osc/version.hpp"

namespace osc {

const char* version() noexcept { return OSC_VERSION; }

}  // namespace osc
