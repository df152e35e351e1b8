//   osc_jax_variance_covariance_loss            x: [..., G, N, D]   →   variance, covariance: [...]
//   osc_jax_variance_covariance_loss_backward   x, grad_variance, grad_covariance   →   grad_x
#include "jax_buffers.hpp"
#include "osc/variance_covariance_loss.hpp"

namespace osc::jax {
namespace {

template <typename T>
Samples<T> samples(T* data, const Sizes<3>& sizes) {
  return contiguous_samples<T>(data, sizes[0], sizes[1], sizes[2]);
}

ffi::Error variance_covariance_loss(ffi::ThreadPool pool, Buffer x, Result variance,
                                    Result covariance) {
  return with_type(x.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes<3> sizes(x, "x");
    const auto xs = parts<const T>(x, "x", sizes);
    const auto variances = parts<T>(*variance, "variance", sizes.calls, 1);
    const auto covariances = parts<T>(*covariance, "covariance", sizes.calls, 1);
    for_each_call(sizes.calls, VarianceCovarianceOptions{}, pool,
                  [&](std::int64_t n, const VarianceCovarianceOptions& own) {
                    osc::variance_covariance_loss(
                        samples(xs[n], sizes), own,
                        {.variance = variances[n], .covariance = covariances[n]});
                  });
  });
}

ffi::Error variance_covariance_loss_backward(ffi::ThreadPool pool, Buffer x, Buffer grad_variance,
                                             Buffer grad_covariance, Result grad_x) {
  return with_type(x.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes<3> sizes(x, "x");
    const auto xs = parts<const T>(x, "x", sizes);
    const auto variances = parts<const T>(grad_variance, "grad_variance", sizes.calls, 1);
    const auto covariances = parts<const T>(grad_covariance, "grad_covariance", sizes.calls, 1);
    const auto grads = parts<T>(*grad_x, "grad_x", sizes);
    for_each_call(sizes.calls, VarianceCovarianceOptions{}, pool,
                  [&](std::int64_t n, const VarianceCovarianceOptions& own) {
                    osc::variance_covariance_loss(
                        samples(xs[n], sizes), own,
                        {.gradient = {{samples(grads[n], sizes), variances[n], covariances[n]}}});
                  });
  });
}

}  // namespace

OSC_JAX_HANDLER(variance_covariance_loss, (buffers<1, 2>()));
OSC_JAX_HANDLER(variance_covariance_loss_backward, (buffers<3, 1>()));

}  // namespace osc::jax
