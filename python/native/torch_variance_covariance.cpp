// torch.ops.osc.variance_covariance_loss on CPU tensors, and its gradient.
#include <tuple>

#include "osc/variance_covariance_loss.hpp"
#include "torch_tensors.hpp"

namespace osc::torch_operators {
namespace {

void check_samples(const Tensor& x) {
  if (x.dim() < 2)
    refuse("x has shape " + shape_of(x) + "; wanted [..., N, D], N samples of D features");
}

bool is_readable(const Tensor& x) { return has_adjacent_channels(x) && matrix_stride(x); }

template <typename T, typename Pointer>
Samples<T> samples_view(Pointer* data, const Tensor& x) {
  const std::int64_t samples = x.size(x.dim() - 2), features = x.size(x.dim() - 1);
  if (x.numel() == 0)
    return contiguous_samples<T>(data, matrices(x), samples,
                                 features);  // its strides may be anything
  return {data, matrices(x), samples, features, *matrix_stride(x), x.stride(x.dim() - 2)};
}

template <typename T>
VarianceCovarianceOptions variance_covariance_options(const Tensor& x, bool raise_nonfinite) {
  Executor& executor = host_executor();
  const std::size_t bytes = variance_covariance_workspace<T>(
      matrices(x), x.size(x.dim() - 2), x.size(x.dim() - 1), executor.concurrency());
  return {raise_nonfinite ? NonFinite::raise : NonFinite::propagate, &executor,
          kept_workspace(bytes)};
}

std::tuple<Tensor, Tensor> variance_covariance_loss(const Tensor& x, bool raise_nonfinite) {
  check_samples(x);
  return with_element_type("x", x, [&](auto element) {
    using T = decltype(element);
    const Tensor samples = is_readable(x) ? x : torch::stable::contiguous(x),
                 variance = empty_strided<0>({}, {}, dtype_of(x)),
                 covariance = empty_strided<0>({}, {}, dtype_of(x));
    osc::variance_covariance_loss(
        samples_view<const T>(const_data<T>(samples), samples),
        variance_covariance_options<T>(x, raise_nonfinite),
        {.variance = mutable_data<T>(variance), .covariance = mutable_data<T>(covariance)});
    return std::tuple(variance, covariance);
  });
}

Tensor variance_covariance_loss_backward(const Tensor& grad_variance, const Tensor& grad_covariance,
                                         const Tensor& x) {
  check_samples(x);
  check_incoming(grad_variance, "x", x, Reduction::mean, 1);
  check_incoming(grad_covariance, "x", x, Reduction::mean, 1);
  return with_element_type("x", x, [&](auto element) {
    using T = decltype(element);
    const Tensor samples = is_readable(x) ? x : torch::stable::contiguous(x);
    Tensor gradient = empty_gradient(x);
    if (!is_readable(gradient)) gradient = empty_gradient(torch::stable::contiguous(x));
    osc::variance_covariance_loss(
        samples_view<const T>(const_data<T>(samples), samples),
        variance_covariance_options<T>(x, false),
        {.gradient = {{samples_view<T>(mutable_data<T>(gradient), gradient),
                       const_data<T>(grad_variance), const_data<T>(grad_covariance)}}});
    return gradient;
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(osc, library) {
  library.def(
      "variance_covariance_loss(Tensor x, bool raise_nonfinite) -> (Tensor variance, Tensor "
      "covariance)");
  library.def(
      "variance_covariance_loss_backward(Tensor grad_variance, Tensor grad_covariance, Tensor x) "
      "-> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(osc, CPU, library) {
  library.impl("variance_covariance_loss", TORCH_BOX(&variance_covariance_loss));
  library.impl("variance_covariance_loss_backward", TORCH_BOX(&variance_covariance_loss_backward));
}

}  // namespace osc::torch_operators
