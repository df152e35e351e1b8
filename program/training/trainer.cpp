#include "training/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "support/error.hpp"
#include "views/views.hpp"

namespace osc::program {
namespace {

constexpr std::uint64_t kStep = 1;  // the purpose of the generators of steps

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

void append_parameters(const std::string& prefix, const torch::nn::Module& module,
                       NamedTensors& out) {
  for (const auto& item : module.named_parameters())
    out.emplace_back(prefix + "." + item.key(), item.value());
}

ViewStrength view_strength(const StageConfig& stage) {
  ViewStrength strength;
  strength.crop_area = stage.crop_area;
  strength.mirror = stage.mirror;
  return strength;
}

// Two independent views of each image, the second view's rows after the first's.
Views two_views(const torch::Tensor& images, const ViewStrength& strength,
                torch::Generator generator) {
  const Views first = random_views(images, strength, generator);
  const Views second = random_views(images, strength, generator);
  return {normalise(torch::cat({first.images, second.images})),
          {},
          torch::cat({first.mirrored, second.mirrored})};
}

// The settings on which the training steps depend, for the checkpoint. A resumed run may change the
// others.
std::map<std::string, std::string> identity(const RunConfig& config) {
  std::map<std::string, std::string> texts;
  for (const Setting& setting : settings()) {
    constexpr std::string_view kFree[] = {"threads", "checkpoint_every", "score_every",
                                          "final_images", "gallery_images"};
    if (std::find(std::begin(kFree), std::end(kFree), setting.key) == std::end(kFree))
      texts["config." + setting.key] = to_text(setting.get(config));
  }
  return texts;
}

void require_same_run(const Checkpoint& checkpoint, const RunConfig& config) {
  for (const auto& [key, here] : identity(config)) {
    const auto there = checkpoint.metadata.find(key);
    if (there == checkpoint.metadata.end() || there->second != here) {
      throw UserError("the checkpoint is of another run: " + key.substr(key.find('.') + 1) +
                      " is " + (there == checkpoint.metadata.end() ? "unset" : there->second) +
                      " there, " + here + " in config.toml");
    }
  }
}

std::int64_t steps_of(const Checkpoint& checkpoint, const RunConfig& config) {
  const auto found = checkpoint.metadata.find("step");
  const std::string text = found == checkpoint.metadata.end() ? "" : found->second;
  const bool digits =
      !text.empty() && text.size() < 19 &&
      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || std::stoll(text) > config.total_steps())
    throw UserError("the checkpoint's step is \"" + text + "\", wanted 0 to " +
                    std::to_string(config.total_steps()));
  return std::stoll(text);
}

// Copies the checkpoint's tensors into `state`, all of them or none.
void load_tensors(const Checkpoint& checkpoint, const NamedTensors& state) {
  const torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : state) {
    const auto found = checkpoint.tensors.find(name);
    if (found == checkpoint.tensors.end())
      throw UserError("the checkpoint lacks the tensor " + name);
    if (found->second.sizes() != tensor.sizes()) {
      std::ostringstream text;
      text << "the checkpoint's tensor " << name << " is " << found->second.sizes() << ", wanted "
           << tensor.sizes();
      throw UserError(text.str());
    }
    if (!torch::isfinite(found->second).all().item<bool>())
      throw UserError("the checkpoint's tensor " + name + " holds values that are not finite");
  }
  for (const auto& [name, tensor] : state) torch::Tensor(tensor).copy_(checkpoint.tensors.at(name));
}

NamedTensors named_parameters(const Model& model) {
  NamedTensors named;
  append_parameters("slots", *model.slots, named);
  if (model.embedding) append_parameters("embedding", *model.embedding, named);
  if (model.control) append_parameters("control", *model.control, named);
  return named;
}

bool has_control(const RunConfig& config) {
  return config.control && config.stage[1].steps > 0 &&
         any_term(config.stage[1].terms, &TermKind::takes_matching);
}

// One step of an optimizer on the objective of a forward pass.
Trainer::StepReport learn(Objective& objective, Optimizer& optimizer, const StepFeatures& features,
                          double learning_rate) {
  const ObjectiveImpl::Value value = objective->forward(features);
  Trainer::StepReport report;
  report.loss = value.total.item<double>();
  for (const auto& [name, loss] : value.terms) report.terms.emplace_back(name, loss.item<double>());
  if (!std::isfinite(report.loss))
    throw UserError("the loss is not finite: the training diverged; try a smaller learning rate");
  optimizer.zero_grad();
  value.total.backward();
  report.learning_rate = learning_rate;
  report.gradient_norm = optimizer.step(learning_rate);
  return report;
}

}  // namespace

Model make_model(const RunConfig& config) {
  torch::manual_seed(static_cast<std::uint64_t>(config.seed));
  Model model;
  model.slots = SlotModel(SlotModelOptions{.image_size = static_cast<int>(config.image_size),
                                           .slots = static_cast<int>(config.slots),
                                           .channels = static_cast<int>(config.channels),
                                           .iterations = static_cast<int>(config.iterations)});
  model.reading = any_term(config.stage[0].terms, &TermKind::needs_decoder)
                      ? MaskReading::explanation
                      : MaskReading::attention;
  if (config.stage[1].steps > 0) model.embedding = ObjectEmbedding();
  if (has_control(config)) {
    const torch::NoGradGuard no_grad;
    model.control = ObjectEmbedding();
    const std::vector<torch::Tensor> from = model.embedding->parameters();
    const std::vector<torch::Tensor> to = model.control->parameters();
    for (std::size_t k = 0; k < to.size(); ++k)
      torch::Tensor(to[k]).copy_(from[k]);  // the embeddings differ in the matching alone
  }
  return model;
}

