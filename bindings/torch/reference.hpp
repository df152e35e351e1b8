// The losses in plain libtorch operations, the residuals held fixed: what autograd differentiates
// for second and higher derivatives.
#pragma once

#include <torch/types.h>

#include <vector>

namespace osc::libtorch {

// The options of a call that a formula needs, as osc.h numbers them.
struct FormulaOptions {
  std::int64_t reduction = 0, candidates = 0;
  double temperature = 1, eps = 1e-10;
};

// The losses of the inputs, given the residuals of the forward pass.
using Formula = std::vector<torch::Tensor> (*)(const std::vector<torch::Tensor>& inputs,
                                               const std::vector<torch::Tensor>& residuals,
                                               const FormulaOptions& options);

std::vector<torch::Tensor> similarity(const std::vector<torch::Tensor>& inputs,
                                      const std::vector<torch::Tensor>& residuals,
                                      const FormulaOptions& options);
std::vector<torch::Tensor> contrastive(const std::vector<torch::Tensor>& inputs,
                                       const std::vector<torch::Tensor>& residuals,
                                       const FormulaOptions& options);
std::vector<torch::Tensor> small_to_large(const std::vector<torch::Tensor>& inputs,
                                          const std::vector<torch::Tensor>& residuals,
                                          const FormulaOptions& options);
std::vector<torch::Tensor> variance_covariance(const std::vector<torch::Tensor>& inputs,
                                               const std::vector<torch::Tensor>& residuals,
                                               const FormulaOptions& options);

}  // namespace osc::libtorch
