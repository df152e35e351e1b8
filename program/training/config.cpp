#include "training/config.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "support/error.hpp"
#include "support/files.hpp"
#include "support/json.hpp"

namespace osc::program {
namespace {

constexpr double kMany = 1e9;  // upper bound of counts, far below where arithmetic overflows

constexpr std::uint64_t kMaxConfigBytes = 1 << 20;

using Value = Setting::Value;

std::string_view type_name(const Value& value) {
  constexpr std::string_view kNames[] = {"a string", "an integer", "a number", "true or false"};
  return kNames[value.index()];
}

// A setting that is a variable of a RunConfig, which `access` returns.
template <typename Access>
Setting variable(std::string key, std::string help, double least, double most, Access access) {
  return {std::move(key),
          std::move(help),
          least,
          most,
          [access](const RunConfig& c) { return Value(access(c)); },
          [access](RunConfig& c, const Value& v) {
            auto& field = access(c);
            field = std::get<std::decay_t<decltype(field)>>(v);
          }};
}

template <typename T, typename Owner>
Setting member(std::string key, std::string help, T Owner::* field, double least = 0,
               double most = 0) {
  return variable(std::move(key), std::move(help), least, most,
                  [field](auto& c) -> auto& { return c.*field; });
}

// "stage1." or "stage2."
std::string stage_prefix(int stage) { return "stage" + std::to_string(stage + 1) + "."; }

template <typename T>
Setting stage_member(int stage, const std::string& name, std::string help, T StageConfig::* field,
                     double least = 0, double most = 0) {
  return variable(stage_prefix(stage) + name, std::move(help), least, most,
                  [=](auto& c) -> auto& { return c.stage[stage].*field; });
}

// A setting of a row of a table, among the NumberValues that `access` returns.
template <typename Access>
Setting row_setting(const std::string& prefix, const NumberSetting& row, Access access) {
  return {prefix + std::string(row.name),
          std::string(row.help),
          row.least,
          row.most,
          [=](const RunConfig& c) {
            const double value = value_of(access(c), row);
            return row.whole ? Value(static_cast<std::int64_t>(value)) : Value(value);
          },
          [=](RunConfig& c, const Value& v) {
            access(c)[std::string(row.name)] =
                row.whole ? static_cast<double>(std::get<std::int64_t>(v)) : std::get<double>(v);
          }};
}

const Setting* find_in(const std::vector<Setting>& list, std::string_view key) {
  const auto found = std::ranges::find(list, key, &Setting::key);
  return found == list.end() ? nullptr : &*found;
}

// Rows may share a setting.
void add_once(std::vector<Setting>& list, Setting setting) {
  if (find_in(list, setting.key) == nullptr) list.push_back(std::move(setting));
}

std::string source_names() {
  std::string names;
  for (const ImageSource* source : image_sources()) {
    if (source->scene != nullptr)
      names += std::string(source->name) + ", " + std::string(source->help) + "; ";
  }
  return names + "or a folder of PNG and JPEG images";
}

std::string term_names() {
  std::string names;
  for (const TermKind& kind : term_kinds())
    names += (names.empty() ? "" : ", ") + std::string(kind.name);
  return names;
}

std::vector<Setting> all_settings() {
  std::vector<Setting> all = {
      member("data", source_names(), &RunConfig::data),
      member("objective", "the preset that the rest starts from: recipe or paper",
             &RunConfig::objective),
      member("seed", "of everything random", &RunConfig::seed, 0, 9.007e15),
      member("threads", "0: the cores that this process may use", &RunConfig::threads, 0, 1024),
      member("slots", "slots an image: objects expected, and one for the background",
             &RunConfig::slots, 2, 64),
      member("image_size", "pixels a side that images are resized to; even", &RunConfig::image_size,
             16, 256),
      member("channels", "of a slot; a multiple of 4", &RunConfig::channels, 8, 1024),
      member("iterations", "of slot attention", &RunConfig::iterations, 1, 20),
      member("weight_decay", "of weight matrices", &RunConfig::weight_decay, 0, 1),
      member("clip_gradient", "largest norm of the gradient", &RunConfig::clip_gradient, 1e-6, 1e6),
      member(
          "control",
          "train stage 2 a second time beside the first, slots matched at random, for the report",
          &RunConfig::control),
      member("checkpoint_every", "steps between checkpoints", &RunConfig::checkpoint_every, 1,
             kMany),
      member("score_every", "steps between scores on held-out images with true masks; 0: never",
             &RunConfig::score_every, 0, kMany),
  };
  for (const ImageSource* source : image_sources()) {
    for (const NumberSetting& setting : source->settings)
      add_once(all, row_setting("", setting, [](auto& c) -> auto& { return c.source; }));
  }
  for (int stage = 0; stage < 2; ++stage) {
    const auto terms = [stage](auto& c) -> auto& { return c.stage[stage].terms; };
    const std::vector<Setting> of_stage = {
        stage_member(stage, "steps",
                     stage == 0 ? "find the objects"
                                : "make each recognisable, slots frozen; 0 leaves the stage out",
                     &StageConfig::steps, 0, kMany),
        stage_member(stage, "batch", "images a step, two views of each", &StageConfig::batch, 1,
                     65536),
        stage_member(stage, "learning_rate", "at its highest", &StageConfig::learning_rate, 1e-12,
                     10),
        stage_member(stage, "warm_up", "steps over which the learning rate rises",
                     &StageConfig::warm_up, 0, kMany),
        stage_member(stage, "final_rate", "share of the learning rate that the cosine ends on",
                     &StageConfig::final_rate, 0, 1),
        stage_member(stage, "crop_area", "views keep this share of an image's area or more",
                     &StageConfig::crop_area, 0.01, 1),
        stage_member(stage, "mirror", "views are mirrored left to right with probability 1/2",
                     &StageConfig::mirror),
    };
    all.insert(all.end(), of_stage.begin(), of_stage.end());
    for (const TermKind& kind : term_kinds()) {
      for (const NumberSetting& setting : kind.settings)
        add_once(all, row_setting(stage_prefix(stage), setting, terms));
    }
    for (const TermKind& kind : term_kinds()) {
      if (stage > 0 && kind.needs_decoder) continue;
      all.push_back(
          row_setting(stage_prefix(stage), {kind.name, 0, 0, 1e6, false, kind.help}, terms));
      all.back().help.insert(0, "weight: ");
    }
  }
  return all;
}

void share_steps(RunConfig& config, std::int64_t total) {
  const std::int64_t before = config.total_steps();
  const std::int64_t second =
      before == 0
          ? 0
          : std::llround(static_cast<double>(total) * static_cast<double>(config.stage[1].steps) /
                         static_cast<double>(before));
  config.stage[0].steps = total - second;
  config.stage[1].steps = second;
}

std::vector<Setting> all_shorthands() {
  const auto nothing = [](const RunConfig&) { return Value(std::int64_t{0}); };
  return {
      {"steps", "of the whole run, shared between the stages in the objective's proportion", 1,
       kMany, nothing,
       [](RunConfig& c, const Value& v) { share_steps(c, std::get<std::int64_t>(v)); }},
      {"batch", "images a step in both stages", 1, 65536, nothing,
       [](RunConfig& c, const Value& v) {
         c.stage[0].batch = c.stage[1].batch = std::get<std::int64_t>(v);
       }},
      {"learning_rate", "in both stages", 1e-12, 10, [](const RunConfig&) { return Value(0.0); },
       [](RunConfig& c, const Value& v) {
         c.stage[0].learning_rate = c.stage[1].learning_rate = std::get<double>(v);
       }},
  };
}

void apply(RunConfig& config, const Setting& setting, const GivenSetting& given) {
  Value value = given.value;
  const Value sample = setting.get(config);
  if (std::holds_alternative<double>(sample) && std::holds_alternative<std::int64_t>(value))
    value = static_cast<double>(std::get<std::int64_t>(value));
  if (value.index() != sample.index())
    throw UserError(given.origin + " is " + to_text(given.value) + ", wanted " +
                    std::string(type_name(sample)));
  const bool is_number =
      std::holds_alternative<double>(value) || std::holds_alternative<std::int64_t>(value);
  if (is_number) {
    const double number = std::holds_alternative<double>(value)
                              ? std::get<double>(value)
                              : static_cast<double>(std::get<std::int64_t>(value));
    if (!(number >= setting.least && number <= setting.most)) {
      std::ostringstream text;
      text << given.origin << " is " << to_text(given.value) << ", wanted " << type_name(sample)
           << " from " << setting.least << " to " << setting.most;
      throw UserError(text.str());
    }
  }
  setting.set(config, value);
}

// Demands on several settings at once.
void check(const RunConfig& config) {
  if (config.data.empty()) throw UserError("data is empty, wanted a source or a folder");
  if (config.image_size % 2 != 0)
    throw UserError("image_size is " + std::to_string(config.image_size) +
                    ", wanted an even number");
  if (config.channels % 4 != 0)
    throw UserError("channels is " + std::to_string(config.channels) + ", wanted a multiple of 4");
  if (config.total_steps() == 0)
    throw UserError("stage1.steps and stage2.steps are both 0, wanted at least one step");
  for (int stage = 0; stage < 2; ++stage) {
    const StageConfig& s = config.stage[stage];
    const bool any = std::ranges::any_of(term_kinds(), [&](const TermKind& kind) {
      const auto weight = s.terms.find(kind.name);
      return weight != s.terms.end() && weight->second != 0;
    });
    if (s.steps > 0 && !any)
      throw UserError("stage" + std::to_string(stage + 1) +
                      " has steps but no term with a weight; the terms are " + term_names());
  }
}

void collect(const toml::table& table, const std::string& prefix, const std::string& file,
             std::vector<GivenSetting>& out) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    const std::string origin = file + ":" + std::to_string(node.source().begin.line) + ": " + key;
    if (const toml::table* inner = node.as_table();
        inner != nullptr && prefix.empty() && (key == "stage1" || key == "stage2")) {
      collect(*inner, key + ".", file, out);
      continue;
    }
    if (find_setting(key) == nullptr)
      throw UserError(origin + " is not a setting; `osc train --help` lists them" +
                      (prefix.empty() ? "" : ". The terms of an objective are " + term_names()));
    node.visit([&](const auto& value) {
      if constexpr (toml::is_string<decltype(value)> || toml::is_number<decltype(value)> ||
                    toml::is_boolean<decltype(value)>) {
        out.push_back({key, value.get(), origin});
      } else {
        throw UserError(origin +
                        " is a table, a list or a date, wanted a string, a number, or "
                        "true or false");
      }
    });
  }
}

}  // namespace

