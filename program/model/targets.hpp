// Targets of the decoder: colour, position and saliency of tokens and of pixels.
#pragma once

#include <torch/torch.h>

namespace osc::program {

inline constexpr int kTokenStride = 2;          // pixels a token along each axis
inline constexpr double kPositionWeight = 2.0;  // λ: how much position counts beside colour

// Points of an image to be explained, N of them.
struct Targets {
  torch::Tensor colour;    // [n, N, 3] normalised colours
  torch::Tensor position;  // [N, 2] x, y, in units of the explain loss: (index / (tokens a side -
                           // 1) - 0.5) · 3.3 λ
  torch::Tensor
      saliency;  // [n, N] distance of the colour from the image's median colour, brought to 0…1
};

// Tokens are kTokenStride² pixels averaged; saliency clipped to 1. images: normalised [n, 3, H, H].
Targets token_targets(const torch::Tensor& images);

// Single pixels, in the position units of the tokens; saliency (s - 0.3) / 0.7 clipped to 0…1,
// since a single pixel's below 0.3 is noise.
Targets pixel_targets(const torch::Tensor& images);

// explanation: [n, S, 5] colour and position that a slot stands for. Result [n, S, N]: ‖colour
// difference‖² + saliency · ‖position difference‖². One matrix product; no [n, S, N, 5] array of
// differences.
torch::Tensor explanation_error(const Targets& targets, const torch::Tensor& explanation);

}  // namespace osc::program
