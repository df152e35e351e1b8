// All that a run has learned, as the commands use it.
#pragma once

#include "model/found_objects.hpp"
#include "model/object_embedding.hpp"
#include "model/slot_model.hpp"

namespace osc::program {

struct Model {
  SlotModel slots{nullptr};
  MaskReading reading = MaskReading::explanation;
  ObjectEmbedding embedding{nullptr};  // null where the objective has no second stage: then the
                                       // slot feature is the embedding
  ObjectEmbedding control{nullptr};    // the same network trained on the same views with slots
                                       // matched at random; null without a control
};

}  // namespace osc::program
