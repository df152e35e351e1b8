// What the kernels of the similarity loss are given.
#pragma once

#include <atomic>
#include <cstddef>

#include "osc/status.hpp"
#include "osc/view.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {

// For each image: the matching, computed or given; with p also the losses and the gradient.
template <typename T>
struct SimilarityTask {
  View<const T, 4> f;  // [2, B, S, C]
  double eps = 0;
  const Index* given_matching = nullptr;  // [B, S], rows of -1 allowed; null: computed
  // Results; null: not wanted.
  Index* matching = nullptr;        // [B, S]
  ImageStatus* statuses = nullptr;  // [B]

  bool has_p = false;
  View<const T, 4> p{};
  // Results; null: not wanted.
  T* losses = nullptr;           // [2BS]
  double* image_sums = nullptr;  // [B]
  View<T, 4> grad_p{};           // data null: not wanted

  const T* grad_output = nullptr;     // [2BS] or one; null: ones
  bool grad_output_per_slot = false;  // [2BS]
  double divisor = 1;                 // of every grad_output
  // Set to false if the gradient of a slot loses bits in T, now or when it is scaled afterwards.
  // Null: not wanted.
  std::atomic<bool>* gradient_scales = nullptr;
  bool streams = false;     // write grad_p past the caches, which are too small for it
  bool prefetches = false;  // read f and p from memory ahead of time
};

template <typename T>
struct SimilarityKernels {
  // The bytes that run() works in, aligned to 64.
  std::size_t (*memory)(Index slots, Index channels);
  // Does the images [begin, end).
  void (*run)(const SimilarityTask<T>& task, Index begin, Index end, void* memory);
};

OSC_DECLARE_KERNELS(SimilarityKernels, similarity_kernels)

}  // namespace osc::cpu
