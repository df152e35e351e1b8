#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "mend_checkpoint.hpp"
#include "support/error.hpp"
#include "support/files.hpp"
#include "temporary_folder.hpp"
#include "training/checkpoint.hpp"
#include "training/optimizer.hpp"
#include "training/run_folder.hpp"
#include "training/trainer.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

const std::string kDeep = std::string(200000, '[') + std::string(200000, ']');

RunConfig tiny_config() {
  RunConfig config = preset("recipe");
  config.image_size = 16;
  config.slots = 3;
  config.channels = 8;
  config.iterations = 2;
  config.stage[0].steps = 3;
  config.stage[1].steps = 3;
  config.stage[0].batch = config.stage[1].batch = 2;
  return config;
}

ImageSet tiny_images() {
  return make_scene_set(source_of("tetrominoes"), Split::train, 0, 16, 16, 1);
}

TEST(LearningRate, WarmsUpAndFallsAlongACosine) {
  StageConfig stage;
  stage.steps = 1000;
  stage.learning_rate = 2;
  stage.warm_up = 100;
  stage.final_rate = 0.1;
  EXPECT_NEAR(learning_rate_at(stage, 0), 2.0 / 100, 1e-6);
  EXPECT_NEAR(learning_rate_at(stage, 500), 2 * 0.55, 1e-6);
  EXPECT_NEAR(learning_rate_at(stage, 999), 0.2, 1e-4);
}

TEST(Optimizer, StepsAsLibtorchsAdamW) {
  torch::manual_seed(0);
  const torch::Tensor a = torch::randn({4, 3}).requires_grad_();
  const torch::Tensor b = torch::randn({4}).requires_grad_();
  const torch::Tensor a2 = a.detach().clone().requires_grad_();
  const torch::Tensor b2 = b.detach().clone().requires_grad_();
  Optimizer ours({{"a", a}, {"b", b}}, 0.1, 1.0);
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(std::vector<torch::Tensor>{a2},
                      std::make_unique<torch::optim::AdamWOptions>(
                          torch::optim::AdamWOptions(0.01).weight_decay(0.1)));
  groups.emplace_back(std::vector<torch::Tensor>{b2},
                      std::make_unique<torch::optim::AdamWOptions>(
                          torch::optim::AdamWOptions(0.01).weight_decay(0)));
  torch::optim::AdamW theirs(groups, torch::optim::AdamWOptions(0.01));
  for (int step = 0; step < 5; ++step) {
    const torch::Tensor x = torch::randn({3, 4});
    ours.zero_grad();
    (a.matmul(x) + b).pow(2).sum().backward();
    ours.step(0.01);
    theirs.zero_grad();
    (a2.matmul(x) + b2).pow(2).sum().backward();
    torch::nn::utils::clip_grad_norm_(std::vector<torch::Tensor>{b2, a2}, 1.0);
    theirs.step();
  }
  EXPECT_TRUE(torch::allclose(a, a2, 0, 1e-6));
  EXPECT_TRUE(torch::allclose(b, b2, 0, 1e-6));
}

TEST(Optimizer, AGradientThatIsNotFiniteChangesNothing) {
  const torch::Tensor a = torch::ones({2, 2}).requires_grad_();
  const torch::Tensor b = torch::ones({2}).requires_grad_();
  Optimizer optimizer({{"a", a}, {"b", b}}, 0.1, 1.0);
  for (const double value :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    optimizer.zero_grad();
    (a.sum() + (b * value).sum()).backward();
    EXPECT_NE(user_error([&] { optimizer.step(0.01); }).find("gradient is not finite"),
              std::string::npos);
    EXPECT_TRUE(torch::equal(a, torch::ones({2, 2})));
    EXPECT_TRUE(torch::equal(b, torch::ones({2})));
    for (const auto& [name, tensor] : optimizer.state())
      EXPECT_TRUE(torch::equal(tensor, torch::zeros_like(tensor))) << name;
  }
}

