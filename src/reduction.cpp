#include "osc/reduction.hpp"

#include <string>

#include "osc/error.hpp"

namespace osc {

Reduction reduction_from_name(std::string_view name) {
  if (name == "none") return Reduction::none;
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  throw InvalidArgument("unknown reduction \"" + std::string(name) +
                        "\": it must be \"none\", \"mean\" or \"sum\"");
}

}  // namespace osc
