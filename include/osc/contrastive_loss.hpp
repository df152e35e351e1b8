// The contrastive loss of matched slots: each slot is to be told apart, by its match in the other
// view, from all other slots of the batch or of its image.
//
//   unit(x)      = x / max(|x|, eps)
//   matching     = as match_slots gives it, or the caller's
//   cos(r, c)    = <unit(slot r), unit(slot c)>
//   lse(r)       = log( sum over candidates c other than r of exp(cos(r, c) / temperature) )
//   loss(r)      = lse(r) - cos(r, match of r) / temperature
//
// Each slot has 2BS - 1 candidates with Candidates::batch, 2S - 1 with Candidates::image. Gradients
// flow through every slot, not through the matching.
//
// Source: F. Baldassarre and H. Azizpour, "Towards self-supervised learning of global and
// object-centric representations", 2022 (arXiv 2203.05997); for whole images T. Chen, S. Kornblith,
// M. Norouzi and G. Hinton, "A simple framework for contrastive learning of visual
// representations", ICML 2020.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "osc/call.hpp"
#include "osc/error.hpp"
#include "osc/executor.hpp"
#include "osc/reduction.hpp"
#include "osc/status.hpp"
#include "osc/view.hpp"
#include "osc/workspace.hpp"

namespace osc {

enum class Candidates : std::int32_t {
  batch,  // all slots of all images
  image,  // the 2S slots of the slot's own image
};

struct ContrastiveLossOptions {
  Candidates candidates = Candidates::batch;
  double temperature = 1;  // positive and finite
  Reduction reduction = Reduction::mean;
  double eps = 1e-10;  // floor of a norm; positive and finite
  NonFinite on_nonfinite = NonFinite::propagate;
  // [B, S]: each row a permutation, or -1 throughout, which makes the image's results NaN. Null:
  // the matching is computed.
  const std::int64_t* given_matching = nullptr;
  // [2BS], the log_sum_exp of a call with the same slots and options whose gradient is wanted now.
  const double* given_log_sum_exp = nullptr;
  Executor* executor = nullptr;    // null: default_executor()
  Workspace* workspace = nullptr;  // null: memory of the call's own
};

// Outputs. Those that are null are not written.
template <typename T>
struct ContrastiveLossResults {
  T* loss = nullptr;                 // one element, or 2BS for Reduction::none: (view, image, slot)
  std::int64_t* matching = nullptr;  // [B, S]
  double* log_sum_exp = nullptr;     // [2BS], lse above
  float* accuracy = nullptr;        // one element: the share of slots whose cosine with their match
                                    // is above that with any other candidate; NaN without slots
  ImageStatus* statuses = nullptr;  // [B]
  const T* grad_output = nullptr;   // the gradient of the loss, of its size; null: ones
  View<T, 4> grad_slots{};          // no two elements may be the same memory
};

namespace detail {

// What the calls for one process and for a rank of several have in common.
template <typename Call, typename F, int N, typename T>
Call contrastive_call(const View<F, N>& slots, const ContrastiveLossOptions& options,
                      const ContrastiveLossResults<T>& results) noexcept {
  auto call = call_of<Call>(options, results);
  call.slots = input(slots);
  call.given_log_sum_exp = contiguous_array(options.given_log_sum_exp);
  call.log_sum_exp = contiguous_array(results.log_sum_exp);
  call.accuracy = contiguous_array(results.accuracy);
  call.grad_slots = gradient(results.grad_slots);
  return call;
}

}  // namespace detail

// slots: [2, B, S, C], in any layout (view_major, image_major), with adjacent channels.
//
//   aliasing     no result may overlap an input or another result.
//   numbers      results have the type of the input. Units, cosines and gradients are computed in
//                it, or in float for 16-bit inputs. Losses, and sums of exponentials over many
//                candidates, are computed in double. The match is summed apart from the other
//                candidates: a small loss and its gradient are as exact as a large one. Neither a
//                norm nor, at any temperature, a sum of exponentials overflows or underflows. A
//                zero slot has cosine 0 with all.
//   non-finite   an image with a NaN or an infinity gets losses and gradients of NaN and a matching
//                of -1, and its slots are candidates of no other slot: the other images' results
//                are those of the batch without it. NonFinite::raise is an error instead.
//   gradient     of all 2BS losses together: a slot is a candidate of the others. The gradient is
//                orthogonal to the slot, up to rounding.
//   backward     a call with given_matching, given_log_sum_exp and grad_slots, but without loss,
//                log_sum_exp and accuracy: for an autograd engine, which has grad_output only in
//                the backward pass. The gradient has the same bits.
//   sizes        S = 0 or B = 0 means no losses; C = 0 makes all cosines 0.
//   errors       InvalidArgument or NonFiniteError, before anything is written.
//   threads      over pairs of blocks of slots (Candidates::image: over images); the same bits with
//                any number of them.
//   cost         for N = 2BS slots N^2 C / 2 multiplications for the loss and 3 N^2 C / 2 for the
//                gradient (the cosine of a pair serves both of its slots), N = 2S and B times as
//                much for Candidates::image. Memory: no N x N matrix; some 3 N C numbers of the
//                type computed in (Candidates::image: a thread, with N = 2S), from the workspace.
//
// T is double, float, float16 or bfloat16.
template <typename F, typename T = std::remove_const_t<F>>
[[nodiscard]] Status try_matching_contrastive_loss(
    const View<F, 4>& slots, const ContrastiveLossOptions& options,
    const std::type_identity_t<ContrastiveLossResults<T>>& results) noexcept {
  if (options.eps == 0) return detail::refused_zero("eps");
  if (options.temperature == 0) return detail::refused_zero("temperature");
  auto call = detail::contrastive_call<osc_contrastive_loss>(slots, options, results);
  call.candidates = static_cast<std::int32_t>(options.candidates);
  return detail::status_of(osc_matching_contrastive_loss(&call));
}

template <typename F, typename T = std::remove_const_t<F>>
void matching_contrastive_loss(const View<F, 4>& slots, const ContrastiveLossOptions& options,
                               const std::type_identity_t<ContrastiveLossResults<T>>& results) {
  raise_unless_ok(try_matching_contrastive_loss(slots, options, results));
}

// The loss alone, for Reduction::mean and Reduction::sum; InvalidArgument for Reduction::none.
template <typename F, typename T = std::remove_const_t<F>>
T matching_contrastive_loss(const View<F, 4>& slots, const ContrastiveLossOptions& options = {}) {
  detail::check_scalar(options.reduction);
  T loss{};
  matching_contrastive_loss(slots, options, {.loss = &loss});
  return loss;
}

// The losses of the slots of one rank among those of all R ranks of a job, slots [R, 2, B, S, C];
// options.candidates must be Candidates::batch. Results, and given_matching, are those of this
// rank. The mean over ranks of the mean loss is that of the joined batch. A row of -1 in
// given_matching is InvalidArgument for a finite image, of which the other ranks could not know.
//
// The gradient is that of the ranks' losses, added up, with respect to this rank's slots. It takes
// given_log_sum_exp [R, 2BS], the log_sum_exp of all ranks, and grad_output [R], or [R, 2BS] for
// Reduction::none. Averaged over ranks afterwards, as gradients of parameters are, it is that of
// the mean over ranks of the losses.
template <typename F, typename T = std::remove_const_t<F>>
[[nodiscard]] Status try_matching_contrastive_loss_gathered(
    const View<F, 5>& slots, std::int64_t rank, const ContrastiveLossOptions& options,
    const std::type_identity_t<ContrastiveLossResults<T>>& results) noexcept {
  if (options.eps == 0) return detail::refused_zero("eps");
  if (options.temperature == 0) return detail::refused_zero("temperature");
  if (options.candidates != Candidates::batch)
    return Status(StatusCode::invalid_argument, -1,
                  "candidates is image: the candidates of gathered slots are those of all ranks");
  auto call = detail::contrastive_call<osc_contrastive_loss_gathered>(slots, options, results);
  call.rank = rank;
  return detail::status_of(osc_matching_contrastive_loss_gathered(&call));
}

template <typename F, typename T = std::remove_const_t<F>>
void matching_contrastive_loss_gathered(
    const View<F, 5>& slots, std::int64_t rank, const ContrastiveLossOptions& options,
    const std::type_identity_t<ContrastiveLossResults<T>>& results) {
  raise_unless_ok(try_matching_contrastive_loss_gathered(slots, rank, options, results));
}

// The losses at two ends, best first: matched slots equal and all others orthogonal to them,
// log(exp(1/temperature) + 2BS - 2) - 1/temperature; all slots equal, log(2BS - 1). With B = 1 they
// are those of Candidates::image. InvalidArgument for sizes below 1, or a temperature that is not
// positive and finite.
inline std::pair<double, double> matching_contrastive_loss_best_worst(std::int64_t images,
                                                                      std::int64_t slots,
                                                                      double temperature = 1) {
  std::pair<double, double> ends;
  raise_unless_ok(detail::status_of(osc_matching_contrastive_loss_best_worst(
      images, slots, temperature, &ends.first, &ends.second)));
  return ends;
}

}  // namespace osc
