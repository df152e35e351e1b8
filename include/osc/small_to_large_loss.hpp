// The similarity loss of slots of small crops against those of large crops of the same image: a
// slot of a small crop learns from the slot of a large one that it resembles most, where that is
// mutual.
//
//   unit(x)         = x / max(|x|, eps)
//   cos(s, l)       = <unit(p_small[i,b,s]), unit(f_large[i,a,l])>        for each image i and each
//                   pair of a large crop a and a small crop b
//   matching(s)     = the l of the greatest cos(s, l), where s has the greatest cos(s, l) of all
//                   slots of b; else none
//   loss(i,a,b)     = mean of (1 - cos(s, matching(s))) / 2 over the slots s that count, which are
//                   those with a match; NaN where none counts
//
// Source: F. Baldassarre and H. Azizpour, "Towards self-supervised learning of global and
// object-centric representations", 2022 (arXiv 2203.05997).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

#include "osc/assignment.hpp"
#include "osc/error.hpp"
#include "osc/executor.hpp"
#include "osc/export.h"
#include "osc/float16.hpp"
#include "osc/reduction.hpp"
#include "osc/status.hpp"
#include "osc/workspace.hpp"

namespace osc {

// Slots of several crops of each image, as a view of memory that someone else owns: slot (image,
// crop, slot) is C adjacent elements at data + image * image_stride + crop * crop_stride + slot *
// slot_stride. Strides count elements and may be negative or, where a view is only read, zero. T is
// double, float, float16 or bfloat16, const where the slots are only read.
template <typename T>
struct SlotCrops {
  T* data = nullptr;  // may be null where there are no elements
  std::int64_t images = 0;
  std::int64_t crops = 0;
  std::int64_t slots = 0;
  std::int64_t channels = 0;
  std::int64_t image_stride = 0;
  std::int64_t crop_stride = 0;
  std::int64_t slot_stride = 0;

  T* at(std::int64_t image, std::int64_t crop, std::int64_t slot) const noexcept {
    if (channels == 0) return data;  // may be null, and the strides anything
    return data + image * image_stride + crop * crop_stride + slot * slot_stride;
  }

