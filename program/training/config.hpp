// The complete configuration of a run: what config.toml holds, what the flags of `osc train` set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "data/sources.hpp"
#include "objective/objective.hpp"

namespace osc::program {

struct StageConfig {
  std::int64_t steps = 0;
  std::int64_t batch = 16;  // images a step, two views of each
  double learning_rate = 1e-3;
  std::int64_t warm_up = 100;  // steps over which the learning rate rises
  double final_rate = 0.1;     // share of the learning rate that the cosine ends on
  double crop_area = 0.85;     // views keep this share of the area or more
  bool mirror = false;         // views are mirrored with probability 1/2
  NumberValues terms;          // weights and settings of the objective's terms
};

struct RunConfig : DataConfig {
  std::string objective = "recipe";
  std::int64_t threads = 0;  // 0: the cores that this process may use
  std::int64_t slots = 4;
  std::int64_t channels = 64;
  std::int64_t iterations = 5;  // of slot attention
  double weight_decay = 1e-4;
  double clip_gradient = 1;  // largest norm of the gradient
  // Train a second embedding beside the first, with slots matched at random, for the report.
  bool control = true;
  std::int64_t checkpoint_every = 200;  // steps
  std::int64_t score_every = 200;       // steps between scores on held-out images; 0: never
  StageConfig stage[2];

  std::int64_t total_steps() const { return stage[0].steps + stage[1].steps; }
};

// The configuration of a named objective, `recipe` or `paper`. Throws UserError for another name.
RunConfig preset(const std::string& objective);

// A key of config.toml and the flag of the same name (with - for . and _).
struct Setting {
  using Value = std::variant<std::string, std::int64_t, double, bool>;
  std::string key;  // "seed", "stage1.batch"
  std::string help;
  double least, most;                          // numbers must lie between, both included
  std::function<Value(const RunConfig&)> get;  // its alternative is the type of the setting
  std::function<void(RunConfig&, const Value&)> set;
};
const std::vector<Setting>& settings();
std::string to_text(const Setting::Value& value);  // as TOML writes it

// Keys that set several settings: `steps` (shared between the stages in the proportion of the
// objective), `batch` and `learning_rate` (of both stages). Their `get` gives the type alone.
const std::vector<Setting>& shorthands();

// The setting or shorthand with this key, a shorthand first; null where there is none.
const Setting* find_setting(std::string_view key);

// A value given for a key, and where: "--seed" or "config.toml: seed".
struct GivenSetting {
  std::string key;
  Setting::Value value;
  std::string origin;
};

// What a TOML file sets, in its order. Throws UserError naming the file and the line for a syntax
// error, an unknown key, or a value of another type.
std::vector<GivenSetting> read_toml(const std::filesystem::path& path);

// The preset that `given` names (the last "objective" counts), changed by the shorthands in
// `given`, then by the settings; later ones win. Throws UserError naming the origin, the value and
// what was wanted.
RunConfig make_config(const std::vector<GivenSetting>& given);

// The whole configuration, every key with its help as a comment. read_toml and make_config give it
// back.
std::string to_toml(const RunConfig& config);

}  // namespace osc::program