std::string to_text(const Value& value) {
  return std::visit(
      [](const auto& x) -> std::string {
        using T = std::decay_t<decltype(x)>;
        if constexpr (std::is_same_v<T, std::string>) {
          std::ostringstream text;
          text << toml::value<std::string>(x);
          return text.str();
        } else if constexpr (std::is_same_v<T, bool>) {
          return x ? "true" : "false";
        } else if constexpr (std::is_same_v<T, double>) {
          char digits[32];
          // The shortest digits that read back as the same number.
          std::string text(digits, std::to_chars(digits, digits + sizeof digits, x).ptr);
          return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
        } else {
          return std::to_string(x);
        }
      },
      value);
}

const std::vector<Setting>& settings() {
  static const std::vector<Setting> all = all_settings();
  return all;
}

const std::vector<Setting>& shorthands() {
  static const std::vector<Setting> all = all_shorthands();
  return all;
}

const Setting* find_setting(std::string_view key) {
  const Setting* shorthand = find_in(shorthands(), key);
  return shorthand != nullptr ? shorthand : find_in(settings(), key);
}

RunConfig preset(const std::string& objective) {
  RunConfig config;
  config.objective = objective;
  config.stage[1].batch = 32;
  config.stage[1].warm_up = 50;
  config.stage[1].final_rate = 0.05;
  config.stage[1].crop_area = 0.6;
  config.stage[1].mirror = true;
  if (objective == "recipe") {
    config.stage[0].steps = 2400;
    config.stage[1].steps = 400;
    config.stage[0].terms["explain"] = 1;
    config.stage[1].terms["contrastive"] = 1;
  } else if (objective == "paper") {
    config.stage[0].steps = 2400;
    config.stage[0].crop_area = 0.6;
    config.stage[0].terms["global"] = 1;
    config.stage[0].terms["similarity"] = 1;
  } else {
    throw UserError("objective is \"" + objective + "\", wanted recipe or paper");
  }
  return config;
}

