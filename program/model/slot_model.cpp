#include "model/slot_model.hpp"

#include <cmath>
#include <numbers>

#include "model/targets.hpp"

namespace osc::program {
namespace nn = torch::nn;
namespace {

// [side², channels]: sines and cosines of x, then of y, at channels / 4 frequencies from π to 8π,
// the initial values of the position embeddings.
torch::Tensor sines_2d(std::int64_t side, std::int64_t channels) {
  const torch::Tensor u = torch::linspace(0, 1, side);
  const std::vector<torch::Tensor> yx = torch::meshgrid({u, u}, "ij");
  const torch::Tensor frequencies =
      std::numbers::pi * torch::exp2(torch::linspace(0, 3, channels / 4));
  const torch::Tensor x = yx[1].unsqueeze(-1) * frequencies;
  const torch::Tensor y = yx[0].unsqueeze(-1) * frequencies;
  return torch::cat({x.sin(), x.cos(), y.sin(), y.cos()}, -1).reshape({side * side, channels});
}

}  // namespace

EncoderImpl::EncoderImpl(const SlotModelOptions& options) {
  const std::int64_t channels = options.channels;
  stem_ = register_module(
      "stem",
      nn::Sequential(nn::Conv2d(nn::Conv2dOptions(3, 32, 5).stride(kTokenStride).padding(2)),
                     nn::ReLU(), nn::Conv2d(nn::Conv2dOptions(32, channels, 3).padding(1)),
                     nn::ReLU(), nn::Conv2d(nn::Conv2dOptions(channels, channels, 1))));
  norm_ = register_module("norm", nn::LayerNorm(nn::LayerNormOptions({channels})));
  position_before_ =
      register_parameter("position_before", sines_2d(options.image_size / kTokenStride, channels));
  position_after_ =
      register_parameter("position_after", sines_2d(options.image_size / kTokenStride, channels));
}

torch::Tensor EncoderImpl::forward(const torch::Tensor& images) {
  const torch::Tensor tokens = stem_->forward(images).flatten(2).transpose(1, 2);
  return norm_(tokens + position_before_) + position_after_;
}

SlotAttentionImpl::SlotAttentionImpl(const SlotModelOptions& options)
    : slots_(options.slots), channels_(options.channels), iterations_(options.iterations) {
  const std::int64_t c = channels_;
  key_ = register_module("key", nn::Linear(nn::LinearOptions(c, c).bias(false)));
  value_ = register_module("value", nn::Linear(nn::LinearOptions(c, c).bias(false)));
  query_ = register_module("query", nn::Linear(nn::LinearOptions(c, c).bias(false)));
  slot_norm_ = register_module("slot_norm", nn::LayerNorm(nn::LayerNormOptions({c})));
  gru_ = register_module("gru", nn::GRUCell(c, c));
  update_norm_ = register_module("update_norm", nn::LayerNorm(nn::LayerNormOptions({c})));
  update_ = register_module("update",
                            nn::Sequential(nn::Linear(c, 2 * c), nn::ReLU(), nn::Linear(2 * c, c)));
  mean_ = register_parameter("mean", torch::randn({c}) * 0.1);
  log_deviation_ = register_parameter("log_deviation", torch::zeros({c}));
}

Slots SlotAttentionImpl::forward(const torch::Tensor& tokens, torch::Generator generator,
                                 int starts) {
  const std::int64_t n = tokens.size(0);
  const std::int64_t points = tokens.size(1);
  // All starts of an image share its keys: one matrix product computes them.
  const std::int64_t rows = std::int64_t{starts} * slots_;
  const torch::Tensor keys = key_(tokens).transpose(1, 2) * std::pow(channels_, -0.5);
  const torch::Tensor values = value_(tokens);
  torch::Tensor slots = mean_ + log_deviation_.exp() *
                                    torch::randn({n, rows, channels_}, generator, tokens.options());
  torch::Tensor attention;
  for (int iteration = 0; iteration < iterations_; ++iteration) {
    const torch::Tensor logits =
        torch::bmm(query_(slot_norm_(slots)), keys).view({n, starts, slots_, points});
    attention = logits.softmax(2);
    const torch::Tensor mass = attention.view({n, rows, points}).sum(-1, /*keepdim=*/true);
    const torch::Tensor updates =
        torch::bmm(attention.view({n, rows, points}), values) / (mass + 1e-6);
    slots = gru_(updates.view({n * rows, channels_}), slots.view({n * rows, channels_}))
                .view({n, rows, channels_});
    slots = slots + update_->forward(update_norm_(slots));
  }
  return {slots.view({n, starts, slots_, channels_}), attention};
}

SlotModelImpl::SlotModelImpl(const SlotModelOptions& options) : options_(options) {
  encoder_ = register_module("encoder", Encoder(options));
  attention_ = register_module("attention", SlotAttention(options));
  decoder_ = register_module(
      "decoder", nn::Sequential(nn::Linear(options.channels, 64), nn::GELU(), nn::Linear(64, 5)));
}

Slots SlotModelImpl::forward(const torch::Tensor& images, torch::Generator generator, int starts) {
  return attention_(encoder_(images), std::move(generator), starts);
}

torch::Tensor SlotModelImpl::explain(const torch::Tensor& features) {
  return decoder_->forward(features);
}

}  // namespace osc::program