TEST(CheckpointFile, GivesBackWhatWasWritten) {
  const TemporaryFolder folder;
  const Checkpoint written{{{"step", "7"}, {"note", "quotes \" and \\ and ü"}},
                           {{"x", torch::randn({2, 3})},
                            {"empty", torch::empty({0, 4})},
                            {"scalar", torch::tensor(5, torch::kInt64)}}};
  write_checkpoint(folder.path() / "checkpoint", written);
  const Checkpoint read = read_checkpoint(folder.path() / "checkpoint");
  EXPECT_EQ(read.metadata, written.metadata);
  ASSERT_EQ(read.tensors.size(), 3u);
  for (const auto& [name, tensor] : written.tensors) {
    EXPECT_EQ(read.tensors.at(name).dtype(), tensor.dtype());
    EXPECT_TRUE(torch::equal(read.tensors.at(name), tensor)) << name;
  }
}

// A checkpoint of one tensor, for changes of its bytes.
struct Altered {
  TemporaryFolder folder;
  std::filesystem::path path = folder / "checkpoint";
  std::string whole;

  Altered() {
    write_checkpoint(path, {{{"step", "7"}}, {{"x", torch::zeros({5})}}});
    whole = read_file(path);
  }
  std::string error(const std::string& bytes) const {
    write_file_atomically(path, bytes);
    const std::string message = user_error([&] { read_checkpoint(path); });
    return message.substr(message.starts_with(path.string()) ? path.string().size() + 1 : 0);
  }
  // With a right length and checksum.
  std::string error(const std::string& from, const std::string& to) const {
    std::string altered = whole;
    altered.replace(altered.find(from), from.size(), to);
    mend_checkpoint(altered);
    return error(altered);
  }
};

TEST(CheckpointFile, NoticesEveryChangedOrMissingByte) {
  const Altered file;
  EXPECT_EQ(file.error(file.whole), "(no error)");
  for (std::size_t k = 0; k < file.whole.size(); ++k) {
    std::string altered = file.whole;
    altered[k] = static_cast<char>(altered[k] ^ 0x20);
    EXPECT_NE(file.error(altered), "(no error)") << "byte " << k;
    EXPECT_NE(file.error(file.whole.substr(0, k)), "(no error)") << "cut to " << k;
  }
}

TEST(CheckpointFile, RefusesOtherFormatsAndContents) {
  const Altered file;
  EXPECT_EQ(file.error("[5]", "[5]"), "(no error)");
  EXPECT_EQ(file.error("osc-checkpoint-2", "osc-checkpoint-1"),
            "has the older format osc-checkpoint-1, wanted osc-checkpoint-2: train the run again, "
            "or use the osc that wrote it");
  EXPECT_EQ(file.error("osc-checkpoint-2", "safetensors"), "is not an osc checkpoint");
  for (const char* const shape : {"[5.0]", "[-5]", "[1e30]", "[18446744073709551615]", "[true]",
                                  "[\"5\"]", "[[5]]", "{\"5\":5}", "5", "null"})
    EXPECT_NE(file.error("[5]", shape).find("malformed"), std::string::npos) << shape;
  for (const char* const range : {"[0,1e68]", "[1e68,0]", "[0,20.0]", "[-1,20]", "[20,0]",
                                  "[0,20,20]", "[0]", "[]", "20", "null"})
    EXPECT_NE(file.error("[0,20]", range).find("malformed"), std::string::npos) << range;
  for (const std::string& deep : {kDeep, "{\"a\":" + kDeep + "}"})
    EXPECT_EQ(file.error("\"shape\":", "\"shape\":" + deep + ",\"more\":"),
              "is nested deeper than 64 levels");
}

TEST(Config, RefusesWhatNestsTooDeep) {
  const TemporaryFolder folder;
  const std::string path = folder / "config.toml";
  std::string dotted = "a";
  for (int i = 0; i < 100000; ++i) dotted += ".a";
  for (const std::string& text : {dotted + " = 1", "[" + dotted + "]", "a = " + kDeep}) {
    write_file_atomically(path, text);
    EXPECT_EQ(user_error([&] { read_toml(path); }), path + ": is nested deeper than 64 levels");
  }
}

TEST(Config, SurvivesToml) {
  const TemporaryFolder folder;
  RunConfig config = preset("paper");
  config.seed = 123;
  config.data = "a folder with \"quotes\"";
  config.stage[1].steps = 5;
  config.stage[1].terms["similarity"] = 0.25;
  write_file_atomically(folder.path() / "config.toml", to_toml(config));
  EXPECT_EQ(to_toml(make_config(read_toml(folder.path() / "config.toml"))), to_toml(config));
}

