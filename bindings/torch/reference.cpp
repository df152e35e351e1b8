#include "reference.hpp"

#include <torch/torch.h>

#include <limits>

#include "osc/osc.h"

namespace osc::libtorch {
namespace {

using torch::Tensor;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor wide(const Tensor& x) { return x.scalar_type() == torch::kDouble ? x : x.to(torch::kFloat); }

// x / max(|x|, eps). Scaled by the largest element first, so that no square overflows or vanishes.
Tensor unit(const Tensor& x, double eps) {
  if (x.size(-1) == 0) return x;
  const Tensor largest = x.detach().abs().amax(-1, true), is_zero = largest == 0;
  const Tensor scale = largest.masked_fill(is_zero, 1), scaled = x / scale;
  // The norm has no derivative at zero. A zero slot is replaced by ones here; its unit is zero all
  // the same.
  const Tensor length = scaled.masked_fill(is_zero, 1).norm(2, -1, true);
  return scaled / torch::maximum(length, eps / scale);
}

Tensor reduced(const Tensor& losses, std::int64_t reduction) {
  return reduction == OSC_MEAN ? losses.mean() : reduction == OSC_SUM ? losses.sum() : losses;
}

// [2B, S]: the slot of the other view that each slot is matched to. Sorting a permutation gives
// its inverse.
Tensor partners(const Tensor& matching) {
  return torch::cat({matching.clamp_min(0), matching.argsort(/*dim=*/std::int64_t{1})});
}

// [2B, S]: the slots of images that are not finite.
Tensor unmatched(const Tensor& matching) { return (matching < 0).repeat({2, 1}); }

// [2B, S, ...] as [G, N, ...], the groups of slots that are contrasted with each other.
Tensor grouped(const Tensor& x, bool within_images) {
  const std::int64_t rows = x.size(0), slots = x.size(1);
  if (!within_images) return x.flatten(0, 1).unsqueeze(0);
  return x.unflatten(0, {2, rows / 2}).transpose(0, 1).reshape_symint([&] {
    std::vector<c10::SymInt> sizes{rows / 2, 2 * slots};
    for (std::int64_t d = 2; d < x.dim(); ++d) sizes.emplace_back(x.size(d));
    return sizes;
  }());
}

}  // namespace

std::vector<Tensor> similarity(const std::vector<Tensor>& inputs,
                               const std::vector<Tensor>& residuals,
                               const FormulaOptions& options) {
  const Tensor targets = unit(wide(inputs[0].detach()), options.eps), matching = residuals[0];
  const std::int64_t images = matching.size(0);
  const Tensor partner = partners(matching).unsqueeze(-1).expand_as(targets);
  const Tensor units = unit(wide(inputs[1]), options.eps);
  const Tensor cosines = (units * targets.roll(images, 0).gather(1, partner)).sum(-1);
  const Tensor losses = ((1 - cosines) / 2).masked_fill(unmatched(matching), kNaN).flatten();
  return {reduced(losses, options.reduction).to(inputs[1].scalar_type())};
}

std::vector<Tensor> contrastive(const std::vector<Tensor>& inputs,
                                const std::vector<Tensor>& residuals,
                                const FormulaOptions& options) {
  const Tensor &slots = inputs[0], matching = residuals[0], masked = unmatched(matching);
  const bool within_images = options.candidates == OSC_CANDIDATES_IMAGE;
  const Tensor finite = wide(slots).masked_fill(masked.unsqueeze(-1), 0);
  const Tensor units = grouped(unit(finite, options.eps), within_images);
  const Tensor is_masked = grouped(masked, within_images);
  const Tensor itself = torch::eye(units.size(1), units.options().dtype(torch::kBool));
  const Tensor logits = (units.matmul(units.transpose(1, 2)) / options.temperature)
                            .masked_fill(itself | is_masked.unsqueeze(1), -kInfinity)
                            .masked_fill(is_masked.unsqueeze(2), 0);  // masked rows stay finite
  const std::int64_t images = matching.size(0), count = matching.size(1);
  Tensor first = torch::arange(2 * images).roll(images);  // the rows of the other views
  if (within_images) first = first.div(std::max<std::int64_t>(images, 1), "floor");
  const Tensor positive =
      grouped(partners(matching) + (first * count).unsqueeze(1), within_images).unsqueeze(-1);
  const Tensor losses =
      (logits.logsumexp(-1) - logits.gather(-1, positive).squeeze(-1)).masked_fill(is_masked, kNaN);
  const Tensor in_order =
      within_images ? losses.unflatten(1, {2, count}).transpose(0, 1).flatten() : losses.flatten();
  return {reduced(in_order, options.reduction).to(slots.scalar_type())};
}

std::vector<Tensor> small_to_large(const std::vector<Tensor>& inputs,
                                   const std::vector<Tensor>& residuals,
                                   const FormulaOptions& options) {
  const Tensor &f_large = inputs[0], &p_small = inputs[1], &matching = residuals[0];
  const Tensor nonfinite =
      (f_large.isfinite().flatten(1).all(1) & p_small.isfinite().flatten(1).all(1)).logical_not();
  const auto masked = [&](const Tensor& x) {
    return wide(x).masked_fill(nonfinite.view({-1, 1, 1, 1}), 0);
  };
  const Tensor large = unit(masked(f_large.detach()), options.eps),
               small = unit(masked(p_small), options.eps);
  const Tensor cosines = torch::einsum("basc,bolc->bolas", {small, large})
                             .permute({0, 1, 3, 4, 2});  // [B, Al, As, S, L]
  const Tensor counts = (matching >= 0).sum(-1), is_pair = counts > 0;
  const Tensor positives = cosines.size(-1) == 0
                               ? cosines.sum(-1)
                               : cosines.gather(-1, matching.clamp_min(0).unsqueeze(-1))
                                     .squeeze(-1)
                                     .masked_fill(matching < 0, 0);
  const Tensor losses = ((counts - positives.sum(-1)) / 2 / counts.clamp_min(1))
                            .masked_fill(nonfinite.view({-1, 1, 1}), kNaN);
  const auto dtype = p_small.scalar_type();
  if (options.reduction == OSC_NONE) return {losses.masked_fill(~is_pair, kNaN).to(dtype)};
  const Tensor total = losses.masked_fill(~is_pair & ~nonfinite.view({-1, 1, 1}), 0).sum();
  return {(options.reduction == OSC_MEAN ? total / is_pair.sum() : total).to(dtype)};
}

std::vector<Tensor> variance_covariance(const std::vector<Tensor>& inputs,
                                        const std::vector<Tensor>&, const FormulaOptions&) {
  const Tensor x = wide(inputs[0]), centred = x - x.mean(-2, true);
  const double features = static_cast<double>(x.size(-1));
  const Tensor covariance =
      centred.transpose(-1, -2).matmul(centred) / static_cast<double>(x.size(-2) - 1);
  const Tensor deviation = (covariance.diagonal(0, -2, -1) + 1e-4).sqrt();
  const Tensor is_diagonal = torch::eye(x.size(-1), x.options().dtype(torch::kBool));
  const Tensor squares = covariance.masked_fill(is_diagonal, 0).square().sum({-1, -2});
  const auto dtype = inputs[0].scalar_type();
  return {(1 - deviation).relu().mean().to(dtype),
          (squares / (features * (features - 1))).mean().to(dtype)};
}

}  // namespace osc::libtorch
