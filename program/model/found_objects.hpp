// Reading masks: which pixels belong to which slot.
#pragma once

#include <torch/torch.h>

#include "model/slot_model.hpp"

namespace osc::program {

enum class MaskReading {
  explanation,  // a pixel belongs to the slot whose colour and position explain it best; for models
                // trained with the explain term
  attention,    // a pixel belongs to the slot whose upsampled attention is largest; the usual way,
                // and the only one without a trained decoder
};

inline constexpr int kReadingStarts =
    4;  // random starts tried an image; the one whose slots explain the pixels best is kept

struct FoundObjects {
  torch::Tensor features;  // [n, S, C]
  torch::Tensor slot;      // int64 [n, H, H]: the slot that each pixel belongs to
  torch::Tensor masks;     // float32 [n, S, H·H], `slot` one-hot
};

// images: normalised [n, 3, H, H]. No gradient. Reading by attention takes one start. The encoder
// runs once an image.
FoundObjects find_objects(SlotModel model, const torch::Tensor& images, torch::Generator generator,
                          MaskReading reading = MaskReading::explanation,
                          int starts = kReadingStarts);

}  // namespace osc::program
