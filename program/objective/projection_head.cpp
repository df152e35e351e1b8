#include "objective/projection_head.hpp"

namespace osc::program {

torch::nn::Sequential make_projection_head(std::int64_t width) {
  namespace nn = torch::nn;
  return nn::Sequential(nn::Linear(width, 2 * width),
                        nn::LayerNorm(nn::LayerNormOptions({2 * width})), nn::ReLU(),
                        nn::Linear(2 * width, width));
}

}  // namespace osc::program
