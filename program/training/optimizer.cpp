#include "training/optimizer.hpp"

#include <cmath>
#include <numbers>

#include "support/error.hpp"

namespace osc::program {

double learning_rate_at(const StageConfig& stage, std::int64_t step) {
  const double progress = static_cast<double>(step) / static_cast<double>(stage.steps);
  const double cosine =
      stage.final_rate + (1 - stage.final_rate) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  const double warmth =
      stage.warm_up > 0
          ? std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(stage.warm_up))
          : 1.0;
  return stage.learning_rate * warmth * cosine;
}

Optimizer::Optimizer(std::vector<std::pair<std::string, torch::Tensor>> parameters,
                     double weight_decay, double clip_gradient)
    : clip_gradient_(clip_gradient) {
  groups_[0].weight_decay = 0;
  groups_[1].weight_decay = weight_decay;
  for (auto& [name, parameter] : parameters) {
    const bool decays = parameter.dim() > 1 && name.find("position") == std::string::npos;
    Group& group = groups_[decays ? 1 : 0];
    group.names.push_back(std::move(name));
    group.first_moments.push_back(torch::zeros_like(parameter));
    group.second_moments.push_back(torch::zeros_like(parameter));
    group.steps.push_back(torch::zeros({}));
    group.parameters.push_back(std::move(parameter));
  }
}

void Optimizer::zero_grad() {
  for (Group& group : groups_) {
    for (torch::Tensor& parameter : group.parameters) parameter.mutable_grad().reset();
  }
}

double Optimizer::step(double learning_rate) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> all;
  for (const Group& group : groups_) {
    for (const torch::Tensor& parameter : group.parameters) {
      if (parameter.grad().defined()) all.push_back(parameter);
    }
  }
  const double norm = torch::nn::utils::clip_grad_norm_(all, clip_gradient_);
  if (!std::isfinite(norm))
    throw UserError(
        "the gradient is not finite: the training diverged; try a smaller learning rate");
  for (Group& group : groups_) {
    std::vector<torch::Tensor> parameters, gradients, first, second, steps;
    for (std::size_t k = 0; k < group.parameters.size(); ++k) {
      if (!group.parameters[k].grad().defined())
        continue;  // the objective does not depend on this parameter
      parameters.push_back(group.parameters[k]);
      gradients.push_back(group.parameters[k].grad());
      first.push_back(group.first_moments[k]);
      second.push_back(group.second_moments[k]);
      group.steps[k] += 1;
      steps.push_back(group.steps[k]);
    }
    if (parameters.empty()) continue;
    at::_fused_adamw_(parameters, gradients, first, second, {}, steps, learning_rate, 0.9, 0.999,
                      group.weight_decay, 1e-8, /*amsgrad=*/false, /*maximize=*/false);
  }
  return norm;
}

std::vector<std::pair<std::string, torch::Tensor>> Optimizer::state() const {
  std::vector<std::pair<std::string, torch::Tensor>> named;
  for (const Group& group : groups_) {
    for (std::size_t k = 0; k < group.names.size(); ++k) {
      named.emplace_back("first_moment." + group.names[k], group.first_moments[k]);
      named.emplace_back("second_moment." + group.names[k], group.second_moments[k]);
      named.emplace_back("steps." + group.names[k], group.steps[k]);
    }
  }
  return named;
}

}  // namespace osc::program
