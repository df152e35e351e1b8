#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "host.hpp"
#include "osc/contrastive_loss.hpp"
#include "osc/libtorch/loss_global.hpp"
#include "osc/libtorch/loss_objects.hpp"

namespace osc::libtorch {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

MatchingContrastiveOptions options_of(Candidates candidates, double temperature,
                                      Reduction reduction) {
  return {.candidates = candidates,
          .temperature = temperature,
          .reduction = reduction,
          .executor = &host_executor()};
}

// A node of its own, so that a second derivative, which is not implemented, is an error and not a
// silent zero.
class ContrastiveBackward : public torch::autograd::Function<ContrastiveBackward> {
 public:
  static torch::Tensor forward(AutogradContext*, const torch::Tensor& grad_loss,
                               const torch::Tensor& slots, const torch::Tensor& matching,
                               const torch::Tensor& log_sums, Candidates candidates,
                               double temperature, Reduction reduction) {
    const torch::Tensor incoming = grad_loss.to(slots.scalar_type()).contiguous(),
                        gradient = empty_gradient(slots);
    translated([&] {
      return with_element_type(slots, [&](auto element) {
        using T = decltype(element);
        osc::matching_contrastive_loss_backward(
            view<T>(slots), matching.const_data_ptr<std::int64_t>(),
            log_sums.const_data_ptr<double>(), options_of(candidates, temperature, reduction),
            {mutable_view<T>(gradient), elements<T>(incoming)});
      });
    });
    return gradient;
  }

  static variable_list backward(AutogradContext*, const variable_list&) {
    TORCH_CHECK_NOT_IMPLEMENTED(
        false, "matching_contrastive_loss: the second derivative is not implemented");
  }
};

// The loss, and the accuracy where it is asked for.
class ContrastiveLoss : public torch::autograd::Function<ContrastiveLoss> {
 public:
  static variable_list forward(AutogradContext* context, const torch::Tensor& slots,
                               const std::optional<torch::Tensor>& given_matching,
                               Candidates candidates, double temperature, Reduction reduction,
                               bool wants_accuracy) {
    const torch::Tensor readable_slots = readable(slots);
    const torch::Tensor matching = torch::empty({slots.size(0) / 2, slots.size(1)}, torch::kLong),
                        log_sums = torch::empty({slots.size(0) * slots.size(1)}, torch::kDouble);
    const torch::Tensor loss = reduction == Reduction::none
                                   ? torch::empty({slots.size(0) * slots.size(1)}, slots.options())
                                   : torch::empty({}, slots.options());
    double accuracy = 0;
    translated([&] {
      return with_element_type(slots, [&](auto element) {
        using T = decltype(element);
        MatchingContrastiveOptions options = options_of(candidates, temperature, reduction);
        if (given_matching) options.given_matching = given_matching->const_data_ptr<std::int64_t>();
        osc::matching_contrastive_loss(view<T>(readable_slots), options,
                                       {.loss = mutable_elements<T>(loss),
                                        .matching = matching.mutable_data_ptr<std::int64_t>(),
                                        .log_sums = log_sums.mutable_data_ptr<double>(),
                                        .accuracy = wants_accuracy ? &accuracy : nullptr});
      });
    });
    context->save_for_backward({slots, matching, log_sums});
    context->saved_data["candidates"] = static_cast<std::int64_t>(candidates);
    context->saved_data["temperature"] = temperature;
    context->saved_data["reduction"] = static_cast<std::int64_t>(reduction);
    if (!wants_accuracy) return {loss};
    const torch::Tensor share =
        torch::scalar_tensor(accuracy, slots.options().requires_grad(false));
    context->mark_non_differentiable({share});
    return {loss, share};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grad_loss) {
    torch::Tensor grad_slots;
    if (grad_loss[0].defined() && context->needs_input_grad(0)) {
      const auto saved = context->get_saved_variables();
      grad_slots = ContrastiveBackward::apply(
          grad_loss[0], readable(saved[0]), saved[1], saved[2],
          static_cast<Candidates>(context->saved_data["candidates"].toInt()),
          context->saved_data["temperature"].toDouble(),
          static_cast<Reduction>(context->saved_data["reduction"].toInt()));
    }
    return {grad_slots,      torch::Tensor(), torch::Tensor(),
            torch::Tensor(), torch::Tensor(), torch::Tensor()};
  }
};

variable_list loss_of(const torch::Tensor& slots, const std::optional<torch::Tensor>& matching,
                      Candidates candidates, double temperature, Reduction reduction,
                      bool wants_accuracy = false) {
  return ContrastiveLoss::apply(
      at::autocast::is_autocast_enabled(at::kCPU) ? computed_in(slots) : slots, matching,
      candidates, temperature, reduction, wants_accuracy);
}

}  // namespace

torch::Tensor matching_contrastive_loss(const torch::Tensor& slots, double temperature,
                                        Reduction reduction) {
  check_slots("slots", slots);
  return loss_of(slots, std::nullopt, Candidates::batch, temperature, reduction)[0];
}

torch::Tensor matching_contrastive_loss(const torch::Tensor& slots, const torch::Tensor& matching,
                                        double temperature, Reduction reduction) {
  check_slots("slots", slots);
  TORCH_CHECK_VALUE(matching.defined() && matching.dim() == 2 &&
                        matching.size(0) == slots.size(0) / 2 && matching.size(1) == slots.size(1),
                    "matching has shape ",
                    matching.defined() ? matching.sizes() : c10::IntArrayRef(), "; wanted [",
                    slots.size(0) / 2, ", ", slots.size(1), "]");
  TORCH_CHECK_TYPE(matching.scalar_type() == torch::kLong, "matching is ", matching.scalar_type(),
                   "; wanted int64");
  TORCH_CHECK_VALUE(matching.is_cpu(), "matching is on ", matching.device(), "; wanted the CPU");
  return loss_of(slots, matching.contiguous(), Candidates::batch, temperature, reduction)[0];
}

torch::Tensor matching_contrastive_loss_per_img(const torch::Tensor& slots, double temperature,
                                                Reduction reduction) {
  check_slots("slots", slots);
  return loss_of(slots, std::nullopt, Candidates::image, temperature, reduction)[0];
}

std::tuple<torch::Tensor, torch::Tensor> contrastive_loss(const torch::Tensor& projs,
                                                          double temperature, Reduction reduction) {
  const auto results = loss_of(features_as_slots("projs", projs), std::nullopt, Candidates::batch,
                               temperature, reduction, /*wants_accuracy=*/true);
  return {results[0], results[1]};
}

}  // namespace osc::libtorch
