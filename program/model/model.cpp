#include "model/model.hpp"

#include "model/targets.hpp"

namespace osc::program {
namespace {

FoundObjects with_masks(torch::Tensor features, torch::Tensor slot_of_pixel, std::int64_t slots,
                        std::int64_t side) {
  const std::int64_t n = features.size(0);
  torch::Tensor masks = torch::zeros({n, slots, side * side}, features.options());
  masks.scatter_(1, slot_of_pixel.view({n, 1, side * side}), 1.0);
  return {std::move(features), slot_of_pixel.view({n, side, side}), std::move(masks)};
}

}  // namespace

FoundObjects find_objects(SlotModel model, const torch::Tensor& images, torch::Generator generator,
                          MaskReading reading, int starts) {
  const torch::NoGradGuard no_grad;
  const std::int64_t n = images.size(0);
  const std::int64_t side = images.size(2);
  const std::int64_t slots = model->options().slots;
  if (reading == MaskReading::attention) {
    const Slots found = model->forward(images, std::move(generator));
    const std::int64_t tokens = side / kTokenStride;
    const torch::Tensor upsampled =
        torch::upsample_bilinear2d(found.attention.view({n, slots, tokens, tokens}), {side, side},
                                   /*align_corners=*/false, std::nullopt, std::nullopt);
    return with_masks(found.features.select(1, 0), upsampled.argmax(1), slots, side);
  }
  const Slots found = model->forward(images, std::move(generator), starts);
  const torch::Tensor explanation = model->explain(found.features).view({n, starts * slots, 5});
  const torch::Tensor error =
      explanation_error(pixel_targets(images), explanation).view({n, starts, slots, side * side});
  const auto [smallest, slot] = error.min(2);
  const torch::Tensor best = smallest.mean(-1).argmin(1);
  const torch::Tensor image = torch::arange(n);
  return with_masks(found.features.index({image, best}), slot.index({image, best}), slots, side);
}

}  // namespace osc::program
