// The trained networks of a run, and the masks read from them.
#pragma once

#include <torch/torch.h>

#include "model/object_embedding.hpp"
#include "model/slot_model.hpp"

namespace osc::program {

// How masks are read. A pixel belongs to the slot whose
enum class MaskReading {
  explanation,  // colour and position explain it best: needs a decoder trained by the explain term
  attention,    // upsampled attention is largest
};

// Random starts an image. The one whose slots explain the pixels best is kept.
inline constexpr int kReadingStarts = 4;

struct FoundObjects {
  torch::Tensor features;  // [n, S, C]
  torch::Tensor slot;      // int64 [n, H, H]: the slot that each pixel belongs to
  torch::Tensor masks;     // float32 [n, S, H·H], `slot` one-hot
};

// images: normalised [n, 3, H, H]. No gradient. Reading by attention takes one start.
FoundObjects find_objects(SlotModel model, const torch::Tensor& images, torch::Generator generator,
                          MaskReading reading = MaskReading::explanation,
                          int starts = kReadingStarts);

struct Model {
  SlotModel slots{nullptr};
  MaskReading reading = MaskReading::explanation;
  // Null without a second stage: the slot feature then serves as the embedding.
  ObjectEmbedding embedding{nullptr};
  // The same network, trained on the same views with slots matched at random. Null without control.
  ObjectEmbedding control{nullptr};
};

}  // namespace osc::program
