// How little the features of samples vary, and how much they vary together: two regularisers of
// embeddings, which keep them from being all the same, and from saying the same twice.
//
//   K            = the covariance over the N samples of a group, unbiased: D x D, of x [G, N, D]
//   variance     = mean over groups of  mean over d of  max(0, 1 - sqrt(K[d,d] + 1e-4))
//   covariance   = mean over groups of  sum over d != e of  K[d,e]^2 / (D (D - 1))
//
// Source: A. Bardes, J. Ponce and Y. LeCun, "VICReg: variance-invariance-covariance regularization
// for self-supervised learning", ICLR 2022; with the mean over pairs of features, as in F.
// Baldassarre and H. Azizpour, "Towards self-supervised learning of global and object-centric
// representations", 2022 (arXiv 2203.05997).
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
#include "osc/status.hpp"
#include "osc/workspace.hpp"

namespace osc {

// Samples in groups, as a view of memory that someone else owns: sample (group, n) is D adjacent
// features at data + group * group_stride + n * sample_stride. Strides count elements and may be
// negative or, where a view is only read, zero. T is double, float, float16 or bfloat16, const
// where the samples are only read.
template <typename T>
struct Samples {
  T* data = nullptr;  // may be null where there are no elements
  std::int64_t groups = 0;
  std::int64_t samples = 0;
  std::int64_t features = 0;
  std::int64_t group_stride = 0;
  std::int64_t sample_stride = 0;

  T* at(std::int64_t group, std::int64_t sample) const noexcept {
    if (features == 0) return data;  // may be null, and the strides anything
    return data + group * group_stride + sample * sample_stride;
  }

  operator Samples<const T>() const noexcept  // NOLINT(google-explicit-constructor): reading what
                                              // may be written is always allowed
    requires(!std::is_const_v<T>)
  {
    return {data, groups, samples, features, group_stride, sample_stride};
  }
};

// A Status other than ok, whose text calls the samples `name`, unless sizes are not negative, data
// is there where there are elements, and neither the number of bytes nor the distance between the
// first and the last element overflows. The functions below call it. O(1).
template <typename T>
OSC_API Status try_check(const Samples<T>& samples, const char* name) noexcept;

// [G, N, D], contiguous. Throws InvalidArgument where try_check fails.
template <typename T>
OSC_API Samples<T> contiguous_samples(T* data, std::int64_t groups, std::int64_t samples,
                                      std::int64_t features);

struct VarianceCovarianceOptions {
  NonFinite on_nonfinite = NonFinite::propagate;
  Executor* executor = nullptr;    // null: default_executor()
  Workspace* workspace = nullptr;  // null: memory of the call's own
};

// The gradient of incoming_variance * variance + incoming_covariance * covariance with respect to
// x.
template <typename T>
struct VarianceCovarianceGradient {
  Samples<T> x;  // written; sizes of x, any strides under which no two elements are the same memory
  const T* incoming_variance = nullptr;    // one element; null stands for 1
  const T* incoming_covariance = nullptr;  // one element; null stands for 1
};

// Each of these is written where it is asked for; variance and covariance are one element each.
template <typename T>
struct VarianceCovarianceResults {
  T* variance = nullptr;
  T* covariance = nullptr;
  std::optional<VarianceCovarianceGradient<T>> gradient = std::nullopt;
};

namespace detail {

template <typename T>
OSC_API Status variance_covariance(const Samples<const T>& x,
                                   const VarianceCovarianceOptions& options,
                                   const VarianceCovarianceResults<T>& results) noexcept;

}  // namespace detail

// x: G groups of N samples of D features, in any layout.
//
//   aliasing     no result may overlap the input or another result.
//   numbers      results have the input's type. Samples are centred before anything is multiplied,
//                so that a large mean costs no digits. Products are computed in the input's type,
//                or in float for 16-bit inputs, and added up in double from 128 to 128 samples; the
//                terms are computed in double. Samples whose covariances overflow the type give
//                infinities, those whose distance from the mean does NaN; covariances, and their
//                products with samples, that are no normal numbers of the type lose digits.
//   gradient     with y = x - mean, of a group: 2 / (G (N - 1)) y M, where M[d,d] =
//                -incoming_variance / (2 D sqrt(K[d,d] + 1e-4)) where that root is below 1, else 0,
//                and M[d,e] = 2 incoming_covariance K[d,e] / (D (D - 1)).
//   sizes        G, N or D = 0: both terms are NaN. N = 1: the terms and the gradient are NaN, as
//                there is no unbiased covariance of one sample. D = 1: the covariance, a mean over
//                no pair of features, is NaN, and adds nothing to the gradient.
//   non-finite   a group with a NaN or an infinity makes both terms NaN, and gets a gradient of
//                NaN; no other group's gradient changes. NonFinite::raise is an error instead,
//                whose index is the group's.
//   errors       InvalidArgument or NonFiniteError, before anything is written.
//   threads      over groups, or over tiles of K and blocks of samples; the same bits with any
//                number of them.
//   cost         N D^2 / 2 multiplications a group, 3 N D^2 / 2 with the gradient. Memory: N D
//                numbers of the type computed in, D^2 more for the gradient, and some 64 KiB, a
//                thread; from the workspace. Where groups are fewer than two a thread, that of one
//                group for all.
//
// T is double, float, float16 or bfloat16; x is Samples<T> or Samples<const T>.
template <typename X, typename T = std::remove_const_t<X>>
[[nodiscard]] Status try_variance_covariance_loss(
    const Samples<X>& x, const VarianceCovarianceOptions& options,
    const std::type_identity_t<VarianceCovarianceResults<T>>& results) noexcept {
  return detail::variance_covariance<T>(x, options, results);
}

template <typename X, typename T = std::remove_const_t<X>>
void variance_covariance_loss(const Samples<X>& x, const VarianceCovarianceOptions& options,
                              const std::type_identity_t<VarianceCovarianceResults<T>>& results) {
  raise_unless_ok(detail::variance_covariance<T>(x, options, results));
}

// The bytes that a Workspace needs for the calls above on samples of these sizes and an executor of
// `threads` threads. 0 for sizes that they refuse.
template <typename T>
OSC_API std::size_t variance_covariance_workspace(std::int64_t groups, std::int64_t samples,
                                                  std::int64_t features, int threads) noexcept;

}  // namespace osc
