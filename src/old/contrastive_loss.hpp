// The contrastive loss of matched slots: each slot is to be told apart, by its match in the other
// view, from all other slots of the batch or of its image.
//
//   unit(x)      = x / max(|x|, eps)
//   matching     = as match_slots gives it, or the caller's
//   cos(r, c)    = <unit(slot r), unit(slot c)>
//   loss(r)      = log( sum over candidates c other than r of exp(cos(r, c) / temperature) ) -
//                cos(r, match of r) / temperature
//
// Of Candidates::batch there are 2BS - 1 for each slot, of Candidates::image 2S - 1. Gradients flow
// through every slot, not through the matching.
//
// Source: F. Baldassarre and H. Azizpour, "Towards self-supervised learning of global and
// object-centric representations", 2022 (arXiv 2203.05997); for whole images T. Chen, S. Kornblith,
// M. Norouzi and G. Hinton, "A simple framework for contrastive learning of visual
// representations", ICML 2020.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "old/slots.hpp"
#include "osc/error.hpp"
#include "osc/executor.hpp"
#include "osc/export.h"
#include "osc/reduction.hpp"
#include "osc/status.hpp"
#include "osc/workspace.hpp"

namespace osc {

enum class Candidates {
  batch,  // all slots of all images
  image,  // the 2S slots of the slot's own image
};

struct MatchingContrastiveOptions {
  Candidates candidates = Candidates::batch;
  double temperature = 1;  // positive and finite
  Reduction reduction = Reduction::mean;
  double eps = 1e-10;  // floor of a norm; positive and finite
  NonFinite on_nonfinite = NonFinite::propagate;
  const std::int64_t* given_matching =
      nullptr;  // [B, S]; null: by the slots themselves. Rows are permutations, or -1 throughout
                // for an image whose results are to be NaN.
  Executor* executor = nullptr;    // null: default_executor()
  Workspace* workspace = nullptr;  // null: memory of the call's own
};

// The gradient with respect to the slots, and the gradient that comes in for the loss.
template <typename T>
struct ContrastiveGradient {
  SlotPairs<T> slots;  // written; sizes of the slots, any strides under which no two elements are
                       // the same memory
  const T* incoming = nullptr;  // one element, for Reduction::none 2BS; null stands for ones
};

// Each of these is written where it is asked for.
template <typename T>
struct MatchingContrastiveResults {
  T* loss = nullptr;  // one element, for Reduction::none 2BS
  std::optional<ContrastiveGradient<T>> gradient = std::nullopt;
  std::int64_t* matching = nullptr;  // [B, S], contiguous
  double* log_sums =
      nullptr;  // [2BS]: the logarithm in the loss above, which the backward call below takes
  double* accuracy = nullptr;  // one element: the share of slots that resemble no candidate as much
                               // as their match; NaN where there are none
  ImageStatus* statuses = nullptr;  // [B]
};

// The slots of several processes (of a job that trains on many devices), gathered: [ranks, 2B, S,
// C], contiguous. All of them are candidates; `rank` says which are this process's own.
template <typename T>
struct GatheredSlots {
  const T* data = nullptr;  // may be null where B, S or C is 0
  std::int64_t ranks = 1;
  std::int64_t rank = 0;
  std::int64_t images = 0;  // of each rank
  std::int64_t slots = 0;
  std::int64_t channels = 0;
};

namespace detail {

template <typename T>
OSC_API Status contrastive_loss(const SlotPairs<const T>& slots,
                                const MatchingContrastiveOptions& options,
                                const MatchingContrastiveResults<T>& results) noexcept;
template <typename T>
OSC_API Status contrastive_gradient(const SlotPairs<const T>& slots, const std::int64_t* matching,
                                    const double* log_sums,
                                    const MatchingContrastiveOptions& options,
                                    const ContrastiveGradient<T>& gradient) noexcept;
template <typename T>
OSC_API Status gathered_contrastive_loss(const GatheredSlots<T>& slots,
                                         const MatchingContrastiveOptions& options,
                                         const MatchingContrastiveResults<T>& results) noexcept;
template <typename T>
OSC_API Status gathered_contrastive_gradient(const GatheredSlots<T>& slots,
                                             const std::int64_t* matching, const double* log_sums,
                                             const MatchingContrastiveOptions& options,
                                             const ContrastiveGradient<T>& gradient) noexcept;

}  // namespace detail

// slots: B images of 2 views, S slots, C channels, in any layout.
//
//   aliasing     no result may overlap an input or another result.
//   numbers      results have the input's type. Units, cosines and gradients are computed in it, or
//                in float for 16-bit inputs; sums of exponentials over many candidates, and losses,
//                in double, and the match apart from the others, so that a small loss and its
//                gradient are as exact as a large one. A norm neither overflows nor vanishes on the
//                way; neither does a sum of exponentials at any temperature. A zero slot has cosine
//                0 with all.
//   non-finite   an image with a NaN or an infinity gets losses and gradients of NaN and a matching
//                of -1, and its slots are nobody's candidates: the other images' results are those
//                of the batch without it. NonFinite::raise is an error instead.
//   gradient     of all 2BS losses together: a slot is a candidate of the others. Its part along
//                the slot is 0 up to rounding.
//   sizes        S = 0 or B = 0 means no losses; C = 0 makes all cosines 0.
//   errors       InvalidArgument or NonFiniteError, before anything is written.
//   threads      over pairs of blocks of slots (Candidates::image: over images); the same bits with
//                any number of them.
//   cost         for N = 2BS slots N^2 C / 2 multiplications for the loss and 3 N^2 C / 2 for the
//                gradient (of each pair of slots one cosine serves both), N = 2S and B times as
//                much for Candidates::image. Memory: no N x N matrix; some 3 N C numbers of the
//                type computed in (Candidates::image: a thread, with N = 2S), from the workspace.
//
// T is double, float, float16 or bfloat16.
template <typename F, typename T = std::remove_const_t<F>>
[[nodiscard]] Status try_matching_contrastive_loss(
    const SlotPairs<F>& slots, const MatchingContrastiveOptions& options,
    const std::type_identity_t<MatchingContrastiveResults<T>>& results) noexcept {
  return detail::contrastive_loss<T>(slots, options, results);
}

template <typename F, typename T = std::remove_const_t<F>>
void matching_contrastive_loss(const SlotPairs<F>& slots, const MatchingContrastiveOptions& options,
                               const std::type_identity_t<MatchingContrastiveResults<T>>& results) {
  raise_unless_ok(detail::contrastive_loss<T>(slots, options, results));
}

// The loss alone, for Reduction::mean and Reduction::sum; InvalidArgument for Reduction::none.
template <typename F, typename T = std::remove_const_t<F>>
T matching_contrastive_loss(const SlotPairs<F>& slots,
                            const MatchingContrastiveOptions& options = {}) {
  if (options.reduction == Reduction::none)
    throw InvalidArgument(
        "reduction \"none\" has 2BS losses: give memory for them in MatchingContrastiveResults");
  T loss{};
  raise_unless_ok(detail::contrastive_loss<T>(slots, options, {.loss = &loss}));
  return loss;
}

// The gradient alone, for a caller that learns the incoming gradient only later and kept the
// matching [B, S] and log_sums [2BS] of the call above for the same slots and options, whose
// given_matching counts no more. Same bits as the call above. InvalidArgument also for a row of the
// matching that is neither a permutation nor all -1.
template <typename F, typename T = std::remove_const_t<F>>
[[nodiscard]] Status try_matching_contrastive_loss_backward(
    const SlotPairs<F>& slots, const std::int64_t* matching, const double* log_sums,
    const MatchingContrastiveOptions& options,
    const std::type_identity_t<ContrastiveGradient<T>>& gradient) noexcept {
  return detail::contrastive_gradient<T>(slots, matching, log_sums, options, gradient);
}

template <typename F, typename T = std::remove_const_t<F>>
void matching_contrastive_loss_backward(
    const SlotPairs<F>& slots, const std::int64_t* matching, const double* log_sums,
    const MatchingContrastiveOptions& options,
    const std::type_identity_t<ContrastiveGradient<T>>& gradient) {
  raise_unless_ok(detail::contrastive_gradient<T>(slots, matching, log_sums, options, gradient));
}

// The losses of this rank's slots, told apart from those of all ranks; options.candidates must be
// Candidates::batch. Results have this rank's sizes. Their gradient takes what the other ranks
// find, so it has no place here: results.gradient must be empty. A row of -1 in given_matching is
// InvalidArgument for a finite image, of which the other ranks could not know. The mean over ranks
// of the mean loss is that of the joined batch.
template <typename T>
[[nodiscard]] Status try_matching_contrastive_loss(
    const GatheredSlots<T>& slots, const MatchingContrastiveOptions& options,
    const std::type_identity_t<MatchingContrastiveResults<T>>& results) noexcept {
  return detail::gathered_contrastive_loss<T>(slots, options, results);
}

template <typename T>
void matching_contrastive_loss(const GatheredSlots<T>& slots,
                               const MatchingContrastiveOptions& options,
                               const std::type_identity_t<MatchingContrastiveResults<T>>& results) {
  raise_unless_ok(detail::gathered_contrastive_loss<T>(slots, options, results));
}

// The gradient of the ranks' losses, added up, with respect to this rank's slots. matching [B, S]
// is this rank's; log_sums [ranks, 2BS] are those of all ranks, gathered, and gradient.incoming
// [ranks], for Reduction::none [ranks, 2BS], what comes in on each. Averaged over ranks afterwards,
// as gradients of parameters are, it is that of the mean over ranks of the losses.
template <typename T>
[[nodiscard]] Status try_matching_contrastive_loss_backward(
    const GatheredSlots<T>& slots, const std::int64_t* matching, const double* log_sums,
    const MatchingContrastiveOptions& options,
    const std::type_identity_t<ContrastiveGradient<T>>& gradient) noexcept {
  return detail::gathered_contrastive_gradient<T>(slots, matching, log_sums, options, gradient);
}

template <typename T>
void matching_contrastive_loss_backward(
    const GatheredSlots<T>& slots, const std::int64_t* matching, const double* log_sums,
    const MatchingContrastiveOptions& options,
    const std::type_identity_t<ContrastiveGradient<T>>& gradient) {
  raise_unless_ok(
      detail::gathered_contrastive_gradient<T>(slots, matching, log_sums, options, gradient));
}

// The losses at two ends, best first: matched slots equal and all others orthogonal to them,
// log(exp(1/temperature) + 2BS - 2) - 1/temperature; all slots equal, log(2BS - 1). With B = 1 they
// are those of Candidates::image. InvalidArgument for sizes below 1, or a temperature that is not
// positive and finite.
OSC_API std::pair<double, double> matching_contrastive_loss_best_worst(std::int64_t images,
                                                                       std::int64_t slots,
                                                                       double temperature = 1);

// The bytes that a Workspace needs for the calls above on slots of these sizes, of so many ranks (1
// where they are not gathered), and an executor of `threads` threads.
template <typename T>
OSC_API std::size_t matching_contrastive_workspace(std::int64_t images, std::int64_t slots,
                                                   std::int64_t channels, std::int64_t ranks,
                                                   Candidates candidates, int threads) noexcept;

}  // namespace osc