TEST(Config, SharesStepsBetweenStages) {
  const RunConfig config = make_config({{"steps", std::int64_t{14}, "--steps"}});
  EXPECT_EQ(config.stage[0].steps, 12);
  EXPECT_EQ(config.stage[1].steps, 2);
}

TEST(MetricsLog, RemovesTheStepsAfterTheCheckpoint) {
  const TemporaryFolder folder;
  const RunFolder run{folder.path()};
  const std::string kept =
      "{\"step\":1,\"seconds\":1.5}\n"
      "{\"step\":2,\"seconds\":2.5}\n";
  write_file_atomically(run.metrics(), kept + "{\"step\":3,\"seconds\":3.5}\n{\"st");
  MetricsLog log(run, 2);
  EXPECT_EQ(log.seconds_before(), 2.5);
  log.append({{"step", 3}, {"again", true}});
  EXPECT_EQ(read_file(run.metrics()), kept + "{\"step\":3,\"again\":true}\n");
}

TEST(MetricsLog, RefusesWhatNestsTooDeep) {
  const TemporaryFolder folder;
  const RunFolder run{folder.path()};
  write_file_atomically(run.metrics(), "{\"step\":1}\n{\"step\":2,\"more\":" + kDeep + "}\n");
  EXPECT_EQ(user_error([&] { read_metrics(run); }),
            run.metrics().string() + ":2: is nested deeper than 64 levels");
}

TEST(Trainer, GoesOnFromACheckpointAsIfNeverStopped) {
  torch::set_num_threads(1);
  const RunConfig config = tiny_config();
  const ImageSet images = tiny_images();
  Trainer whole(config, images);
  std::vector<Checkpoint> checkpoints;
  while (whole.step_count() < config.total_steps()) {
    checkpoints.push_back(whole.checkpoint());
    for (auto& [name, tensor] : checkpoints.back().tensors) tensor = tensor.clone();
    whole.step();
  }
  const Checkpoint last = whole.checkpoint();
  for (const Checkpoint& checkpoint : checkpoints) {
    Trainer resumed(config, images);
    resumed.restore(checkpoint);
    while (resumed.step_count() < config.total_steps()) resumed.step();
    const Checkpoint end = resumed.checkpoint();
    EXPECT_EQ(end.metadata, last.metadata);
    for (const auto& [name, tensor] : last.tensors)
      EXPECT_TRUE(torch::equal(tensor, end.tensors.at(name)))
          << name << " after stopping at " << checkpoint.metadata.at("step");
  }
}

TEST(Trainer, RefusesACheckpointOfAnotherRun) {
  const ImageSet images = tiny_images();
  RunConfig config = tiny_config();
  const Checkpoint checkpoint = Trainer(config, images).checkpoint();
  config.channels = 12;
  EXPECT_THROW(Trainer(config, images).restore(checkpoint), UserError);
  Checkpoint incomplete = checkpoint;
  incomplete.tensors.erase(incomplete.tensors.begin());
  EXPECT_THROW(Trainer(tiny_config(), images).restore(incomplete), UserError);
}

TEST(Trainer, RefusesACheckpointThatIsNotFinite) {
  const ImageSet images = tiny_images();
  Trainer trainer(tiny_config(), images);
  const std::string mean = "slots.attention.mean";
  for (const std::string& name : {mean, "optimizer.second_moment." + mean}) {
    for (const double value : {std::nan(""), double{INFINITY}}) {
      Checkpoint checkpoint = Trainer(tiny_config(), images).checkpoint();
      checkpoint.tensors.at(name) = checkpoint.tensors.at(name).clone();
      checkpoint.tensors.at(name)[0] = value;
      EXPECT_EQ(user_error([&] { trainer.restore(checkpoint); }),
                "the checkpoint's tensor " + name + " holds values that are not finite");
    }
  }
}

TEST(Trainer, TheControlStartsAsTheEmbeddingDoes) {
  const Model model = make_model(tiny_config());
  const auto a = model.embedding->parameters();
  const auto b = model.control->parameters();
  for (std::size_t k = 0; k < a.size(); ++k) {
    EXPECT_TRUE(torch::equal(a[k], b[k]));
    EXPECT_NE(a[k].data_ptr(), b[k].data_ptr());
  }
}

}  // namespace
}  // namespace osc::program
