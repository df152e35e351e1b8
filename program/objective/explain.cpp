#include "model/targets.hpp"
#include "objective/term.hpp"

namespace osc::program {

namespace {

class ExplainTerm final : public Term {
 public:
  torch::Tensor loss(const StepFeatures& features) override {
    const torch::Tensor error =
        explanation_error(token_targets(features.images), features.explanation);
    constexpr double kColourAndPosition = 5;  // numbers explained a token
    return (features.attention * error).sum(1).mean() / kColourAndPosition;
  }
};

}  // namespace

std::shared_ptr<Term> make_explain_term() { return std::make_shared<ExplainTerm>(); }

}  // namespace osc::program
