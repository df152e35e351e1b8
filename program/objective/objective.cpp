#include "objective/objective.hpp"

namespace osc::program {

namespace {

std::shared_ptr<Term> make_term(int kind, const std::vector<std::int64_t>& feature_widths,
                                double temperature) {
  switch (kind) {
    case kExplain: return make_explain_term();
    case kSimilarity: return make_similarity_term(feature_widths);
    case kContrastive: return make_contrastive_term(temperature);
    default: return make_global_term(feature_widths, temperature);
  }
}

}  // namespace

ObjectiveImpl::ObjectiveImpl(const TermWeights& weights,
                             const std::vector<std::int64_t>& feature_widths, double temperature) {
  for (int k = 0; k < kTerms; ++k) {
    if (weights[k] == 0) continue;
    const std::string_view name = kTermKinds[k].name;
    terms_.push_back(
        {name, weights[k],
         register_module(std::string(name), make_term(k, feature_widths, temperature))});
  }
}

ObjectiveImpl::Value ObjectiveImpl::forward(const StepFeatures& features) {
  Value value;
  for (const Weighted& weighted : terms_) {
    const torch::Tensor loss = weighted.term->loss(features);
    value.terms.emplace_back(weighted.name, loss.detach());
    value.total =
        value.total.defined() ? value.total + weighted.weight * loss : weighted.weight * loss;
  }
  return value;
}

}  // namespace osc::program
