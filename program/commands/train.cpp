#include <algorithm>
#include <charconv>
#include <cstdio>

#include "commands/commands.hpp"
#include "commands/finish_run.hpp"
#include "commands/run_outputs.hpp"
#include "commands/threads.hpp"
#include "support/error.hpp"
#include "support/interrupt.hpp"
#include "support/text.hpp"
#include "training/training_run.hpp"

namespace osc::program {

namespace {

namespace fs = std::filesystem;

struct TrainFlags {
  std::string config, out, resume;
  bool overwrite = false;
  std::vector<std::pair<std::string, std::string>> settings;  // key and text, in the order given
};

std::string flag_name(const std::string& key) {
  std::string name = "--" + key;
  std::replace(name.begin() + 2, name.end(), '.', '-');
  std::replace(name.begin() + 2, name.end(), '_', '-');
  return name;
}

template <typename T>
bool parse_whole(const std::string& text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// Text as the TOML value that it would be, so that flags and files meet the same checks.
Setting::Value value_of(const std::string& text, const Setting::Value& sample) {
  if (std::holds_alternative<std::string>(sample)) return text;
  if (text == "true" || text == "false") return text == "true";
  if (std::int64_t integer = 0; parse_whole(text, integer)) return integer;
  if (double number = 0; parse_whole(text, number)) return number;
  return text;
}

RunConfig config_of(const TrainFlags& flags) {
  std::vector<GivenSetting> given;
  if (!flags.config.empty()) given = read_toml(flags.config);
  for (const auto& [key, text] : flags.settings) {
    const auto same_key = [&](const Setting& s) { return s.key == key; };
    const auto setting = std::find_if(settings().begin(), settings().end(), same_key);
    const Setting& found = setting != settings().end()
                               ? *setting
                               : *std::find_if(shorthands().begin(), shorthands().end(), same_key);
    given.push_back({key, value_of(text, found.get(RunConfig())), flag_name(key)});
  }
  return make_config(given);
}

// Where the run goes: runs/NAME of the data where --out does not say.
fs::path out_of(const TrainFlags& flags, const RunConfig& config) {
  if (!flags.out.empty()) return flags.out;
  const fs::path data = fs::path(config.data).lexically_normal();
  return fs::path("runs") / (data.has_filename() ? data : data.parent_path()).filename();
}

void train(const TrainFlags& flags) {
  if (!flags.resume.empty() &&
      (!flags.out.empty() || !flags.config.empty() || flags.overwrite || !flags.settings.empty())) {
    throw UserError(
        "--resume goes on with a run as config.toml in its folder says, and takes no other flag");
  }
  const bool resumes = !flags.resume.empty();
  const RunConfig config = resumes ? read_config(open_run(flags.resume)) : config_of(flags);
  const RunFolder run{resumes ? fs::path(flags.resume) : out_of(flags, config)};
  if (resumes) {
    check_run_outputs(run, config, {run.metrics(), run.checkpoint(), run.result(), run.report()});
  } else if (flags.overwrite) {
    check_run_outputs(run, config, run.files(), {flags.config});
  }
  const int threads = use_threads(config.threads);
  Progress progress;
  const RunImages images = run_images(config, threads);
  for (const std::string& line : images.trained.skipped)
    progress.say("skipped: " + printable(line));

  Trainer trainer(config, images.trained);
  if (resumes && fs::exists(run.checkpoint())) {
    try {
      trainer.restore(read_checkpoint(run.checkpoint()));
    } catch (const UserError& error) {
      throw UserError(run.path.string() + ": " + error.what());
    }
  }
  if (!resumes) create_run(run, config, flags.overwrite);
  const RunLock lock(run);
  if (resumes) remove_abandoned_temporaries(run);
  catch_interrupts();
  const std::string name = printable(run.path.string());
  if (resumes && trainer.step_count() == config.total_steps())
    progress.say(name + " is trained to its last step; scoring it again");
  progress.say((resumes ? "resuming " + name + " after step " + std::to_string(trainer.step_count())
                        : "training in " + name) +
               ": " + std::to_string(images.trained.size()) + " images, " +
               std::to_string(config.total_steps()) + " steps, " + std::to_string(threads) +
               " threads");
  run_training(run, config, trainer, images.held_out.followed, progress);

  const nlohmann::json result = score_run(run, config, images.held_out, progress);
  write_result(run, result);
  write_report(run, config, images.held_out);
  const double seconds = result["seconds"].is_number() ? result["seconds"].get<double>() : 0;
  progress.say("\n" + result_text(result) + "\ntrained in " + duration_text(seconds) +
               "; look at " + printable(run.report().string()));
}

}  // namespace

void add_train_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "train", "Learn objects from images, score the result, and write a report");
  const auto flags = std::make_shared<TrainFlags>();
  command->add_option("--out", flags->out,
                      "the run's folder; runs/NAME of the data where none is given");
  command->add_option("--config", flags->config, "a TOML file of the settings below; flags win");
  command->add_option("--resume", flags->resume,
                      "go on with this unfinished run, from its last checkpoint");
  command->add_flag("--overwrite", flags->overwrite, "replace the run that --out holds");
  for (const std::vector<Setting>* list : {&shorthands(), &settings()}) {
    for (const Setting& setting : *list) {
      const bool taken = list == &settings() &&
                         std::any_of(shorthands().begin(), shorthands().end(),
                                     [&](const Setting& s) { return s.key == setting.key; });
      if (taken) continue;
      const std::string standard =
          list == &settings() ? " [" + to_text(setting.get(preset("recipe"))) + "]" : "";
      command
          ->add_option_function<std::string>(
              flag_name(setting.key),
              [flags, key = setting.key](const std::string& text) {
                flags->settings.emplace_back(key, text);
              },
              setting.help + standard)
          ->group(setting.key.starts_with("stage1")   ? "Stage 1: find the objects"
                  : setting.key.starts_with("stage2") ? "Stage 2: make each recognisable"
                                                      : "Settings");
    }
  }
  command->callback([flags] { train(*flags); });
}

}  // namespace osc::program
