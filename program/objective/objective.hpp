// The objective: a weighted sum of terms.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "support/settings.hpp"

namespace osc::program {

// A training step's forward pass. Rows i and i + B of a leading dimension 2B are two views of image
// i.
struct StepFeatures {
  torch::Tensor images;       // normalised [2B, 3, H, H]
  torch::Tensor attention;    // [2B, S, N], stage 1 only
  torch::Tensor explanation;  // [2B, S, 5], stage 1 only
  // Each [2B, S, C_k]: the slot features in stage 1, the category and instance embeddings in
  // stage 2.
  std::vector<torch::Tensor> slots;
  // int64 [B, S]: replaces the optimal matching of each feature. Undefined outside the control.
  torch::Tensor matching;
};

class Term : public torch::nn::Module {
 public:
  // A scalar to be minimised.
  virtual torch::Tensor loss(const StepFeatures& features) = 0;
};

// A row of the table in terms.cpp: a kind of term.
struct TermKind {
  std::string_view name;  // key of its weight in config.toml and of its value in metrics.jsonl
  std::string_view help;
  // widths: C_k of StepFeatures::slots. settings: values of `settings` below.
  std::shared_ptr<Term> (*make)(const std::vector<std::int64_t>& widths,
                                const NumberValues& settings);
  std::span<const NumberSetting> settings;  // beside the weight; rows may share one by name
  bool needs_decoder = false;               // uses attention and explanation: stage 1 only
  bool takes_matching = false;              // uses `matching`: trained by the control
};
std::span<const TermKind> term_kinds();

// Whether a term with this property has a weight in `settings`.
bool any_term(const NumberValues& settings, bool TermKind::* property);

class ObjectiveImpl : public torch::nn::Module {
 public:
  // settings: weights by the names of terms (absent or 0: left out), and settings of the terms.
  // Throws UserError for any other name, naming the terms.
  ObjectiveImpl(const NumberValues& settings, const std::vector<std::int64_t>& widths);

  struct Value {
    torch::Tensor total;
    // Unweighted losses of the terms with a weight, in the order of the table.
    std::vector<std::pair<std::string_view, torch::Tensor>> terms;
  };
  Value forward(const StepFeatures& features);

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
