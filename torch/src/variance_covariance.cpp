#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "host.hpp"
#include "osc/libtorch/loss_global.hpp"
#include "osc/variance_covariance_loss.hpp"

namespace osc::libtorch {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename T>
Samples<const T> samples_of(const torch::Tensor& x) {
  return {elements<T>(x), x.size(0), x.size(1), x.size(2), x.stride(0), x.stride(1)};
}

// A node of its own, so that a second derivative, which is not implemented, is an error and not a
// silent zero.
class VarianceCovarianceBackward : public torch::autograd::Function<VarianceCovarianceBackward> {
 public:
  static torch::Tensor forward(AutogradContext*, const torch::Tensor& grad_variance,
                               const torch::Tensor& grad_covariance, const torch::Tensor& x) {
    const torch::Tensor gradient = empty_gradient(x);
    const torch::Tensor of_variance = grad_variance.to(x.scalar_type()),
                        of_covariance = grad_covariance.to(x.scalar_type());
    translated([&] {
      return with_element_type(x, [&](auto element) {
        using T = decltype(element);
        const Samples<T> written{mutable_elements<T>(gradient),
                                 x.size(0),
                                 x.size(1),
                                 x.size(2),
                                 gradient.stride(0),
                                 gradient.stride(1)};
        osc::variance_covariance_loss(
            samples_of<T>(x), {.executor = &host_executor()},
            {.gradient = VarianceCovarianceGradient<T>{written, elements<T>(of_variance),
                                                       elements<T>(of_covariance)}});
      });
    });
    return gradient;
  }

  static variable_list backward(AutogradContext*, const variable_list&) {
    TORCH_CHECK_NOT_IMPLEMENTED(
        false, "variance_covariance_loss: the second derivative is not implemented");
  }
};

class VarianceCovarianceLoss : public torch::autograd::Function<VarianceCovarianceLoss> {
 public:
  static variable_list forward(AutogradContext* context, const torch::Tensor& x) {
    const torch::Tensor readable_x = readable(x), variance = torch::empty({}, x.options()),
                        covariance = torch::empty({}, x.options());
    translated([&] {
      return with_element_type(x, [&](auto element) {
        using T = decltype(element);
        osc::variance_covariance_loss(samples_of<T>(readable_x), {.executor = &host_executor()},
                                      {.variance = mutable_elements<T>(variance),
                                       .covariance = mutable_elements<T>(covariance)});
      });
    });
    context->save_for_backward({x});
    return {variance, covariance};
  }

  static variable_list backward(AutogradContext* context, const variable_list& incoming) {
    if (!context->needs_input_grad(0) || (!incoming[0].defined() && !incoming[1].defined()))
      return {torch::Tensor()};
    const torch::Tensor x = readable(context->get_saved_variables()[0]);
    const auto or_zero = [&](const torch::Tensor& gradient) {
      return gradient.defined() ? gradient : torch::zeros({}, x.options());
    };
    return {VarianceCovarianceBackward::apply(or_zero(incoming[0]), or_zero(incoming[1]), x)};
  }
};

}  // namespace

std::tuple<torch::Tensor, torch::Tensor> variance_covariance_loss(const torch::Tensor& x) {
  TORCH_CHECK_VALUE(x.defined(), "x is an undefined tensor");
  TORCH_CHECK_VALUE(x.dim() >= 2, "x has shape ", x.sizes(), "; wanted [..., N, D]");
  check_elements("x", x);
  std::int64_t groups = 1;
  for (std::int64_t i = 0; i + 2 < x.dim(); ++i) groups *= x.size(i);
  const torch::Tensor grouped = x.reshape({groups, x.size(-2), x.size(-1)});
  const auto terms = VarianceCovarianceLoss::apply(
      at::autocast::is_autocast_enabled(at::kCPU) ? computed_in(grouped) : grouped);
  return {terms[0], terms[1]};
}

}  // namespace osc::libtorch
