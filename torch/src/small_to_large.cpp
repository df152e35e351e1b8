#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "host.hpp"
#include "osc/libtorch/loss_objects.hpp"
#include "osc/small_to_large_loss.hpp"

namespace osc::libtorch {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void check_crops(const char* name, const torch::Tensor& crops) {
  TORCH_CHECK_VALUE(crops.defined(), name, " is an undefined tensor");
  TORCH_CHECK_VALUE(crops.dim() == 4, name, " has shape ", crops.sizes(),
                    "; wanted [B, crops, slots, C]");
  check_elements(name, crops);
}

template <typename T>
SlotCrops<const T> crops_of(const torch::Tensor& x) {
  return {elements<T>(x), x.size(0),   x.size(1),   x.size(2),
          x.size(3),      x.stride(0), x.stride(1), x.stride(2)};
}
template <typename T>
SlotCrops<T> mutable_crops_of(const torch::Tensor& x) {
  return {mutable_elements<T>(x),
          x.size(0),
          x.size(1),
          x.size(2),
          x.size(3),
          x.stride(0),
          x.stride(1),
          x.stride(2)};
}

// A node of its own, so that a second derivative, which is not implemented, is an error and not a
// silent zero.
class SmallToLargeBackward : public torch::autograd::Function<SmallToLargeBackward> {
 public:
  static torch::Tensor forward(AutogradContext*, const torch::Tensor& grad_loss,
                               const torch::Tensor& f_large, const torch::Tensor& p_small,
                               const torch::Tensor& matching, Reduction reduction) {
    const torch::Tensor incoming = grad_loss.to(p_small.scalar_type()).contiguous(),
                        gradient = empty_gradient(p_small);
    translated([&] {
      return with_element_type(p_small, [&](auto element) {
        using T = decltype(element);
        osc::matching_similarity_loss_small_to_large_backward(
            crops_of<T>(f_large), crops_of<T>(p_small), matching.const_data_ptr<std::int64_t>(),
            {.reduction = reduction, .executor = &host_executor()},
            {mutable_crops_of<T>(gradient), elements<T>(incoming)});
      });
    });
    return gradient;
  }

  static variable_list backward(AutogradContext*, const variable_list&) {
    TORCH_CHECK_NOT_IMPLEMENTED(
        false, "matching_similarity_loss_small_to_large: the second derivative is not implemented");
  }
};

class SmallToLargeLoss : public torch::autograd::Function<SmallToLargeLoss> {
 public:
  static variable_list forward(AutogradContext* context, const torch::Tensor& f_large,
                               const torch::Tensor& p_small, Reduction reduction) {
    const torch::Tensor readable_f = readable(f_large), readable_p = readable(p_small);
    const std::int64_t images = p_small.size(0), large = f_large.size(1), small = p_small.size(1);
    const torch::Tensor matching =
        torch::empty({images, large, small, p_small.size(2)}, torch::kLong);
    const torch::Tensor loss = reduction == Reduction::none
                                   ? torch::empty({images, large, small}, p_small.options())
                                   : torch::empty({}, p_small.options());
    double ratio = 0;
    translated([&] {
      return with_element_type(p_small, [&](auto element) {
        using T = decltype(element);
        osc::matching_similarity_loss_small_to_large(
            crops_of<T>(readable_f), crops_of<T>(readable_p),
            {.reduction = reduction, .executor = &host_executor()},
            {.loss = mutable_elements<T>(loss),
             .counted_ratio = &ratio,
             .matching = matching.mutable_data_ptr<std::int64_t>()});
      });
    });
    const torch::Tensor counted_ratio =
        torch::scalar_tensor(ratio, p_small.options().requires_grad(false));
    context->mark_non_differentiable({counted_ratio});
    context->save_for_backward({f_large, p_small, matching});
    context->saved_data["reduction"] = static_cast<std::int64_t>(reduction);
    return {loss, counted_ratio};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_loss) {
    torch::Tensor grad_p;
    if (grad_loss[0].defined() && context->needs_input_grad(1)) {
      const auto saved = context->get_saved_variables();
      grad_p = SmallToLargeBackward::apply(
          grad_loss[0], readable(saved[0]), readable(saved[1]), saved[2],
          static_cast<Reduction>(context->saved_data["reduction"].toInt()));
    }
    return {torch::Tensor(), grad_p, torch::Tensor()};
  }
};

}  // namespace

std::tuple<torch::Tensor, torch::Tensor> matching_similarity_loss_small_to_large(
    const torch::Tensor& f_large, const torch::Tensor& p_small, Reduction reduction) {
  check_crops("f_large", f_large);
  check_crops("p_small", p_small);
  TORCH_CHECK_VALUE(f_large.size(0) == p_small.size(0) && f_large.size(3) == p_small.size(3),
                    "f_large ", f_large.sizes(), " and p_small ", p_small.sizes(),
                    " must have the same number of images and of channels");
  const bool autocast = at::autocast::is_autocast_enabled(at::kCPU);
  const torch::Tensor f = autocast ? computed_in(f_large.detach()) : f_large.detach(),
                      p = autocast ? computed_in(p_small) : p_small;
  TORCH_CHECK_TYPE(f.scalar_type() == p.scalar_type(), "f_large is ", f_large.scalar_type(),
                   " and p_small is ", p_small.scalar_type(), "; wanted the same dtype");
  const auto results = SmallToLargeLoss::apply(f, p, reduction);
  return {results[0], results[1]};
}

}  // namespace osc::libtorch
