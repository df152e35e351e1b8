// The similarity loss of slots of small crops against those of large crops of the same image: a
// slot of a small crop learns from the slot of a large one that it resembles most, where that is
// mutual.
//
//   unit(x)         = x / max(|x|, eps)
//   cos(s, l)       = <unit(p_small[i,b,s]), unit(f_large[i,a,l])>        for each image i and each
//                     pair of a large crop a and a small crop b
//   matching(s)     = the l of the greatest cos(s, l), if s has the greatest cos(s, l) of all slots
//                     of b; else none
//   loss(i,a,b)     = mean of (1 - cos(s, matching(s))) / 2 over the counted slots s, those with a
//                     match; NaN if there are none
//
// Source: F. Baldassarre and H. Azizpour, "Towards self-supervised learning of global and
// object-centric representations", 2022 (arXiv 2203.05997).
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

struct SmallToLargeLossOptions {
  Reduction reduction = Reduction::mean;  // over the pairs of crops in which a slot is counted
  double eps = 1e-10;                     // floor of a norm; positive and finite
  NonFinite on_nonfinite = NonFinite::propagate;
  // [B, Al, As, S]: a slot of the large crop, or -1. Null: the matching is computed.
  const std::int64_t* given_matching = nullptr;
  Executor* executor = nullptr;    // null: default_executor()
  Workspace* workspace = nullptr;  // null: memory of the call's own
};

// Outputs. Those that are null are not written.
template <typename T>
struct SmallToLargeLossResults {
  T* loss = nullptr;                 // one element, or [B, Al, As] for Reduction::none
  std::int64_t* matching = nullptr;  // [B, Al, As, S]: the slot of the large crop, -1 if the slot
                                     // of the small one is not counted
  float* counted_ratio = nullptr;   // one element: the counted slots of B*Al*As*S; NaN if that is 0
  ImageStatus* statuses = nullptr;  // [B]
  const T* grad_output = nullptr;   // the gradient of the loss, of its size; null: ones
  // The gradient with respect to p_small; no two elements may be the same memory. f_large receives
  // none.
  View<T, 4> grad_p_small{};
};

// f_large: [B, Al, L, C], B images of Al large crops of L slots; p_small: [B, As, S, C], of As
// small crops of S slots; in any two layouts with adjacent channels.
//
//   reduction    mean and sum are over the pairs of crops in which a slot is counted; NaN and 0 if
//                there is none.
//   aliasing     f_large and p_small may be the same memory. No result may overlap an input or
//                another result.
//   numbers      results have the type of the inputs. Units, cosines and gradients are computed in
//                it, or in float for 16-bit inputs; losses and their sums in double. A norm neither
//                overflows nor vanishes on the way; a zero slot has cosine 0 with all. Losses are
//                in [0, 1].
//   gradient     with g the gradient of the loss of a pair, k the number of its counted slots, n =
//                |p|, u = unit(match), c = <p/n, u>: -g/k (u - c p/n) / (2n) where n > eps, else
//                -g/k u / (2 eps), added up over large crops. 0 where a slot is counted nowhere,
//                whatever grad_output is. None flows through the matching.
//   backward     a call with given_matching and grad_p_small but without the loss: for an autograd
//                engine, which learns grad_output only later. Same bits.
//   ties         the first of equal cosines is the greatest, on both sides.
//   non-finite   an image with a NaN or an infinity gets losses and gradients of NaN and a matching
//                of -1; no loss of another image changes. The mean and the sum are NaN; the
//                gradient of the other images is that of the mean over their pairs.
//                NonFinite::raise is an error instead.
//   sizes        any may be 0. C = 0 makes all cosines 0.
//   errors       InvalidArgument or NonFiniteError, before anything is written.
//   threads      over images; the same bits with any number of them.
//   cost         Al L As S C multiplications per image. The gradient of the mean reads f_large and
//                p_small again. Memory: Al L (2 C + As S) + As S C numbers of the type computed in
//                a thread, and 8 B Al As (S + 2) bytes, from the workspace.
//
// T is double, float, float16 or bfloat16.
template <typename F, typename T = std::remove_const_t<F>>
[[nodiscard]] Status try_matching_similarity_loss_small_to_large(
    const View<F, 4>& f_large, const std::type_identity_t<View<const T, 4>>& p_small,
    const SmallToLargeLossOptions& options,
    const std::type_identity_t<SmallToLargeLossResults<T>>& results) noexcept {
  if (options.eps == 0) return detail::refused_zero("eps");
  auto call = detail::call_of<osc_small_to_large_loss>(options, results);
  call.f_large = detail::input(f_large);
  call.p_small = detail::input(p_small);
  call.counted_ratio = detail::contiguous_array(results.counted_ratio);
  call.grad_p_small = detail::gradient(results.grad_p_small);
  return detail::status_of(osc_matching_similarity_loss_small_to_large(&call));
}

template <typename F, typename T = std::remove_const_t<F>>
void matching_similarity_loss_small_to_large(
    const View<F, 4>& f_large, const std::type_identity_t<View<const T, 4>>& p_small,
    const SmallToLargeLossOptions& options,
    const std::type_identity_t<SmallToLargeLossResults<T>>& results) {
  raise_unless_ok(try_matching_similarity_loss_small_to_large(f_large, p_small, options, results));
}

// The loss alone, for Reduction::mean and Reduction::sum; InvalidArgument for Reduction::none.
template <typename F, typename T = std::remove_const_t<F>>
T matching_similarity_loss_small_to_large(const View<F, 4>& f_large,
                                          const std::type_identity_t<View<const T, 4>>& p_small,
                                          const SmallToLargeLossOptions& options = {}) {
  detail::check_scalar(options.reduction);
  T loss{};
  matching_similarity_loss_small_to_large(f_large, p_small, options, {.loss = &loss});
  return loss;
}

}  // namespace osc
