// The similarity loss between matched slots of two views of an image, its gradient, and its
// matching.
//
//   unit(x)         = x / max(|x|, eps)
//   matching of i   = argmax over permutations m of sum_s <unit(f[0,i,s]), unit(f[1,i,m(s)])>
//   target(0,i,s)   = f[1,i,m(s)]        target(1,i,t) = f[0,i,m^-1(t)]
//   loss(v,i,s)     = (1 - <unit(p[v,i,s]), unit(target(v,i,s))>) / 2
//
// Source: F. Baldassarre and H. Azizpour, "Towards self-supervised learning of global and
// object-centric representations", 2022 (arXiv 2203.05997). Its code returns (1 - sum of cosines)/2
// for "sum" and a [2, B, S] array for "none"; here "sum" is the sum of the losses, and "none" is
// the vector.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>

#include "osc/assignment.hpp"
#include "osc/executor.hpp"
#include "osc/export.h"
#include "osc/reduction.hpp"
#include "osc/slots.hpp"

namespace osc {

struct MatchingSimilarityOptions {
  Reduction reduction = Reduction::mean;
  double eps = 1e-10;  // floor of a norm; positive and finite
  NonFinite on_nonfinite = NonFinite::propagate;
  Executor* executor = nullptr;    // null: default_executor()
  Workspace* workspace = nullptr;  // null: memory of the call's own
};

// The gradient with respect to p, and the gradient that comes in for the loss. f receives none,
// also where f and p are the same memory.
template <typename T>
struct SimilarityGradient {
  SlotPairs<T>
      p;  // written; sizes of p, any strides under which no two elements are the same memory
  const T* incoming = nullptr;  // one element, for Reduction::none 2BS; null stands for ones
};

// Each of these is written where it is asked for.
template <typename T>
struct MatchingSimilarityResults {
  T* loss = nullptr;  // one element, for Reduction::none 2BS
  std::optional<SimilarityGradient<T>> gradient = std::nullopt;
  std::int64_t* matching = nullptr;  // [B, S], contiguous, as match_slots gives it
  ImageStatus* statuses = nullptr;   // [B]
  // One element: whether the gradient, multiplied afterwards, is as exact as if that had come in.
  // False where an element is so small, or so large, that T does not hold all of its bits; and for
  // 16-bit slots.
  bool* gradient_scales = nullptr;
};

namespace detail {

template <typename T>
OSC_API Status similarity_loss(const SlotPairs<const T>& f, const SlotPairs<const T>& p,
                               const MatchingSimilarityOptions& options,
                               const MatchingSimilarityResults<T>& results) noexcept;
template <typename T>
OSC_API Status similarity_gradient(const SlotPairs<const T>& f, const SlotPairs<const T>& p,
                                   const std::int64_t* matching,
                                   const MatchingSimilarityOptions& options,
                                   const SimilarityGradient<T>& gradient) noexcept;

}  // namespace detail

// f: slots before the projection head, p: after it; both B images of 2 views, S slots, C channels,
// in any two layouts.
//
//   aliasing     f and p may be the same memory. No result may overlap an input or another result.
//   numbers      results have the inputs' type. Computed in it, or in float for 16-bit inputs;
//                losses, their sums and everything that is done once a slot in double. A norm
//                neither overflows nor vanishes on the way, so slots of any finite magnitude work;
//                a zero slot has cosine 0 and loss 1/2. Losses are in [0, 1], and their bits are
//                the same whatever else is asked for. A gradient is right to some of the type's
//                last bits, in units of g / (2 max(n, eps)), wherever that is a number of the type.
//   gradient     with n = |p|, u = unit(target), c = <p/n, u>: -g (u - c p/n) / (2n) where n > eps,
//                else -g u / (2 eps).
//   ties         in the matching as linear_sum_assignment takes them.
//   non-finite   an image with a NaN or an infinity in f or p gets losses and gradients of NaN and
//                a matching of -1; no other image changes. NonFinite::raise is an error instead.
//   sizes        S = 0 or B = 0 means no losses; C = 0 makes each loss 1/2.
//   errors       InvalidArgument or NonFiniteError, before anything is written.
//   threads      over images; the same bits with any number of them.
//   cost         f and p are read from memory once, the gradient is written once. O(S^2 C) an
//                image, and the assignment. Memory: some 16 * S * (C + S) bytes a thread and a
//                little more, and 8B bytes, from the workspace.
//
// T is double, float, float16 or bfloat16; f and p are SlotPairs<T> or SlotPairs<const T>.
template <typename F, typename T = std::remove_const_t<F>>
[[nodiscard]] Status try_matching_similarity_loss_per_img(
    const SlotPairs<F>& f, const std::type_identity_t<SlotPairs<const T>>& p,
    const MatchingSimilarityOptions& options,
    const std::type_identity_t<MatchingSimilarityResults<T>>& results) noexcept {
  return detail::similarity_loss<T>(f, p, options, results);
}

template <typename F, typename T = std::remove_const_t<F>>
void matching_similarity_loss_per_img(
    const SlotPairs<F>& f, const std::type_identity_t<SlotPairs<const T>>& p,
    const MatchingSimilarityOptions& options,
    const std::type_identity_t<MatchingSimilarityResults<T>>& results) {
  raise_unless_ok(detail::similarity_loss<T>(f, p, options, results));
}

// The loss alone, for Reduction::mean and Reduction::sum; InvalidArgument for Reduction::none.
template <typename F, typename T = std::remove_const_t<F>>
T matching_similarity_loss_per_img(const SlotPairs<F>& f,
                                   const std::type_identity_t<SlotPairs<const T>>& p,
                                   const MatchingSimilarityOptions& options = {}) {
  if (options.reduction == Reduction::none)
    throw InvalidArgument(
        "reduction \"none\" has 2BS losses: give memory for them in MatchingSimilarityResults");
  T loss{};
  raise_unless_ok(detail::similarity_loss<T>(f, p, options, {.loss = &loss}));
  return loss;
}

// The gradient alone, for a caller that learns the incoming gradient only later (an autograd
// engine) and kept the matching, which is not computed again. `matching` [B, S] is what the call
// above or match_slots gave for the same f; each row must be a permutation, or all -1, which makes
// the image's gradient NaN. Same bits as the call above. InvalidArgument also for a row that is
// neither. O(SC) an image.
template <typename F, typename T = std::remove_const_t<F>>
[[nodiscard]] Status try_matching_similarity_loss_per_img_backward(
    const SlotPairs<F>& f, const std::type_identity_t<SlotPairs<const T>>& p,
    const std::int64_t* matching, const MatchingSimilarityOptions& options,
    const std::type_identity_t<SimilarityGradient<T>>& gradient) noexcept {
  return detail::similarity_gradient<T>(f, p, matching, options, gradient);
}

template <typename F, typename T = std::remove_const_t<F>>
void matching_similarity_loss_per_img_backward(
    const SlotPairs<F>& f, const std::type_identity_t<SlotPairs<const T>>& p,
    const std::int64_t* matching, const MatchingSimilarityOptions& options,
    const std::type_identity_t<SimilarityGradient<T>>& gradient) {
  raise_unless_ok(detail::similarity_gradient<T>(f, p, matching, options, gradient));
}

// The bytes that a Workspace needs for the calls above, and for match_slots, on slots of these
// sizes and an executor of `threads` threads.
template <typename T>
OSC_API std::size_t matching_similarity_workspace(std::int64_t images, std::int64_t slots,
                                                  std::int64_t channels, int threads) noexcept;

}  // namespace osc
