#include "model/targets.hpp"

namespace osc::program {
namespace {

constexpr double kPositionScale = 3.3 * kPositionWeight;

// x, y of side² points in the position units of Targets; point k of a row lies at token coordinate
// (k · step + offset).
torch::Tensor grid_points(std::int64_t side, double offset, double step, std::int64_t tokens,
                          const torch::TensorOptions& options) {
  const double last = static_cast<double>(std::max<std::int64_t>(tokens - 1, 1));
  const torch::Tensor u = (torch::arange(side, options) * step + offset) / last;
  const std::vector<torch::Tensor> yx = torch::meshgrid({u, u}, "ij");
  return (torch::stack({yx[1], yx[0]}, -1).reshape({-1, 2}) - 0.5) * kPositionScale;
}

// channels: [n, 3, N]. Distance of each colour from the per-channel median over N.
torch::Tensor distance_from_median(const torch::Tensor& channels) {
  return (channels - std::get<0>(channels.median(2, /*keepdim=*/true))).norm(2, 1);
}

}  // namespace

Targets token_targets(const torch::Tensor& images) {
  const std::int64_t tokens = images.size(2) / kTokenStride;
  const torch::Tensor channels = torch::avg_pool2d(images, kTokenStride).flatten(2);
  return {channels.transpose(1, 2), grid_points(tokens, 0, 1, tokens, images.options()),
          distance_from_median(channels).clamp_max_(1)};
}

Targets pixel_targets(const torch::Tensor& images) {
  const std::int64_t side = images.size(2);
  const torch::Tensor channels = images.flatten(2);
  const torch::Tensor saliency = ((distance_from_median(channels) - 0.3) / 0.7).clamp_(0, 1);
  return {channels.transpose(1, 2),
          grid_points(side, -0.5 / kTokenStride, 1.0 / kTokenStride, side / kTokenStride,
                      images.options()),
          saliency};
}

torch::Tensor explanation_error(const Targets& targets, const torch::Tensor& explanation) {
  // ‖c_s − c_p‖² + sal_p ‖x_s − x_p‖² = [−2 c_s, −2 x_s, ‖x_s‖², ‖c_s‖²] · [c_p, sal_p x_p, sal_p,
  // 1] + ‖c_p‖² + sal_p ‖x_p‖²
  const torch::Tensor colour = explanation.narrow(-1, 0, 3);
  const torch::Tensor position = explanation.narrow(-1, 3, 2);
  const torch::Tensor slots =
      torch::cat({explanation * -2, position.square().sum(-1, /*keepdim=*/true),
                  colour.square().sum(-1, /*keepdim=*/true)},
                 -1);
  const torch::Tensor saliency = targets.saliency.unsqueeze(-1);
  const torch::Tensor points = torch::cat(
      {targets.colour, saliency * targets.position, saliency, torch::ones_like(saliency)}, -1);
  const torch::Tensor constant =
      targets.colour.square().sum(-1) + targets.saliency * targets.position.square().sum(-1);
  return torch::baddbmm(constant.unsqueeze(1), slots, points.transpose(1, 2));
}

}  // namespace osc::program
