// One image of the user's, at the model's size, read by a model: its slots are numbered alike in
// every command.
#pragma once

#include "evaluation/object_index.hpp"
#include "training/config.hpp"

namespace osc::program {

ObjectIndex index_single_image(const Model& model, const RunConfig& config, const Image& image,
                               const std::string& name);

}  // namespace osc::program