  operator SlotCrops<const T>() const noexcept  // NOLINT(google-explicit-constructor): reading what
                                                // may be written is always allowed
    requires(!std::is_const_v<T>)
  {
    return {data, images, crops, slots, channels, image_stride, crop_stride, slot_stride};
  }
};

// A Status other than ok, whose text calls the slots `name`, unless sizes are not negative, data is
// there where there are elements, and neither the number of bytes nor the distance between the
// first and the last element overflows. The functions below call it. O(1).
template <typename T>
OSC_API Status try_check(const SlotCrops<T>& slots, const char* name) noexcept;

// [B, A, S, C], contiguous. Throws InvalidArgument where try_check fails.
template <typename T>
OSC_API SlotCrops<T> contiguous_crops(T* data, std::int64_t images, std::int64_t crops,
                                      std::int64_t slots, std::int64_t channels);

struct SmallToLargeOptions {
  Reduction reduction = Reduction::mean;
  double eps = 1e-10;  // floor of a norm; positive and finite
  NonFinite on_nonfinite = NonFinite::propagate;
  Executor* executor = nullptr;    // null: default_executor()
  Workspace* workspace = nullptr;  // null: memory of the call's own
};

// The gradient with respect to p_small, and the gradient that comes in for the loss. f_large
// receives none.
template <typename T>
struct SmallToLargeGradient {
  SlotCrops<T>
      p;  // written; sizes of p_small, any strides under which no two elements are the same memory
  const T* incoming =
      nullptr;  // one element, for Reduction::none [B, Al, As]; null stands for ones
};

// Each of these is written where it is asked for.
template <typename T>
struct SmallToLargeResults {
  T* loss = nullptr;  // one element, for Reduction::none [B, Al, As]
  double* counted_ratio =
      nullptr;  // one element: the slots that count, of B*Al*As*S; NaN where that is 0
  std::optional<SmallToLargeGradient<T>> gradient = std::nullopt;
  std::int64_t* matching = nullptr;  // [B, Al, As, S], contiguous: the slot of the large crop, -1
                                     // where the slot of the small one does not count
  ImageStatus* statuses = nullptr;   // [B]
};

namespace detail {

template <typename T>
OSC_API Status small_to_large_loss(const SlotCrops<const T>& f_large,
                                   const SlotCrops<const T>& p_small,
                                   const SmallToLargeOptions& options,
                                   const SmallToLargeResults<T>& results) noexcept;
template <typename T>
OSC_API Status small_to_large_gradient(const SlotCrops<const T>& f_large,
                                       const SlotCrops<const T>& p_small,
                                       const std::int64_t* matching,
                                       const SmallToLargeOptions& options,
                                       const SmallToLargeGradient<T>& gradient) noexcept;

}  // namespace detail

// f_large: B images of Al large crops of L slots; p_small: of As small crops of S slots; both of C
// channels, in any two layouts.
//
//   reduction    mean and sum are over the pairs of crops in which a slot counts; NaN and 0 where
//                there is none.
//   aliasing     f_large and p_small may be the same memory. No result may overlap an input or
//                another result.
//   numbers      results have the inputs' type. Units, cosines and gradients are computed in it, or
//                in float for 16-bit inputs; losses and their sums in double. A norm neither
//                overflows nor vanishes on the way; a zero slot has cosine 0 with all. Losses are
//                in [0, 1].
//   gradient     with g what comes in for a pair, k the number of its slots that count, n = |p|, u
//                = unit(match), c = <p/n, u>: -g/k (u - c p/n) / (2n) where n > eps, else -g/k u /
//                (2 eps), added up over large crops. 0 where a slot counts nowhere, whatever comes
//                in. None flows through the matching.
//   ties         the first of equal cosines is the greatest, on both sides.
//   non-finite   an image with a NaN or an infinity gets losses and gradients of NaN and a matching
//                of -1; no loss of another image changes. The mean and the sum are NaN; the
//                gradient of the other images is that of the mean over their pairs.
//                NonFinite::raise is an error instead.
//   sizes        any may be 0. C = 0 makes all cosines 0.
//   errors       InvalidArgument or NonFiniteError, before anything is written.
//   threads      over images; the same bits with any number of them.
//   cost         Al L As S C multiplications an image. The gradient of the mean reads f_large and
//                p_small again. Memory: Al L (2 C + As S) + As S C numbers of the type computed in
//                a thread, and 8 B Al As (S + 2) bytes, from the workspace.
//
// T is double, float, float16 or bfloat16; f_large and p_small are SlotCrops<T> or SlotCrops<const
// T>.
template <typename F, typename T = std::remove_const_t<F>>
[[nodiscard]] Status try_matching_similarity_loss_small_to_large(
    const SlotCrops<F>& f_large, const std::type_identity_t<SlotCrops<const T>>& p_small,
    const SmallToLargeOptions& options,
    const std::type_identity_t<SmallToLargeResults<T>>& results) noexcept {
  return detail::small_to_large_loss<T>(f_large, p_small, options, results);
}

template <typename F, typename T = std::remove_const_t<F>>
void matching_similarity_loss_small_to_large(
    const SlotCrops<F>& f_large, const std::type_identity_t<SlotCrops<const T>>& p_small,
    const SmallToLargeOptions& options,
    const std::type_identity_t<SmallToLargeResults<T>>& results) {
  raise_unless_ok(detail::small_to_large_loss<T>(f_large, p_small, options, results));
}

// The loss alone, for Reduction::mean and Reduction::sum; InvalidArgument for Reduction::none.
template <typename F, typename T = std::remove_const_t<F>>
T matching_similarity_loss_small_to_large(const SlotCrops<F>& f_large,
                                          const std::type_identity_t<SlotCrops<const T>>& p_small,
                                          const SmallToLargeOptions& options = {}) {
  if (options.reduction == Reduction::none)
    throw InvalidArgument(
        "reduction \"none\" has B*Al*As losses: give memory for them in SmallToLargeResults");
  T loss{};
  raise_unless_ok(detail::small_to_large_loss<T>(f_large, p_small, options, {.loss = &loss}));
  return loss;
}

// The gradient alone, for a caller that learns the incoming gradient only later and kept the
// matching of the call above for the same slots. Same bits as the call above. InvalidArgument also
// for an entry of the matching that is neither -1 nor a slot of a large crop.
template <typename F, typename T = std::remove_const_t<F>>
[[nodiscard]] Status try_matching_similarity_loss_small_to_large_backward(
    const SlotCrops<F>& f_large, const std::type_identity_t<SlotCrops<const T>>& p_small,
    const std::int64_t* matching, const SmallToLargeOptions& options,
    const std::type_identity_t<SmallToLargeGradient<T>>& gradient) noexcept {
  return detail::small_to_large_gradient<T>(f_large, p_small, matching, options, gradient);
}

template <typename F, typename T = std::remove_const_t<F>>
void matching_similarity_loss_small_to_large_backward(
    const SlotCrops<F>& f_large, const std::type_identity_t<SlotCrops<const T>>& p_small,
    const std::int64_t* matching, const SmallToLargeOptions& options,
    const std::type_identity_t<SmallToLargeGradient<T>>& gradient) {
  raise_unless_ok(
      detail::small_to_large_gradient<T>(f_large, p_small, matching, options, gradient));
}

// The bytes that a Workspace needs for the calls above on sizes {B, Al, L, As, S, C} and an
// executor of `threads` threads. 0 for sizes that they refuse.
template <typename T>
OSC_API std::size_t small_to_large_workspace(std::int64_t images, std::int64_t large_crops,
                                             std::int64_t large_slots, std::int64_t small_crops,
                                             std::int64_t small_slots, std::int64_t channels,
                                             int threads) noexcept;

}  // namespace osc
