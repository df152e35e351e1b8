// Masks without any learning, the baselines of a model's masks. Both are deterministic. images:
// normalised [n, 3, H, H]; result int64 [n, H, H] in 0…clusters-1.
#pragma once

#include <torch/torch.h>

namespace osc::program {

// Plain k-means of the pixels' colours: seeds are the pixel nearest to the image's median colour
// and then each time the pixel farthest from all seeds.
torch::Tensor kmeans_colour_masks(const torch::Tensor& images, std::int64_t clusters);

// The strongest simple rival: k-means of the tokens' colour and position, of the very targets,
// saliency and pixel rule that the model's slots are read with. Seeds are the least salient token
// and then each time the token farthest from all seeds, on targets averaged over 3 × 3 tokens.
torch::Tensor kmeans_seeded_masks(const torch::Tensor& images, std::int64_t clusters);

}  // namespace osc::program
