// The loss of a slot from its cosine with what it is compared with.
#pragma once

namespace osc::cpu {
namespace {

// (1 - cosine) / 2, in [0, 1]: rounding may have taken the cosine out of [-1, 1].
inline double loss_of_cosine(double cosine) {
  const double at_most_1 = cosine < 1 ? cosine : 1;  // an instruction each, and no branch
  return 0.5 - 0.5 * (at_most_1 > -1 ? at_most_1 : -1);
}

}  // namespace
}  // namespace osc::cpu
