// What the losses of slots check before they write anything.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>

#include "batch.hpp"
#include "cpu/similarity_in_double.hpp"
#include "osc/slots.hpp"
#include "osc/status.hpp"
#include "osc/workspace.hpp"

namespace osc {

inline Status check_eps(double eps) noexcept {
  if (eps > 0 && eps <= std::numeric_limits<double>::max()) return {};
  return Status(StatusCode::invalid_argument, -1, "eps is %g: it must be positive and finite", eps);
}

template <typename A, typename B>
Status check_same_sizes(const char* a_name, const SlotPairs<A>& a, const char* b_name,
                        const SlotPairs<B>& b) noexcept {
  if (a.images == b.images && a.slots == b.slots && a.channels == b.channels) return {};
  return Status(StatusCode::invalid_argument, -1,
                "%s [2*%lld, %lld, %lld] and %s [2*%lld, %lld, %lld]: the sizes must be the same",
                a_name, static_cast<long long>(a.images), static_cast<long long>(a.slots),
                static_cast<long long>(a.channels), b_name, static_cast<long long>(b.images),
                static_cast<long long>(b.slots), static_cast<long long>(b.channels));
}

// The first that is not ok.
template <typename... Checks>
Status first_failure(const Checks&... checks) noexcept {
  Status status;
  const auto passes = [&](const auto& check) {
    status = check();
    return status.ok();
  };
  static_cast<void>((passes(checks) && ...));
  return status;
}

template <typename T>
cpu::SlotRows<T> rows_of(const SlotPairs<T>& slots) noexcept {
  if (slots.channels == 0) return {};  // the pointer may be null, and the strides anything
  return {slots.data, slots.view_stride, slots.image_stride, slots.slot_stride};
}

// The least i in [0, count) for which is_good(i) is false, or count, to *first.
template <typename IsGood>
Status find_first_bad(std::int64_t count, double operations, Executor* executor,
                      Workspace* workspace, std::int64_t* first, const IsGood& is_good) noexcept {
  std::atomic<std::int64_t> least = count;
  const Status status = for_each_range(
      {count, operations, 0, 0}, executor, workspace, [](void*) { return 0; },
      [&](int, std::int64_t begin, std::int64_t end, void*) {
        for (std::int64_t i = begin; i < end; ++i) {
          if (is_good(i)) continue;
          std::int64_t known = least;
          while (i < known && !least.compare_exchange_weak(known, i)) {
          }
          break;
        }
      });
  *first = least;
  return status;
}

// NonFinite::raise: an error for the first image that holds a NaN or an infinity. p may be null.
template <typename T>
Status check_finite(const SlotPairs<const T>& f, const char* f_name, const SlotPairs<const T>* p,
                    Executor* executor, Workspace* workspace) noexcept {
  if (f.channels == 0) return {};
  std::int64_t first = 0;  // image of f, or images + image of p
  const std::int64_t count = p ? 2 * f.images : f.images;
  const auto elements = 2 * static_cast<double>(f.slots) * static_cast<double>(f.channels);
  const Status status =
      find_first_bad(count, elements, executor, workspace, &first, [&](std::int64_t i) {
        const SlotPairs<const T>& slots = i < f.images ? f : *p;
        return cpu::image_is_finite(rows_of(slots), slots.slots, slots.channels, i % f.images);
      });
  if (!status.ok() || first == count) return status;
  return Status(StatusCode::nonfinite, first % f.images,
                "%s: image %lld of %lld holds a NaN or an infinity",
                first < f.images ? f_name : "p", static_cast<long long>(first % f.images),
                static_cast<long long>(f.images));
}

// Whether each row of `matching` is a permutation or all -1.
inline Status check_matching(const std::int64_t* matching, std::int64_t images, std::int64_t slots,
                             Workspace* workspace) noexcept {
  if (!matching)
    return Status(StatusCode::invalid_argument, -1, "the pointer to the matching is null");
  Workspace own_workspace;
  auto* const image_of_slot = static_cast<std::int64_t*>(
      (workspace ? *workspace : own_workspace)
          .reserve(static_cast<std::size_t>(slots) * sizeof(std::int64_t)));
  if (!image_of_slot)
    return Status(StatusCode::out_of_memory, -1, "no memory for %lld slots of workspace",
                  static_cast<long long>(slots));
  std::fill_n(image_of_slot, slots, -1);
  for (std::int64_t image = 0; image < images; ++image) {
    const std::int64_t* const row = matching + image * slots;
    const bool unmatched = row[0] == -1;
    for (std::int64_t s = 0; s < slots; ++s) {
      const bool right = unmatched
                             ? row[s] == -1
                             : row[s] >= 0 && row[s] < slots && image_of_slot[row[s]] != image;
      if (!right) {
        return Status(StatusCode::invalid_argument, image,
                      "matching: row %lld is neither a permutation of 0 … %lld nor all -1",
                      static_cast<long long>(image), static_cast<long long>(slots - 1));
      }
      if (!unmatched) image_of_slot[row[s]] = image;
    }
  }
  return {};
}

}  // namespace osc
