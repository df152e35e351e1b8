// What several tests of this folder start from.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "data/sources.hpp"
#include "model/model.hpp"

namespace osc::program {

inline constexpr int kSide = 36;

inline const bool kOneThread =
    (at::set_num_threads(1), true);  // ctest already runs one program per core

using Bytes = std::vector<std::uint8_t>;

inline ImageSet scenes(Split split, std::int64_t count) {
  return make_scene_set(source_of("tetrominoes"), split, 0, count, kSide, 1);
}

inline Model untrained_model(bool with_embedding, MaskReading reading = MaskReading::explanation,
                             std::uint64_t seed = 1) {
  torch::manual_seed(seed);
  Model model;
  model.slots = SlotModel(SlotModelOptions{});
  model.reading = reading;
  if (with_embedding) {
    model.embedding = ObjectEmbedding();
    model.control = ObjectEmbedding();
  }
  return model;
}

}  // namespace osc::program
