// Baselines without learning, all deterministic.
#pragma once

#include <torch/torch.h>

namespace osc::program {

// Plain k-means of the pixels' colours: seeds are the pixel nearest to the image's median colour
// and then each time the pixel farthest from all seeds.
torch::Tensor kmeans_colour_masks(const torch::Tensor& images, std::int64_t clusters);

// The strongest simple baseline: k-means of the tokens' colour and position, with the targets,
// saliency and pixel rule by which the masks of slots are read. Seeds are the least salient token
// and then each time the token farthest from all seeds, on targets averaged over 3 × 3 tokens.
torch::Tensor kmeans_seeded_masks(const torch::Tensor& images, std::int64_t clusters);

// Samples a side of the centred mask, which cover two thirds of the image.
inline constexpr int kTemplateSide = 24;
// The mask with norm 1, the mean red, green and blue, and the weighted y and x of the centroid.
inline constexpr int kTemplateSize = kTemplateSide * kTemplateSide + 5;
inline constexpr double kTemplatePositionWeight = 3;  // of the centroid in image sides

// Templates of regions: the centred mask, the mean colour and the position of each. Compared by
// Euclidean distance. images: [n, 3, H, H] in about 0…1; masks: float32 [n, S, H·H], one-hot over
// S. Result: [n, S, kTemplateSize], zeros for an empty region.
torch::Tensor hand_templates(const torch::Tensor& images, const torch::Tensor& masks,
                             double position_weight = 0);

}  // namespace osc::program
