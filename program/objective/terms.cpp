// The terms of the objective, and their table at the end. A new term is a class and a row here.
#include "model/targets.hpp"
#include "objective/objective.hpp"
#include "osc/libtorch/loss_global.hpp"
#include "osc/libtorch/loss_objects.hpp"

namespace osc::program {
namespace {

namespace nn = torch::nn;
using Widths = std::vector<std::int64_t>;

constexpr NumberSetting kTemperature{"temperature", 0.1,   1e-3,
                                     1e3,           false, "of contrastive and global"};

// The sum of a loss over the features.
template <typename Loss>
torch::Tensor sum_over_features(const StepFeatures& features, const Loss& loss) {
  torch::Tensor total = loss(0);
  for (std::size_t k = 1; k < features.slots.size(); ++k) total = total + loss(k);
  return total;
}

// One projection head per feature: [..., width] -> [..., width].
nn::ModuleList projection_heads(const Widths& widths) {
  nn::ModuleList heads;
  for (const std::int64_t width : widths) {
    heads->push_back(nn::Sequential(nn::Linear(width, 2 * width),
                                    nn::LayerNorm(nn::LayerNormOptions({2 * width})), nn::ReLU(),
                                    nn::Linear(2 * width, width)));
  }
  return heads;
}

torch::Tensor project(const nn::ModuleList& heads, std::size_t k, const torch::Tensor& features) {
  return heads->ptr<nn::SequentialImpl>(k)->forward(features);
}

class ExplainTerm final : public Term {
 public:
  torch::Tensor loss(const StepFeatures& features) override {
    const torch::Tensor error =
        explanation_error(token_targets(features.images), features.explanation);
    constexpr double kColourAndPosition = 5;  // the numbers that are explained of each token
    return (features.attention * error).sum(1).mean() / kColourAndPosition;
  }
};

class SimilarityTerm final : public Term {
 public:
  explicit SimilarityTerm(const Widths& widths)
      : heads_(register_module("heads", projection_heads(widths))) {}

  torch::Tensor loss(const StepFeatures& features) override {
    return sum_over_features(features, [&](std::size_t k) {
      const torch::Tensor& slots = features.slots[k];
      return libtorch::matching_similarity_loss_per_img(slots.detach(), project(heads_, k, slots));
    });
  }

 private:
  nn::ModuleList heads_;
};

class ContrastiveTerm final : public Term {
 public:
  explicit ContrastiveTerm(double temperature) : temperature_(temperature) {}

  torch::Tensor loss(const StepFeatures& features) override {
    const torch::Tensor& matching = features.matching;
    return sum_over_features(features, [&](std::size_t k) {
      const torch::Tensor& slots = features.slots[k];
      return matching.defined() ? libtorch::matching_contrastive_loss(slots, matching, temperature_)
                                : libtorch::matching_contrastive_loss(slots, temperature_);
    });
  }

 private:
  double temperature_;
};

// SimCLR: T. Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
// 2020, on the mean of an image's slots.
class GlobalTerm final : public Term {
 public:
  GlobalTerm(const Widths& widths, double temperature)
      : heads_(register_module("heads", projection_heads(widths))), temperature_(temperature) {}

  torch::Tensor loss(const StepFeatures& features) override {
    return sum_over_features(features, [&](std::size_t k) {
      const torch::Tensor projected = project(heads_, k, features.slots[k].mean(1));
      return std::get<0>(libtorch::contrastive_loss(projected, temperature_));
    });
  }

 private:
  nn::ModuleList heads_;
  double temperature_;
};

constexpr NumberSetting kContrastiveSettings[] = {kTemperature};

constexpr TermKind kKinds[] = {
    {.name = "explain",
     .help = "each slot's colour and position must explain the pixels that it attends to: finds "
             "the objects",
     .make = [](const Widths&, const NumberValues&) -> std::shared_ptr<Term> {
       return std::make_shared<ExplainTerm>();
     },
     .settings = {},
     .needs_decoder = true},
    {.name = "similarity",
     .help = "a projected slot must predict its matched slot in the other view: makes slots "
             "invariant to views",
     .make = [](const Widths& widths, const NumberValues&) -> std::shared_ptr<Term> {
       return std::make_shared<SimilarityTerm>(widths);
     },
     .settings = {}},
    {.name = "contrastive",
     .help = "a slot must be closer to its match in the other view than to any other slot of the "
             "batch: tells objects apart",
     .make = [](const Widths&, const NumberValues& settings) -> std::shared_ptr<Term> {
       return std::make_shared<ContrastiveTerm>(value_of(settings, kTemperature));
     },
     .settings = kContrastiveSettings,
     .takes_matching = true},
    {.name = "global",
     .help = "an image's pooled slots must be closer to those of its other view than to any other "
             "image's: tells images apart",
     .make = [](const Widths& widths, const NumberValues& settings) -> std::shared_ptr<Term> {
       return std::make_shared<GlobalTerm>(widths, value_of(settings, kTemperature));
     },
     .settings = kContrastiveSettings},
};

}  // namespace

std::span<const TermKind> term_kinds() { return kKinds; }

}  // namespace osc::program
