// The small network between a feature and a loss that compares views: the loss may discard what it
// does not need without the feature losing it.
#pragma once

#include <torch/torch.h>

namespace osc::program {

// [..., width] -> [..., width]: linear to 2·width, LayerNorm, ReLU, linear.
torch::nn::Sequential make_projection_head(std::int64_t width);

}  // namespace osc::program
