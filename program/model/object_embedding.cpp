#include "model/object_embedding.hpp"

#include <cmath>

namespace osc::program {

namespace nn = torch::nn;
namespace F = torch::nn::functional;

namespace {

constexpr std::int64_t kTrunk = 128;    // width of the crop's feature
constexpr std::int64_t kRelation = 64;  // width of a pair's feature

// [side², 2] x, y in pixels
torch::Tensor pixel_centres(std::int64_t side, const torch::TensorOptions& options) {
  const torch::Tensor u = torch::arange(side, options) + 0.5;
  const std::vector<torch::Tensor> yx = torch::meshgrid({u, u}, "ij");
  return torch::stack({yx[1], yx[0]}, -1).reshape({-1, 2});
}

}  // namespace

torch::Tensor unit(const torch::Tensor& x) { return x / (x.norm(2, -1, /*keepdim=*/true) + 1e-8); }

ObjectCrops object_crops(const torch::Tensor& images, const torch::Tensor& masks,
                         const torch::Tensor& mirrored) {
  const std::int64_t n = images.size(0);
  const std::int64_t side = images.size(2);
  const std::int64_t slots = masks.size(1);
  const double extent = static_cast<double>(side);
  const torch::Tensor centroids = torch::matmul(masks, pixel_centres(side, images.options())) /
                                  (masks.sum(-1, /*keepdim=*/true) + 1e-3);  // [n, S, 2], pixels

  const double window = kCropWindow * extent;
  const torch::Tensor u =
      (torch::arange(kCropSide, images.options()) + 0.5) / kCropSide * window - window / 2;
  const std::vector<torch::Tensor> yx = torch::meshgrid({u, u}, "ij");
  torch::Tensor offsets = torch::stack({yx[1], yx[0]}, -1).unsqueeze(0);  // [1 or n, crop, crop, 2]
  if (mirrored.defined()) {
    const torch::Tensor sign = torch::where(mirrored, -1.0, 1.0).to(images.dtype());
    offsets = offsets * torch::stack({sign, torch::ones_like(sign)}, -1).view({n, 1, 1, 2});
  }
  const torch::Tensor grid =
      (centroids.view({n, slots, 1, 1, 2}) + offsets.unsqueeze(1)) / extent * 2 - 1;

  const torch::Tensor median = std::get<0>(images.flatten(2).median(-1)).view({n, 1, 3, 1, 1});
  const torch::Tensor region = masks.view({n, slots, 1, side, side});
  const torch::Tensor layers = torch::cat({region, (images.unsqueeze(1) - median) * region}, 2)
                                   .view({n * slots, 4, side, side});
  const auto sampling = F::GridSampleFuncOptions()
                            .mode(torch::kBilinear)
                            .padding_mode(torch::kZeros)
                            .align_corners(false);
  return {F::grid_sample(layers, grid.reshape({n * slots, kCropSide, kCropSide, 2}), sampling),
          centroids / extent * 2 - 1};
}

torch::Tensor Embedding::joined() const {
  return torch::cat({2 * unit(category), unit(instance)}, -1) / std::sqrt(5.0);
}

ObjectEmbeddingImpl::ObjectEmbeddingImpl() {
  const auto halving = [](std::int64_t in) {
    return nn::Conv2d(nn::Conv2dOptions(in, 32, 3).stride(2).padding(1));
  };
  trunk_ = register_module(
      "trunk", nn::Sequential(halving(4), nn::ReLU(), halving(32), nn::ReLU(), nn::Flatten(),
                              nn::Linear(32 * (kCropSide / 4) * (kCropSide / 4), kTrunk)));
  category_ =
      register_module("category", nn::Sequential(nn::LayerNorm(nn::LayerNormOptions({kTrunk})),
                                                 nn::GELU(), nn::Linear(kTrunk, kEmbeddingWidth)));
  relation_self_ = register_module("relation_self", nn::Linear(kTrunk, kRelation));
  relation_other_ = register_module("relation_other", nn::Linear(kTrunk, kRelation));
  relation_offset_ = register_module("relation_offset", nn::Linear(2, kRelation));
  relation_out_ = register_module("relation_out", nn::Linear(kRelation, kRelation));
  const std::int64_t joined = kTrunk + 2 + kRelation;
  instance_ =
      register_module("instance", nn::Sequential(nn::LayerNorm(nn::LayerNormOptions({joined})),
                                                 nn::Linear(joined, 128), nn::GELU(),
                                                 nn::Linear(128, kEmbeddingWidth)));
}

Embedding ObjectEmbeddingImpl::forward(const torch::Tensor& images, const torch::Tensor& masks,
                                       const torch::Tensor& mirrored) {
  const std::int64_t n = images.size(0);
  const std::int64_t slots = masks.size(1);
  const ObjectCrops seen = object_crops(images, masks);
  const torch::Tensor feature = trunk_->forward(seen.crops).view({n, slots, kTrunk});
  const torch::Tensor upright =
      mirrored.defined()
          ? trunk_->forward(object_crops(images, masks, mirrored).crops).view({n, slots, kTrunk})
          : feature;

  const torch::Tensor place = 2 * seen.centroids;
  const torch::Tensor offset =
      place.unsqueeze(1) - place.unsqueeze(2);  // [n, s, t] = place of t − place of s
  const torch::Tensor pairs =
      torch::relu(relation_self_(feature).unsqueeze(2) + relation_other_(feature).unsqueeze(1) +
                  relation_offset_(offset));
  const torch::Tensor relation = relation_out_(pairs.sum(2));
  return {category_->forward(upright),
          instance_->forward(torch::cat({feature, place, relation}, -1))};
}

}  // namespace osc::program