TrainedModel load_model(const RunFolder& run, const RunConfig& config) {
  const Checkpoint checkpoint = read_checkpoint(run.checkpoint());
  require_same_run(checkpoint, config);
  TrainedModel trained{make_model(config), steps_of(checkpoint, config)};
  load_tensors(checkpoint, named_parameters(trained.model));
  if (trained.steps <= config.stage[0].steps) {
    trained.model.embedding = nullptr;
    trained.model.control = nullptr;
  }
  return trained;
}

Trainer::Trainer(const RunConfig& config, const ImageSet& images)
    : config_(config), images_(images), model_(make_model(config)) {
  const std::vector<std::int64_t> widths[2] = {{config.channels},
                                               {kEmbeddingWidth, kEmbeddingWidth}};
  for (int stage = 0; stage < 2; ++stage)
    objective_[stage] = Objective(config.stage[stage].terms, widths[stage]);

  const auto add_optimizer = [&](const std::string& name, const torch::nn::Module& module,
                                 const std::string& objective_name,
                                 const torch::nn::Module& objective) {
    NamedTensors parameters;
    append_parameters(name, module, parameters);
    append_parameters(objective_name, objective, parameters);
    optimizers_.emplace_back(std::move(parameters), config_.weight_decay, config_.clip_gradient);
  };
  add_optimizer("slots", *model_.slots, "objective1", *objective_[0]);
  if (model_.embedding) add_optimizer("embedding", *model_.embedding, "objective2", *objective_[1]);
  if (model_.control) {
    NumberValues terms = config.stage[1].terms;
    for (const TermKind& kind : term_kinds()) {
      if (!kind.takes_matching) terms.erase(std::string(kind.name));
    }
    control_objective_ = Objective(terms, widths[1]);
    add_optimizer("control", *model_.control, "control_objective", *control_objective_);
  }
}

Model Trainer::model() const {
  Model model = model_;
  if (stage() == 0) {
    model.embedding = nullptr;
    model.control = nullptr;
  }
  return model;
}

torch::Tensor Trainer::random_batch(const StageConfig& stage, torch::Generator generator) const {
  const torch::Tensor indices =
      torch::randint(images_.size(), {stage.batch}, generator, torch::kInt64);
  return image_tensor(images_,
                      {indices.data_ptr<std::int64_t>(), static_cast<std::size_t>(stage.batch)});
}

Trainer::StepReport Trainer::step() {
  const int at = stage();
  const std::int64_t stage_step = at == 0 ? step_ : step_ - config_.stage[0].steps;
  StepReport report = at == 0 ? find_objects_step(stage_step) : recognise_step(stage_step);
  report.step = ++step_;
  report.stage = at + 1;
  return report;
}

Trainer::StepReport Trainer::find_objects_step(std::int64_t stage_step) {
  const StageConfig& stage = config_.stage[0];
  torch::Generator generator = make_generator(config_.seed, kStep, step_);
  const Views views = two_views(random_batch(stage, generator), view_strength(stage), generator);
  const Slots slots = model_.slots->forward(views.images, generator);
  StepFeatures features;
  features.images = views.images;
  features.attention = slots.attention.squeeze(1);
  features.slots = {slots.features.squeeze(1)};
  if (any_term(stage.terms, &TermKind::needs_decoder))
    features.explanation = model_.slots->explain(features.slots[0]);

  return learn(objective_[0], optimizers_[0], features, learning_rate_at(stage, stage_step));
}

Trainer::StepReport Trainer::recognise_step(std::int64_t stage_step) {
  const StageConfig& stage = config_.stage[1];
  torch::Generator generator = make_generator(config_.seed, kStep, step_);
  const Views views = two_views(random_batch(stage, generator), view_strength(stage), generator);
  const FoundObjects found = find_objects(model_.slots, views.images, generator, model_.reading);

  const auto features = [&](ObjectEmbedding& embedding, const torch::Tensor& matching) {
    const Embedding embedded = embedding->forward(views.images, found.masks,
                                                  stage.mirror ? views.mirrored : torch::Tensor());
    StepFeatures of_step;
    of_step.images = views.images;
    of_step.slots = {embedded.category, embedded.instance};
    of_step.matching = matching;
    return of_step;
  };
  const double rate = learning_rate_at(stage, stage_step);
  StepReport report = learn(objective_[1], optimizers_[1], features(model_.embedding, {}), rate);
  if (model_.control) {
    const torch::Tensor random_matching =
        torch::rand({stage.batch, config_.slots}, generator).argsort(1, false);
    report.terms.emplace_back("control", learn(control_objective_, optimizers_[2],
                                               features(model_.control, random_matching), rate)
                                             .loss);
  }
  return report;
}

NamedTensors Trainer::named_state() const {
  NamedTensors state = named_parameters(model_);
  for (int stage = 0; stage < 2; ++stage)
    append_parameters("objective" + std::to_string(stage + 1), *objective_[stage], state);
  if (control_objective_) append_parameters("control_objective", *control_objective_, state);
  for (const Optimizer& optimizer : optimizers_) {
    for (auto& [name, tensor] : optimizer.state()) state.emplace_back("optimizer." + name, tensor);
  }
  return state;
}

Checkpoint Trainer::checkpoint() const {
  Checkpoint checkpoint;
  checkpoint.metadata = identity(config_);
  checkpoint.metadata["step"] = std::to_string(step_);
  for (const auto& [name, tensor] : named_state())
    checkpoint.tensors.emplace(name, tensor.detach());
  return checkpoint;
}

void Trainer::restore(const Checkpoint& checkpoint) {
  require_same_run(checkpoint, config_);
  const std::int64_t step = steps_of(checkpoint, config_);
  load_tensors(checkpoint, named_state());
  step_ = step;
}

}  // namespace osc::program
