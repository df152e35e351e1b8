#include "evaluation/baselines.hpp"

#include <cmath>
#include <limits>

#include "model/targets.hpp"

namespace osc::program {
namespace {

constexpr int kColourIterations = 10;
constexpr int kSeededIterations = 5;

// points: [n, N, D]; first: int64 [n]. Result [n, clusters]: the indices of `first` and of points
// that are farthest from all before them.
torch::Tensor farthest_points(const torch::Tensor& points, const torch::Tensor& first,
                              std::int64_t clusters) {
  const torch::Tensor image = torch::arange(points.size(0));
  std::vector<torch::Tensor> seeds{first};
  torch::Tensor distance = torch::full({points.size(0), points.size(1)},
                                       std::numeric_limits<float>::infinity(), points.options());
  while (std::ssize(seeds) < clusters) {
    const torch::Tensor seed = points.index({image, seeds.back()}).unsqueeze(1);
    distance = torch::minimum(distance, (points - seed).square().sum(-1));
    seeds.push_back(distance.argmax(1));
  }
  return torch::stack(seeds, 1);
}

// points: [n, N, D]; indices: [n, K]. Result [n, K, D].
torch::Tensor gather_points(const torch::Tensor& points, const torch::Tensor& indices) {
  return points.gather(1, indices.unsqueeze(-1).expand({-1, -1, points.size(2)}));
}

// error: [n, clusters, N]. Result int64 [n, N]. Not argmin(1), which is twenty times slower than
// min over a dimension that is not the last.
torch::Tensor nearest(const torch::Tensor& error) { return std::get<1>(error.min(1)); }

// assigned: int64 [n, N]. Result [n, clusters, N], 1 where a point belongs to a cluster.
torch::Tensor membership(const torch::Tensor& assigned, std::int64_t clusters,
                         const torch::TensorOptions& options) {
  torch::Tensor members = torch::zeros({assigned.size(0), clusters, assigned.size(1)}, options);
  return members.scatter_(1, assigned.unsqueeze(1), 1.0);
}

}  // namespace

torch::Tensor kmeans_colour_masks(const torch::Tensor& images, std::int64_t clusters) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor colours = images.flatten(2).transpose(1, 2).contiguous();  // [n, N, 3]
  const torch::Tensor first = pixel_targets(images).saliency.argmin(1);
  torch::Tensor centres = gather_points(colours, farthest_points(colours, first, clusters));
  const auto nearest_centre = [&] {
    // ‖centre‖² − 2 centre · colour: the norm of a colour is the same for all centres
    return nearest(torch::baddbmm(centres.square().sum(-1, /*keepdim=*/true), centres,
                                  colours.transpose(1, 2), 1, -2));
  };
  for (int iteration = 0; iteration < kColourIterations; ++iteration) {
    const torch::Tensor members = membership(nearest_centre(), clusters, images.options());
    const torch::Tensor size = members.sum(-1, /*keepdim=*/true);
    centres = torch::where(size > 0, torch::bmm(members, colours) / size.clamp_min(1), centres);
  }
  return nearest_centre().view({images.size(0), images.size(2), images.size(3)});
}

torch::Tensor kmeans_seeded_masks(const torch::Tensor& images, std::int64_t clusters) {
  const torch::NoGradGuard no_grad;
  const std::int64_t n = images.size(0);
  const Targets tokens = token_targets(images);
  const std::int64_t side = images.size(2) / kTokenStride;
  const torch::Tensor saliency = tokens.saliency.unsqueeze(-1);
  const torch::Tensor position = tokens.position.expand({n, -1, -1});

  const torch::Tensor weighted = torch::cat({tokens.colour, saliency * position}, -1)
                                     .transpose(1, 2)
                                     .reshape({n, 5, side, side});
  const torch::Tensor smooth =
      torch::avg_pool2d(weighted, 3, 1, 1, /*ceil_mode=*/false, /*count_include_pad=*/false)
          .flatten(2)
          .transpose(1, 2);
  const torch::Tensor seeds = farthest_points(smooth, tokens.saliency.argmin(1), clusters);

  torch::Tensor centres = gather_points(torch::cat({tokens.colour, position}, -1), seeds);
  for (int iteration = 0; iteration < kSeededIterations; ++iteration) {
    const torch::Tensor members =
        membership(nearest(explanation_error(tokens, centres)), clusters, images.options());
    const torch::Tensor salient = members * (tokens.saliency.unsqueeze(1) + 1e-6);
    centres =
        torch::cat({torch::bmm(members, tokens.colour) / (members.sum(-1, /*keepdim=*/true) + 1e-6),
                    torch::bmm(salient, position) / (salient.sum(-1, /*keepdim=*/true) + 1e-9)},
                   -1);
  }
  return nearest(explanation_error(pixel_targets(images), centres))
      .view({n, images.size(2), images.size(3)});
}

namespace {

constexpr double kReferenceSide = 36;  // of images in which a template has a sample a pixel

}  // namespace

torch::Tensor hand_templates(const torch::Tensor& images, const torch::Tensor& masks,
                             double position_weight) {
  const torch::NoGradGuard no_grad;
  const std::int64_t side = images.size(2);
  const torch::Tensor area = masks.sum(-1, /*keepdim=*/true);  // [n, S, 1]
  const torch::Tensor mean_of = masks / area.clamp_min(1);
  const torch::Tensor u = torch::arange(side, images.options());
  const std::vector<torch::Tensor> yx = torch::meshgrid({u, u}, "ij");
  const torch::Tensor position =
      torch::matmul(mean_of, torch::stack({yx[0], yx[1]}, -1).view({-1, 2}));
  const torch::Tensor colour = torch::bmm(mean_of, images.flatten(2).transpose(1, 2));

  const torch::Tensor offsets =
      ((torch::arange(kTemplateSide, images.options()) - kTemplateSide / 2) * side / kReferenceSide)
          .round();
  const torch::Tensor samples = position.round().unsqueeze(-1) + offsets;  // [n, S, 2, template]
  const torch::Tensor y = samples.select(2, 0).unsqueeze(-1);
  const torch::Tensor x = samples.select(2, 1).unsqueeze(-2);
  const torch::Tensor inside = (y >= 0) & (y < side) & (x >= 0) & (x < side);
  const torch::Tensor pixel =
      (y.clamp(0, side - 1) * side + x.clamp(0, side - 1)).to(torch::kInt64);
  const torch::Tensor shape = masks.gather(2, pixel.flatten(2)) * inside.flatten(2);
  const torch::Tensor norm = shape.sum(-1, /*keepdim=*/true).clamp_min(1).sqrt();
  return torch::cat({shape / norm, colour, position_weight / static_cast<double>(side) * position},
                    -1);
}

}  // namespace osc::program
