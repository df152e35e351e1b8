// What calls with matched slots share: checks of slots and of given_matching, and the plan.
#pragma once

#include <algorithm>

#include "osc/workspace.hpp"
#include "runtime/plan.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {

// The products of all slots of a view with all of the other must be countable.
inline Status check_slots_of_view(Index slots) {
  if (product_fits({slots, slots, static_cast<Index>(sizeof(double))})) return {};
  return failure(StatusCode::invalid_argument, -1, "S is %lld: the product S x S overflows",
                 static_cast<long long>(slots));
}

// The plan for images that are matched, or compared with a matching that is given.
inline Plan matching_plan(Index images, Index slots, Index channels, bool matches,
                          Executor* executor) {
  const double operations =
      (matches ? product({slots, slots, channels + slots}) : 0) + 8 * product({slots, channels});
  return plan_for(product({images}) * (operations + 1), images, executor);
}

// Whether each row of given_matching [B, S] is a permutation or all -1.
inline Status check_given_matching(const Index* matching, Index images, Index slots,
                                   Workspace* workspace) {
  CallMemory memory(workspace);
  Index* image_of_slot = nullptr;
  const Status status =
      memory.lay_out([&](Arena& arena) { image_of_slot = arena.take<Index>(slots); });
  if (!status.ok()) return status;
  std::fill_n(image_of_slot, slots, -1);
  for (Index image = 0; image < images; ++image) {
    const Index* const row = matching + image * slots;
    const bool is_unmatched = row[0] == -1;
    for (Index s = 0; s < slots; ++s) {
      const bool is_right = is_unmatched
                                ? row[s] == -1
                                : row[s] >= 0 && row[s] < slots && image_of_slot[row[s]] != image;
      if (!is_right) {
        return failure(StatusCode::invalid_argument, image,
                       "given_matching: row %lld is neither a permutation of 0 ... %lld nor all -1",
                       static_cast<long long>(image), static_cast<long long>(slots - 1));
      }
      if (!is_unmatched) image_of_slot[row[s]] = image;
    }
  }
  return {};
}

}  // namespace osc::cpu
