#include "objective/term.hpp"
#include "osc/libtorch/loss_objects.hpp"

namespace osc::program {

namespace {

class ContrastiveTerm final : public Term {
 public:
  explicit ContrastiveTerm(double temperature) : temperature_(temperature) {}

  torch::Tensor loss(const StepFeatures& features) override {
    torch::Tensor total;
    for (const torch::Tensor& slots : features.slots) {
      const torch::Tensor one =
          features.matching.defined()
              ? libtorch::matching_contrastive_loss(slots, features.matching, temperature_)
              : libtorch::matching_contrastive_loss(slots, temperature_);
      total = total.defined() ? total + one : one;
    }
    return total;
  }

 private:
  double temperature_;
};

}  // namespace

std::shared_ptr<Term> make_contrastive_term(double temperature) {
  return std::make_shared<ContrastiveTerm>(temperature);
}

}  // namespace osc::program
