// An objective: a weighted list of terms.
#pragma once

#include <torch/torch.h>

#include <array>
#include <memory>
#include <vector>

#include "objective/term.hpp"

namespace osc::program {

// A weight for each of kTermKinds, in its order; 0 leaves a term out.
using TermWeights = std::array<double, kTerms>;

class ObjectiveImpl : public torch::nn::Module {
 public:
  ObjectiveImpl(const TermWeights& weights, const std::vector<std::int64_t>& feature_widths,
                double temperature);

  struct Value {
    torch::Tensor total;
    std::vector<std::pair<std::string_view, torch::Tensor>>
        terms;  // unweighted, in the order of kTermKinds, those with a weight
  };
  Value forward(const StepFeatures& features);

  bool empty() const { return terms_.empty(); }

 private:
  struct Weighted {
    std::string_view name;
    double weight;
    std::shared_ptr<Term> term;
  };
  std::vector<Weighted> terms_;
};
TORCH_MODULE(Objective);

}  // namespace osc::program
