#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "host.hpp"
#include "osc/libtorch/loss_global.hpp"
#include "osc/libtorch/loss_objects.hpp"

namespace osc::libtorch {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A node of its own, so that a second derivative, which is not implemented, is an error and not a
// silent zero.
class SimilarityBackward : public torch::autograd::Function<SimilarityBackward> {
 public:
  static torch::Tensor forward(AutogradContext*, const torch::Tensor& grad_loss,
                               const torch::Tensor& f, const torch::Tensor& p,
                               const torch::Tensor& matching, Reduction reduction, double eps) {
    const torch::Tensor incoming = grad_loss.to(p.scalar_type()).contiguous();
    const torch::Tensor gradient = empty_gradient(p);
    translated([&] {
      return with_element_type(p, [&](auto element) {
        using T = decltype(element);
        osc::matching_similarity_loss_per_img_backward(
            view<T>(f), view<T>(p), matching.const_data_ptr<std::int64_t>(),
            {reduction, eps, NonFinite::propagate, &host_executor()},
            {mutable_view<T>(gradient), elements<T>(incoming)});
      });
    });
    return gradient;
  }

  static variable_list backward(AutogradContext*, const variable_list&) {
    TORCH_CHECK_NOT_IMPLEMENTED(
        false, "matching_similarity_loss_per_img: the second derivative is not implemented");
  }
};

class SimilarityLoss : public torch::autograd::Function<SimilarityLoss> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& f,
                               const torch::Tensor& p, Reduction reduction, double eps,
                               NonFinite on_nonfinite) {
    const torch::Tensor readable_f = readable(f), readable_p = readable(p);
    const torch::Tensor matching = torch::empty({p.size(0) / 2, p.size(1)}, torch::kLong);
    const torch::Tensor loss = reduction == Reduction::none
                                   ? torch::empty({p.size(0) * p.size(1)}, p.options())
                                   : torch::empty({}, p.options());
    translated([&] {
      return with_element_type(p, [&](auto element) {
        using T = decltype(element);
        osc::matching_similarity_loss_per_img(
            view<T>(readable_f), view<T>(readable_p),
            {reduction, eps, on_nonfinite, &host_executor()},
            {.loss = mutable_elements<T>(loss),
             .matching = matching.mutable_data_ptr<std::int64_t>()});
      });
    });
    context->save_for_backward({f, p, matching});
    context->saved_data["reduction"] = static_cast<std::int64_t>(reduction);
    context->saved_data["eps"] = eps;
    return loss;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_loss) {
    const auto saved = context->get_saved_variables();
    const auto reduction = static_cast<Reduction>(context->saved_data["reduction"].toInt());
    torch::Tensor grad_p;
    if (grad_loss[0].defined() && context->needs_input_grad(1)) {
      grad_p =
          SimilarityBackward::apply(grad_loss[0], readable(saved[0]), readable(saved[1]), saved[2],
                                    reduction, context->saved_data["eps"].toDouble());
    }
    return {torch::Tensor(), grad_p, torch::Tensor(), torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor matching_similarity_loss_per_img(const torch::Tensor& f, const torch::Tensor& p,
                                               Reduction reduction, double eps,
                                               NonFinite on_nonfinite) {
  check_slots("f", f);
  check_slots("p", p);
  TORCH_CHECK_VALUE(f.sizes() == p.sizes(), "f ", f.sizes(), " and p ", p.sizes(),
                    " must have the same shape");
  const bool autocast = at::autocast::is_autocast_enabled(at::kCPU);
  TORCH_CHECK_TYPE(autocast || f.scalar_type() == p.scalar_type(), "f is ", f.scalar_type(),
                   " and p is ", p.scalar_type(), "; wanted the same dtype");
  const torch::Tensor computed_f = autocast ? computed_in(f.detach()) : f.detach(),
                      computed_p = autocast ? computed_in(p) : p;
  TORCH_CHECK_TYPE(computed_f.scalar_type() == computed_p.scalar_type(), "f is ", f.scalar_type(),
                   " and p is ", p.scalar_type(),
                   "; autocast brings 16-bit tensors to float32 but leaves float64");
  return SimilarityLoss::apply(computed_f, computed_p, reduction, eps, on_nonfinite);
}

torch::Tensor cosine_sim_loss(const torch::Tensor& feats, const torch::Tensor& projs,
                              Reduction reduction) {
  return matching_similarity_loss_per_img(features_as_slots("feats", feats),
                                          features_as_slots("projs", projs), reduction);
}

}  // namespace osc::libtorch
