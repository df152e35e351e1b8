// AdamW with a clipped gradient and a warm-up-and-cosine learning rate. I. Loshchilov and F.
// Hutter, "Decoupled Weight Decay Regularization", 2019.
#pragma once

#include <torch/torch.h>

#include <string>
#include <vector>

#include "training/config.hpp"

namespace osc::program {

// The learning rate rises linearly to its maximum during the warm-up. It then falls along half a
// cosine, to final_rate times the maximum at the last step. step: 0 … stage.steps - 1.
double learning_rate_at(const StageConfig& stage, std::int64_t step);

class Optimizer {
 public:
  // Weight decay applies to matrices and convolution kernels, not to biases, norms, position
  // embeddings or the slots' Gaussian.
  Optimizer(std::vector<std::pair<std::string, torch::Tensor>> parameters, double weight_decay,
            double clip_gradient);

  void zero_grad();
  // One step on the gradients that backward() left; returns the norm of the gradient before
  // clipping. Throws UserError where that is not finite, and changes no parameter.
  double step(double learning_rate);

  // Moments and step counts by name: the optimizer's own tensors, to be written to a checkpoint or
  // copied into from one.
  std::vector<std::pair<std::string, torch::Tensor>> state() const;

 private:
  struct Group {  // parameters under one weight decay
    double weight_decay;
    std::vector<std::string> names;
    std::vector<torch::Tensor> parameters, first_moments, second_moments, steps;
  };
  Group groups_[2];
  double clip_gradient_;
};

}  // namespace osc::program
