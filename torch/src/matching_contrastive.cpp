#include <ATen/autocast_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/nn/functional/loss.h>

#include <cmath>
#include <limits>

#include "host.hpp"
#include "osc/libtorch/loss_objects.hpp"

namespace osc::libtorch {
namespace {

constexpr double kEps = 1e-10;

// x / max(|x|, eps). Divided by its largest element first, so that the norm of a finite slot neither overflows nor vanishes.
torch::Tensor units(const torch::Tensor& x) {
  if (x.numel() == 0) return x;
  const torch::Tensor largest = x.detach().abs().amax(-1, true);
  const torch::Tensor scale = largest.masked_fill(largest == 0, 1);
  const torch::Tensor scaled = x / scale;
  return scaled / torch::maximum(scaled.norm(2, -1, true), kEps / scale);
}

torch::Tensor reduced(const torch::Tensor& losses, Reduction reduction) {
  switch (reduction) {
    case Reduction::mean:
      return losses.mean();
    case Reduction::sum:
      return losses.sum();
    case Reduction::none:
      break;
  }
  return losses;
}

// Each slot's positive, as a row of the 2BS slots in the order (view, image, slot). Images without a matching get any: their losses are NaN anyway.
torch::Tensor positives(const torch::Tensor& matching) {
  const auto images = matching.size(0), slots = matching.size(1);
  const torch::Tensor first_slot = torch::arange(images, torch::kLong).unsqueeze(1) * slots;
  const torch::Tensor of_view_0 = first_slot + images * slots + matching.clamp_min(0);
  const torch::Tensor of_view_1 = first_slot + matching.argsort(std::int64_t{1});
  return torch::cat({of_view_0.flatten(), of_view_1.flatten()});
}

void check_matching(const torch::Tensor& matching, std::int64_t images, std::int64_t slots) {
  TORCH_CHECK_VALUE(matching.defined() && matching.dim() == 2 && matching.size(0) == images && matching.size(1) == slots, "matching has shape ",
                    matching.defined() ? matching.sizes() : c10::IntArrayRef(), "; wanted [", images, ", ", slots, "]");
  TORCH_CHECK_TYPE(matching.scalar_type() == torch::kLong, "matching is ", matching.scalar_type(), "; wanted int64");
  TORCH_CHECK_VALUE(matching.is_cpu(), "matching is on ", matching.device(), "; wanted the CPU");
  const torch::Tensor is_permutation = (std::get<0>(matching.sort(1)) == torch::arange(slots, torch::kLong)).all(1);
  const torch::Tensor bad = (is_permutation | (matching == -1).all(1)).logical_not().nonzero();
  TORCH_CHECK_VALUE(bad.size(0) == 0, "matching: row ", bad[0].item<std::int64_t>(), " is neither a permutation of 0 … ", slots - 1, " nor all -1");
}

torch::Tensor loss_of_matched(const torch::Tensor& slots, const torch::Tensor& matching, double temperature, Reduction reduction) {
  TORCH_CHECK_VALUE(temperature > 0 && temperature <= std::numeric_limits<double>::max(), "temperature is ", temperature,
                    "; it must be positive and finite");
  const bool autocast = at::autocast::is_autocast_enabled(at::kCPU);
  const torch::Tensor computed = computed_in(slots);
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const torch::Tensor embeddings = units(computed).reshape({slots.size(0) * slots.size(1), slots.size(2)});
  torch::Tensor losses;
  if (embeddings.size(0) == 0) {
    losses = embeddings.sum(1);
  } else {
    torch::Tensor logits = embeddings.matmul(embeddings.t()) / temperature;
    logits.fill_diagonal_(-std::numeric_limits<double>::infinity());  // no slot is its own candidate
    losses = torch::nn::functional::cross_entropy(logits, positives(matching), torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kNone));
  }
  const torch::Tensor loss = reduced(losses, reduction);
  return autocast ? loss : loss.to(slots.scalar_type());
}

}  // namespace

torch::Tensor matching_contrastive_loss(const torch::Tensor& slots, double temperature, Reduction reduction) {
  check_slots("slots", slots);
  return loss_of_matched(slots, match_slots(slots), temperature, reduction);
}

torch::Tensor matching_contrastive_loss(const torch::Tensor& slots, const torch::Tensor& matching, double temperature, Reduction reduction) {
  check_slots("slots", slots);
  check_matching(matching, slots.size(0) / 2, slots.size(1));
  return loss_of_matched(slots, matching, temperature, reduction);
}

}  // namespace osc::libtorch
