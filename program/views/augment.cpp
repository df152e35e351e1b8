#include "views/augment.hpp"

namespace osc::program {

namespace F = torch::nn::functional;

Views random_views(const torch::Tensor& images, const ViewStrength& strength,
                   torch::Generator generator, const torch::Tensor& masks) {
  const torch::NoGradGuard no_grad;
  const std::int64_t n = images.size(0);
  const auto uniform = [&](at::IntArrayRef shape) {
    return torch::rand(shape, generator, images.options());
  };  // 0…1
  const auto symmetric = [&](at::IntArrayRef shape) {
    return uniform(shape).mul_(2).sub_(1);
  };  // −1…1

  Views views;
  const torch::Tensor scale =
      (strength.crop_area + (1 - strength.crop_area) * uniform({n})).sqrt_();
  views.mirrored = uniform({n}) < (strength.mirror ? 0.5 : 0.0);
  torch::Tensor crop = torch::zeros({n, 2, 3}, images.options());
  crop.select(1, 0).select(1, 0).copy_(torch::where(views.mirrored, -scale, scale));
  crop.select(1, 1).select(1, 1).copy_(scale);
  crop.select(2, 2).copy_(symmetric({n, 2}) * (1 - scale).unsqueeze(1));
  const torch::Tensor grid = F::affine_grid(crop, images.sizes(), /*align_corners=*/false);
  const auto sampling = F::GridSampleFuncOptions().padding_mode(torch::kZeros).align_corners(false);
  torch::Tensor y =
      F::grid_sample(images, grid, F::GridSampleFuncOptions(sampling).mode(torch::kBilinear));
  if (masks.defined()) {
    const torch::Tensor sampled =
        F::grid_sample(masks.unsqueeze(1).to(images.dtype()), grid,
                       F::GridSampleFuncOptions(sampling).mode(torch::kNearest));
    views.masks = sampled.squeeze(1).round().to(torch::kInt64);
  }

  const torch::Tensor gain = (1 + symmetric({n, 3, 1, 1}) * strength.gain) *
                             (1 + symmetric({n, 1, 1, 1}) * strength.brightness);
  const torch::Tensor contrast = 1 + symmetric({n, 1, 1, 1}) * strength.contrast;
  const torch::Tensor mean = y.mean({1, 2, 3}, /*keepdim=*/true);
  y.sub_(mean).mul_(contrast).add_(mean).mul_(gain).add_(symmetric({n, 1, 1, 1}) * strength.shift);
  y.add_(torch::randn(y.sizes(), generator, y.options()), strength.noise);
  views.images = y;
  return views;
}

}  // namespace osc::program
