// How the losses become one number.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "osc/error.hpp"

namespace osc {

enum class Reduction : std::int32_t {
  mean,  // NaN where there are no losses
  sum,   // 0 where there are no losses
  none,  // every loss
};

// "mean", "sum" or "none"; throws InvalidArgument for any other name.
inline Reduction reduction_from_name(std::string_view name) {
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  if (name == "none") return Reduction::none;
  throw InvalidArgument("reduction is \"" + std::string(name) +
                        "\"; wanted \"mean\", \"sum\" or \"none\"");
}

}  // namespace osc
