#include "objective/projection_head.hpp"
#include "objective/term.hpp"
#include "osc/libtorch/loss_objects.hpp"

namespace osc::program {

namespace {

class SimilarityTerm final : public Term {
 public:
  explicit SimilarityTerm(const std::vector<std::int64_t>& feature_widths) {
    for (std::int64_t width : feature_widths) heads_->push_back(make_projection_head(width));
    register_module("heads", heads_);
  }

  torch::Tensor loss(const StepFeatures& features) override {
    torch::Tensor total;
    for (std::size_t k = 0; k < features.slots.size(); ++k) {
      const torch::Tensor projected =
          heads_->ptr<torch::nn::SequentialImpl>(k)->forward(features.slots[k]);
      const torch::Tensor one =
          libtorch::matching_similarity_loss_per_img(features.slots[k].detach(), projected);
      total = total.defined() ? total + one : one;
    }
    return total;
  }

 private:
  torch::nn::ModuleList heads_;
};

}  // namespace

std::shared_ptr<Term> make_similarity_term(const std::vector<std::int64_t>& feature_widths) {
  return std::make_shared<SimilarityTerm>(feature_widths);
}

}  // namespace osc::program
