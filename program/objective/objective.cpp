#include "objective/objective.hpp"

#include <algorithm>

#include "support/error.hpp"

namespace osc::program {
namespace {

double weight_of(const NumberValues& settings, const TermKind& kind) {
  const auto found = settings.find(kind.name);
  return found == settings.end() ? 0 : found->second;
}

void check_names(const NumberValues& settings) {
  for (const auto& [name, value] : settings) {
    std::string kinds;
    bool known = false;
    for (const TermKind& kind : term_kinds()) {
      known |= kind.name == name ||
               std::ranges::find(kind.settings, name, &NumberSetting::name) != kind.settings.end();
      kinds += (kinds.empty() ? "" : ", ") + std::string(kind.name);
    }
    if (!known)
      throw UserError("the objective has no term or setting " + name + "; its terms are " + kinds);
  }
}

}  // namespace

bool any_term(const NumberValues& settings, bool TermKind::* property) {
  return std::ranges::any_of(term_kinds(), [&](const TermKind& kind) {
    return kind.*property && weight_of(settings, kind) != 0;
  });
}

ObjectiveImpl::ObjectiveImpl(const NumberValues& settings,
                             const std::vector<std::int64_t>& widths) {
  check_names(settings);
  for (const TermKind& kind : term_kinds()) {
    const double weight = weight_of(settings, kind);
    if (weight == 0) continue;
    const std::shared_ptr<Term> term = kind.make(widths, settings);
    terms_.push_back({kind.name, weight, register_module(std::string(kind.name), term)});
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