std::vector<GivenSetting> read_toml(const std::filesystem::path& path) {
  const std::string file = path.string();
  const std::string text = read_file(path, kMaxConfigBytes);
  with_prefix(file + ": ", [&] { check_toml_nesting(text); });
  std::vector<GivenSetting> given;
  try {
    collect(toml::parse(text, file), "", file, given);
  } catch (const toml::parse_error& error) {
    throw UserError(file + ":" + std::to_string(error.source().begin.line) + ": " +
                    std::string(error.description()));
  }
  return given;
}

RunConfig make_config(const std::vector<GivenSetting>& given) {
  std::string objective = RunConfig().objective;
  for (const GivenSetting& one : given) {
    if (one.key != "objective") continue;
    if (!std::holds_alternative<std::string>(one.value))
      throw UserError(one.origin + " is " + to_text(one.value) + ", wanted a string");
    objective = std::get<std::string>(one.value);
  }
  RunConfig config = preset(objective);
  for (const GivenSetting& one : given) {
    if (const Setting* shorthand = find_in(shorthands(), one.key)) apply(config, *shorthand, one);
  }
  for (const GivenSetting& one : given) {
    if (const Setting* setting = find_in(settings(), one.key)) apply(config, *setting, one);
  }
  check(config);
  return config;
}

std::string to_toml(const RunConfig& config) {
  std::ostringstream text;
  std::string table;
  for (const Setting& setting : settings()) {
    const std::size_t dot = setting.key.find('.');
    const std::string name = dot == std::string::npos ? setting.key : setting.key.substr(dot + 1);
    if (dot != std::string::npos && setting.key.substr(0, dot) != table) {
      table = setting.key.substr(0, dot);
      text << "\n[" << table << "]\n";
    }
    text << name << " = " << to_text(setting.get(config)) << "  # " << setting.help << "\n";
  }
  return text.str();
}

}  // namespace osc::program
