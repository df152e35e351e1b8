// The terms of an objective, and what they may look at.
#pragma once

#include <torch/torch.h>

#include <string_view>
#include <vector>

namespace osc::program {

// A training step's forward pass. Rows i and i + B of a leading dimension 2B are two views of image
// i.
struct StepFeatures {
  torch::Tensor images;       // normalised [2B, 3, H, H]
  torch::Tensor attention;    // [2B, S, N] and
  torch::Tensor explanation;  // [2B, S, 5]: stage 1 only, undefined in stage 2
  std::vector<torch::Tensor>
      slots;  // each [2B, S, C_k]: the slot feature in stage 1; `what` and `which` in stage 2
  torch::Tensor matching;  // int64 [B, S] to be used in place of each feature's own optimal
                           // matching (a control), or undefined
};

class Term : public torch::nn::Module {
 public:
  // One number to be minimised.
  virtual torch::Tensor loss(const StepFeatures& features) = 0;
};

// What a term is called, and what it is for in one line.
struct TermKind {
  std::string_view name;
  std::string_view purpose;
  bool needs_decoder;  // possible in stage 1 only
};

enum TermIndex { kExplain, kSimilarity, kContrastive, kGlobal };  // into kTermKinds

inline constexpr TermKind kTermKinds[] = {
    {"explain",
     "each slot's colour and position must explain the pixels that it attends to: finds the "
     "objects",
     true},
    {"similarity",
     "a projected slot must predict its matched slot in the other view: makes slots indifferent to "
     "views",
     false},
    {"contrastive",
     "a slot must be more like its match in the other view than like any other slot of the batch: "
     "tells objects apart",
     false},
    {"global",
     "an image's pooled slots must be more like those of its other view than like any other "
     "image's: tells images apart",
     false},
};
inline constexpr int kTerms = static_cast<int>(std::size(kTermKinds));

// feature_widths: C_k of StepFeatures::slots.
std::shared_ptr<Term> make_explain_term();
std::shared_ptr<Term> make_similarity_term(const std::vector<std::int64_t>& feature_widths);
std::shared_ptr<Term> make_contrastive_term(double temperature);
std::shared_ptr<Term> make_global_term(const std::vector<std::int64_t>& feature_widths,
                                       double temperature);

}  // namespace osc::program
