// NaN and infinities in the input.
#pragma once

#include <atomic>

#include "osc/status.hpp"
#include "osc/view.hpp"
#include "runtime/failure.hpp"
#include "runtime/plan.hpp"
#include "runtime/sizes.hpp"
#include "runtime/strided.hpp"
#include "simd/units_in_double.hpp"

namespace osc::cpu {

// Whether the view, whose last dimension is adjacent, holds no NaN and no infinity.
template <typename T, int N>
bool is_finite(const View<T, N>& view) noexcept {
  if constexpr (N == 1) {
    return is_finite(view.data, view.sizes[0]);
  } else {
    for (Index i = 0; i < view.sizes[0]; ++i) {
      if (!is_finite(slice(view, 0, i))) return false;
    }
    return true;
  }
}

// NonFinite::raise: an error for the first index along dimension `dim`, of images or groups
// (`kind`), that contains a NaN or an infinity.
template <typename T, int N>
Status check_finite(const char* name, const char* kind, const View<T, N>& view, int dim,
                    Executor* executor) {
  const Index count = view.sizes[dim];
  double elements = 1;
  for (const Index size : view.sizes) elements *= static_cast<double>(size);
  if (elements == 0) return {};
  std::atomic<Index> first = count;
  const Plan plan = plan_for(elements, count, executor);
  run_parts(plan, [&](Index part) {
    const Index end = share_begin(count, part + 1, plan.parts);
    for (Index i = share_begin(count, part, plan.parts); i < end; ++i) {
      if (is_finite(slice(view, dim, i))) continue;
      Index known = first;
      while (i < known && !first.compare_exchange_weak(known, i)) {
      }
      return;
    }
  });
  if (first == count) return {};
  return failure(StatusCode::nonfinite, first, "%s: %s %lld of %lld holds a NaN or an infinity",
                 name, kind, static_cast<long long>(first), static_cast<long long>(count));
}

}  // namespace osc::cpu
