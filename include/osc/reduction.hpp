// What becomes of the losses.
#pragma once

#include <string_view>

#include "osc/export.h"

namespace osc {

enum class Reduction {
  none,  // all of them: 2BS losses of slots, in the order (view, image, slot)
  mean,  // their mean; NaN where there are none
  sum,   // their sum; 0 where there are none
};

// "none", "mean" or "sum"; InvalidArgument for any other name.
OSC_API Reduction reduction_from_name(std::string_view name);

}  // namespace osc
