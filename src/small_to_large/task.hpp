// What the kernels of the loss of small crops against large ones are given.
#pragma once

#include <cstddef>

#include "osc/status.hpp"
#include "osc/view.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {

// For each image: the matching, computed or given, with the losses; and the gradient.
template <typename T>
struct SmallToLargeTask {
  struct Totals {
    double sum;            // of the losses of pairs that count; NaN if the image is not finite
    Index counted, pairs;  // slots, and pairs of crops with such a slot
  };

  View<const T, 4> f_large;  // [B, Al, L, C]
  View<const T, 4> p_small;  // [B, As, S, C]
  double eps = 0;
  // [B, Al, As, S]; null: computed, with all that follows up to `losses`
  const Index* given_matching = nullptr;
  Index* matching = nullptr;        // [B, Al, As, S]
  Totals* totals = nullptr;         // [B]
  T* losses = nullptr;              // [B, Al, As]; null: not wanted
  ImageStatus* statuses = nullptr;  // [B]; null: not wanted

  View<T, 4> grad_p_small{};          // data null: not wanted
  const T* grad_output = nullptr;     // [B, Al, As] or one; null: ones
  bool grad_output_per_pair = false;  // [B, Al, As]
  double weight = 1;                  // of every grad_output
};

template <typename T>
struct SmallToLargeKernels {
  // The bytes that run() works in, aligned to 64.
  std::size_t (*memory)(const SmallToLargeTask<T>& task);
  // Does the images [begin, end).
  void (*run)(const SmallToLargeTask<T>& task, Index begin, Index end, void* memory);
};

OSC_DECLARE_KERNELS(SmallToLargeKernels, small_to_large_kernels)

}  // namespace osc::cpu
