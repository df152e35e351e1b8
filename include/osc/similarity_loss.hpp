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
#include <type_traits>

#include "osc/call.hpp"
#include "osc/error.hpp"
#include "osc/executor.hpp"
#include "osc/reduction.hpp"
#include "osc/status.hpp"
#include "osc/view.hpp"
#include "osc/workspace.hpp"

namespace osc {

struct SimilarityLossOptions {
  Reduction reduction = Reduction::mean;
  double eps = 1e-10;  // floor of a norm; positive and finite
  NonFinite on_nonfinite = NonFinite::propagate;
  // [B, S], as match_slots gives it: each row a permutation, or -1 throughout, which makes the
  // image's results NaN. Nothing is solved then. Null: the matching is computed.
  const std::int64_t* given_matching = nullptr;
  Executor* executor = nullptr;    // null: default_executor()
  Workspace* workspace = nullptr;  // null: memory of the call's own
};

// Outputs. Those that are null are not written.
template <typename T>
struct SimilarityLossResults {
  T* loss = nullptr;                 // one element, or 2BS for Reduction::none: (view, image, slot)
  std::int64_t* matching = nullptr;  // [B, S]
  ImageStatus* statuses = nullptr;   // [B]
  // One element: 1 if the gradient, multiplied by a number afterwards, is as exact as with that
  // number as grad_output. 0 if T does not hold all bits of an element, and for 16-bit slots.
  std::int32_t* gradient_scales = nullptr;
  const T* grad_output = nullptr;  // the gradient of the loss, of its size; null: ones
  // The gradient with respect to p; no two elements may be the same memory. f receives none, even
  // where f and p are the same memory.
  View<T, 4> grad_p{};
};

// f: slots before the projection head, p: after it; both [2, B, S, C], in any two layouts
// (view_major, image_major), with adjacent channels.
//
//   aliasing     f and p may be the same memory. No result may overlap an input or another result.
//   numbers      results have the type of the inputs. Computed in it, or in float for 16-bit
//                inputs; losses, their sums and everything that is done once a slot in double. A
//                norm neither overflows nor vanishes on the way, so slots of any finite magnitude
//                work; a zero slot has cosine 0 and loss 1/2. Losses are in [0, 1], and their bits
//                are the same whatever else is asked for. A gradient is right to some of the type's
//                last bits, in units of g / (2 max(n, eps)), wherever that is a number of the type.
//   gradient     with n = |p|, u = unit(target), c = <p/n, u>: -g (u - c p/n) / (2n) where n > eps,
//                else -g u / (2 eps).
//   backward     a call with given_matching and grad_p but without the loss: for an autograd
//                engine, which learns grad_output only later. Same bits. O(SC) per image.
//   ties         in the matching as linear_sum_assignment takes them.
//   non-finite   an image with a NaN or an infinity in f or p gets losses and gradients of NaN and
//                a matching of -1; no other image changes. NonFinite::raise is an error instead.
//   sizes        S = 0 or B = 0 means no losses; C = 0 makes each loss 1/2.
//   errors       InvalidArgument or NonFiniteError, before anything is written.
//   threads      over images; the same bits with any number of them.
//   cost         f and p are read from memory once, the gradient is written once. O(S^2 C) an
//                image, and the assignment. Memory, from the workspace: 8B bytes, and a thread some
//                16 S (C + S) bytes; for small images up to 20 times that, since several of them
//                are matched together.
//
// T is double, float, float16 or bfloat16.
template <typename F, typename T = std::remove_const_t<F>>
[[nodiscard]] Status try_matching_similarity_loss_per_img(
    const View<F, 4>& f, const std::type_identity_t<View<const T, 4>>& p,
    const SimilarityLossOptions& options,
    const std::type_identity_t<SimilarityLossResults<T>>& results) noexcept {
  if (options.eps == 0) return detail::refused_zero("eps");
  auto call = detail::call_of<osc_similarity_loss>(options, results);
  call.f = detail::input(f);
  call.p = detail::input(p);
  call.gradient_scales = detail::contiguous_array(results.gradient_scales);
  call.grad_p = detail::gradient(results.grad_p);
  return detail::status_of(osc_matching_similarity_loss_per_img(&call));
}

template <typename F, typename T = std::remove_const_t<F>>
void matching_similarity_loss_per_img(
    const View<F, 4>& f, const std::type_identity_t<View<const T, 4>>& p,
    const SimilarityLossOptions& options,
    const std::type_identity_t<SimilarityLossResults<T>>& results) {
  raise_unless_ok(try_matching_similarity_loss_per_img(f, p, options, results));
}

// The loss alone, for Reduction::mean and Reduction::sum; InvalidArgument for Reduction::none.
template <typename F, typename T = std::remove_const_t<F>>
T matching_similarity_loss_per_img(const View<F, 4>& f,
                                   const std::type_identity_t<View<const T, 4>>& p,
                                   const SimilarityLossOptions& options = {}) {
  detail::check_scalar(options.reduction);
  T loss{};
  matching_similarity_loss_per_img(f, p, options, {.loss = &loss});
  return loss;
}

struct MatchSlotsOptions {
  double eps = 1e-10;  // floor of a norm; positive and finite
  NonFinite on_nonfinite = NonFinite::propagate;
  Executor* executor = nullptr;    // null: default_executor()
  Workspace* workspace = nullptr;  // null: memory of the call's own
};

struct MatchSlotsResults {
  std::int64_t* matching = nullptr;  // [B, S]: slot s of view 0 of image i is matched to slot
                                     // matching[i, s] of view 1
  ImageStatus* statuses = nullptr;   // [B]
};

// The matching of the slots [2, B, S, C] of the two views of each image by which the sum of their
// cosines is greatest. Cosines are of the slots' own type, of 16-bit slots float. An image that
// holds a NaN or an infinity gets -1 in all of its row. O(S^2 C) per image for the cosines, and the
// assignment.
template <typename T>
[[nodiscard]] Status try_match_slots(const View<T, 4>& slots, const MatchSlotsResults& results,
                                     const MatchSlotsOptions& options = {}) noexcept {
  if (options.eps == 0) return detail::refused_zero("eps");
  auto call = detail::call_of<osc_slot_matching>(options, results);
  call.slots = detail::input(slots);
  return detail::status_of(osc_match_slots(&call));
}

template <typename T>
void match_slots(const View<T, 4>& slots, const MatchSlotsResults& results,
                 const MatchSlotsOptions& options = {}) {
  raise_unless_ok(try_match_slots(slots, results, options));
}

}  // namespace osc
