// The network of stage 1: an encoder makes tokens of an image, slot attention makes slots of
// tokens, a decoder predicts the colour and position of each slot.
//
// Slot attention: F. Locatello et al., "Object-Centric Learning with Slot Attention", 2020.
#pragma once

#include <torch/torch.h>

namespace osc::program {

struct SlotModelOptions {
  int image_size = 36;  // pixels a side, even
  int slots = 4;        // S
  int channels = 64;    // C, a multiple of 4
  int iterations = 5;   // of slot attention
};

// images [n, 3, H, H], normalised -> tokens [n, (H/2)², C], position added before and after the
// LayerNorm.
class EncoderImpl : public torch::nn::Module {
 public:
  explicit EncoderImpl(const SlotModelOptions& options);
  torch::Tensor forward(const torch::Tensor& images);

 private:
  torch::nn::Sequential stem_;
  torch::nn::LayerNorm norm_{nullptr};
  torch::Tensor position_before_, position_after_;
};
TORCH_MODULE(Encoder);

// `features`: [n, R, S, C]; `attention`: [n, R, S, N], over the slots a softmax; R random starts an
// image.
struct Slots {
  torch::Tensor features;
  torch::Tensor attention;
};

class SlotAttentionImpl : public torch::nn::Module {
 public:
  explicit SlotAttentionImpl(const SlotModelOptions& options);
  // tokens [n, N, C]. Slots are drawn from the learned Gaussian for each image and start. Keys and
  // values are computed once for all starts.
  Slots forward(const torch::Tensor& tokens, torch::Generator generator, int starts = 1);

 private:
  int slots_, channels_, iterations_;
  torch::nn::LayerNorm slot_norm_{nullptr}, update_norm_{nullptr};
  torch::nn::Linear key_{nullptr}, value_{nullptr}, query_{nullptr};
  torch::nn::GRUCell gru_{nullptr};
  torch::nn::Sequential update_;
  torch::Tensor mean_, log_deviation_;
};
TORCH_MODULE(SlotAttention);

class SlotModelImpl : public torch::nn::Module {
 public:
  explicit SlotModelImpl(const SlotModelOptions& options);
  const SlotModelOptions& options() const { return options_; }

  // images [n, 3, H, H], normalised.
  Slots forward(const torch::Tensor& images, torch::Generator generator, int starts = 1);
  // features [..., C] -> [..., 5]: colour 3 and position 2, in the units of Targets.
  torch::Tensor explain(const torch::Tensor& features);

 private:
  SlotModelOptions options_;
  Encoder encoder_{nullptr};
  SlotAttention attention_{nullptr};
  torch::nn::Sequential decoder_;
};
TORCH_MODULE(SlotModel);

}  // namespace osc::program
