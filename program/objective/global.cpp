#include "objective/projection_head.hpp"
#include "objective/term.hpp"
#include "osc/libtorch/loss_global.hpp"

namespace osc::program {

namespace {

// SimCLR: T. Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
// 2020, on the mean of an image's slots.
class GlobalTerm final : public Term {
 public:
  GlobalTerm(const std::vector<std::int64_t>& feature_widths, double temperature)
      : temperature_(temperature) {
    for (std::int64_t width : feature_widths) heads_->push_back(make_projection_head(width));
    register_module("heads", heads_);
  }

  torch::Tensor loss(const StepFeatures& features) override {
    torch::Tensor total;
    for (std::size_t k = 0; k < features.slots.size(); ++k) {
      const torch::Tensor pooled = features.slots[k].mean(1);
      const torch::Tensor projected = heads_->ptr<torch::nn::SequentialImpl>(k)->forward(pooled);
      const torch::Tensor one = std::get<0>(libtorch::contrastive_loss(projected, temperature_));
      total = total.defined() ? total + one : one;
    }
    return total;
  }

 private:
  torch::nn::ModuleList heads_;
  double temperature_;
};

}  // namespace

std::shared_ptr<Term> make_global_term(const std::vector<std::int64_t>& feature_widths,
                                       double temperature) {
  return std::make_shared<GlobalTerm>(feature_widths, temperature);
}

}  // namespace osc::program
