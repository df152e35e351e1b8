// The matching of slots, for calls that have chosen their kernels, threads and memory already; and
// the check of a matching that the caller gave.
#pragma once

#include <algorithm>
#include <cstdint>

#include "osc/workspace.hpp"
#include "runtime/plan.hpp"
#include "runtime/sizes.hpp"
#include "similarity/task.hpp"

namespace osc::cpu {

// The products of all slots of a view with all of the other must be countable.
inline Status check_slots_of_view(std::int64_t slots) {
  if (product_fits({slots, slots, static_cast<std::int64_t>(sizeof(double))})) return {};
  return failure(StatusCode::invalid_argument, -1, "S is %lld: the product S x S overflows",
                 static_cast<long long>(slots));
}

// For images that are matched, or compared with a matching that is given.
inline Plan matching_plan(std::int64_t images, std::int64_t slots, std::int64_t channels,
                          bool matches, Executor* executor) {
  const auto s = static_cast<double>(slots), c = static_cast<double>(channels);
  const double operations = (matches ? s * s * (c + s) : 0) + 8 * s * c;
  return plan_for(static_cast<double>(images) * (operations + 1), images, executor);
}

// Of slots that are checked and not empty; `parts` have kernels.memory(S, C) bytes.
template <typename T>
void run_similarity(const SimilarityTask<T>& task, const SimilarityKernels<T>& kernels,
                    const Parts& parts) {
  for_each_range(parts, task.f.sizes[1], [&](std::int64_t begin, std::int64_t end, void* memory) {
    kernels.run(task, begin, end, memory);
  });
}

// Whether each row of given_matching [B, S] is a permutation or all -1.
inline Status check_given_matching(const std::int64_t* matching, std::int64_t images,
                                   std::int64_t slots, Workspace* workspace) {
  CallMemory memory(workspace);
  std::int64_t* image_of_slot = nullptr;
  const Status status =
      memory.lay_out([&](Arena& arena) { image_of_slot = arena.take<std::int64_t>(slots); });
  if (!status.ok()) return status;
  std::fill_n(image_of_slot, slots, -1);
  for (std::int64_t image = 0; image < images; ++image) {
    const std::int64_t* const row = matching + image * slots;
    const bool is_unmatched = row[0] == -1;
    for (std::int64_t s = 0; s < slots; ++s) {
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
