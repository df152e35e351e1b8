// The variance and covariance regularisers of embeddings: the first keeps each feature from being
// constant over the samples, the second decorrelates the features.
//
//   K            = the unbiased covariance over the N samples of a group: D x D, of x [G, N, D]
//   variance     = mean over groups of  mean over d of  max(0, 1 - sqrt(K[d,d] + 1e-4))
//   covariance   = mean over groups of  sum over d != e of  K[d,e]^2 / (D (D - 1))
//
// Source: A. Bardes, J. Ponce and Y. LeCun, "VICReg: variance-invariance-covariance regularization
// for self-supervised learning", ICLR 2022; with the mean over pairs of features, as in F.
// Baldassarre and H. Azizpour, "Towards self-supervised learning of global and object-centric
// representations", 2022 (arXiv 2203.05997).
#pragma once

#include <cstdint>
#include <type_traits>

#include "osc/call.hpp"
#include "osc/error.hpp"
#include "osc/executor.hpp"
#include "osc/status.hpp"
#include "osc/view.hpp"
#include "osc/workspace.hpp"

namespace osc {

struct VarianceCovarianceOptions {
  NonFinite on_nonfinite = NonFinite::propagate;
  Executor* executor = nullptr;    // null: default_executor()
  Workspace* workspace = nullptr;  // null: memory of the call's own
};

// Outputs. Those that are null are not written. The two terms and their gradients are one element
// each.
template <typename T>
struct VarianceCovarianceResults {
  T* variance = nullptr;
  T* covariance = nullptr;
  const T* grad_variance = nullptr;    // null: 1
  const T* grad_covariance = nullptr;  // null: 1
  // The gradient of grad_variance * variance + grad_covariance * covariance with respect to x; no
  // two elements may be the same memory.
  View<T, 3> grad_x{};
};

// x: [G, N, D], G groups of N samples of D features, in any layout with adjacent features.
//
//   aliasing     no result may overlap the input or another result.
//   numbers      results have the type of the input. Samples are centred before anything is
//                multiplied, so that a large mean costs no digits. Products are computed in the
//                type of the input, or in float for 16-bit inputs. Their sums over blocks of 128
//                samples are added up in double, and the terms are computed in double. Samples
//                whose covariances overflow the type give infinities. Samples whose distance from
//                the mean overflows it give NaN. Covariances lose digits where they, or their
//                products with samples, are denormal numbers of the type.
//   gradient     with y = x - mean, of a group: 2 / (G (N - 1)) y M, where M[d,d] =
//                -grad_variance / (2 D sqrt(K[d,d] + 1e-4)) if that root is below 1, else 0, and
//                M[d,e] = 2 grad_covariance K[d,e] / (D (D - 1)).
//   sizes        G, N or D = 0: both terms are NaN. N = 1: the terms and the gradient are NaN, as
//                there is no unbiased covariance of one sample. D = 1: the covariance, a mean over
//                no pair of features, is NaN, and adds nothing to the gradient.
//   non-finite   a group with a NaN or an infinity makes both terms NaN, and gets a gradient of
//                NaN; no other group's gradient changes. NonFinite::raise is an error instead,
//                whose index is the group's.
//   errors       InvalidArgument or NonFiniteError, before anything is written.
//   threads      over groups, or over tiles of K and blocks of samples; the same bits with any
//                number of them.
//   cost         N D^2 / 2 multiplications per group, 3 N D^2 / 2 with the gradient. Memory, from
//                the workspace: per thread N D numbers of the type computed in, D^2 more for the
//                gradient, and some 64 KiB. With fewer than two groups per thread, all threads work
//                on one group at a time and share its memory.
//
// T is double, float, float16 or bfloat16.
template <typename X, typename T = std::remove_const_t<X>>
[[nodiscard]] Status try_variance_covariance_loss(
    const View<X, 3>& x, const VarianceCovarianceOptions& options,
    const std::type_identity_t<VarianceCovarianceResults<T>>& results) noexcept {
  auto call = detail::call_of<osc_variance_covariance>(options, results);
  call.x = detail::input(x);
  call.variance = detail::contiguous_array(results.variance);
  call.covariance = detail::contiguous_array(results.covariance);
  call.grad_variance = detail::contiguous_array(results.grad_variance);
  call.grad_covariance = detail::contiguous_array(results.grad_covariance);
  call.grad_x = detail::gradient(results.grad_x);
  return detail::status_of(osc_variance_covariance_loss(&call));
}

template <typename X, typename T = std::remove_const_t<X>>
void variance_covariance_loss(const View<X, 3>& x, const VarianceCovarianceOptions& options,
                              const std::type_identity_t<VarianceCovarianceResults<T>>& results) {
  raise_unless_ok(try_variance_covariance_loss(x, options, results));
}

}  // namespace osc
