// The loss of a slot from its cosine with what it is compared with.
#pragma once

namespace osc::cpu {
namespace {

// (1 - cosine) / 2, in [0, 1]: rounding may have taken the cosine out of [-1, 1].
inline double loss_of_cosine(double cosine) {
  return 0.5 - 0.5 * (cosine > 1 ? 1 : cosine < -1 ? -1 : cosine);
}

}  // namespace
}  // namespace osc::cpu
