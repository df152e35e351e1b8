// The training of a run: two stages, each a number of steps on random views of the images.
#pragma once

#include <functional>
#include <string>

#include "data/image_set.hpp"
#include "model/model.hpp"
#include "training/checkpoint.hpp"
#include "training/config.hpp"
#include "training/optimizer.hpp"
#include "training/run_folder.hpp"

namespace osc::program {

// The networks of a run, initialised from its seed. `embedding` is null where the run has no second
// stage, `control` where it wants none.
Model make_model(const RunConfig& config);

// The model of a run as its checkpoint holds it; UserError where its weights are not finite.
// `embedding` and `control` are null also where the second stage has not begun.
struct TrainedModel {
  Model model;
  std::int64_t steps = 0;  // done of the whole run
};
TrainedModel load_model(const RunFolder& run, const RunConfig& config);

class Trainer {
 public:
  Trainer(const RunConfig& config, const ImageSet& images);

  std::int64_t step_count() const { return step_; }
  // 0 or 1: the stage of the next step.
  int stage() const { return step_ < config_.stage[0].steps ? 0 : 1; }

  struct StepReport {
    std::int64_t step = 0;  // counted from 1 over the whole run
    int stage = 0;          // 1 or 2
    double loss = 0, learning_rate = 0, gradient_norm = 0;
    std::vector<std::pair<std::string, double>> terms;
  };
  // One step. What it draws depends on the seed and the step alone. A loss or a gradient that is
  // not finite leaves the parameters that it would change as they were and throws UserError.
  StepReport step();

  Model model() const;

  Checkpoint checkpoint() const;
  // Throws UserError where the checkpoint is of another configuration or not finite.
  void restore(const Checkpoint& checkpoint);

 private:
  std::vector<std::pair<std::string, torch::Tensor>> named_state() const;
  StepReport find_objects_step(std::int64_t stage_step);
  StepReport recognise_step(std::int64_t stage_step);
  torch::Tensor random_batch(const StageConfig& stage, torch::Generator generator) const;

  RunConfig config_;
  const ImageSet& images_;
  Model model_;
  Objective objective_[2]{nullptr, nullptr};
  Objective control_objective_{nullptr};
  std::vector<Optimizer> optimizers_;  // of stage 1, of stage 2, of the control
  std::int64_t step_ = 0;
};

}  // namespace osc::program
