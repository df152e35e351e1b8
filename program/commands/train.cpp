#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>

#include "commands/commands.hpp"
#include "commands/runs.hpp"
#include "evaluation/evaluate.hpp"
#include "report/numbers.hpp"
#include "support/error.hpp"
#include "support/text.hpp"
#include "training/trainer.hpp"

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
  for (const auto& [key, text] : flags.settings)
    given.push_back({key, value_of(text, find_setting(key)->get(RunConfig())), flag_name(key)});
  return make_config(given);
}

// The folder of the run: --out, or else runs/NAME with the name of the data.
fs::path out_of(const TrainFlags& flags, const RunConfig& config) {
  if (!flags.out.empty()) return flags.out;
  const fs::path data = fs::path(config.data).lexically_normal();
  return fs::path("runs") / (data.has_filename() ? data : data.parent_path()).filename();
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A moving average of the seconds a step takes, of the current stage.
class Pace {
 public:
  void add(int stage, double seconds) {
    if (stage != stage_) seconds_ = seconds;
    stage_ = stage;
    constexpr double kMemory = 0.95;
    seconds_ = kMemory * seconds_ + (1 - kMemory) * seconds;
  }
  double seconds() const { return seconds_; }

 private:
  int stage_ = 0;
  double seconds_ = 0;
};

std::string progress_line(const RunConfig& config, const Trainer::StepReport& report,
                          double images_per_second, double seconds_left) {
  char text[160];
  std::snprintf(text, sizeof text, "stage %d/2  step %lld/%lld  loss %.4f", report.stage,
                static_cast<long long>(report.step), static_cast<long long>(config.total_steps()),
                report.loss);
  std::string line = text;
  std::snprintf(text, sizeof text, "  %.0f images/s  %s left", images_per_second,
                duration(seconds_left).c_str());
  line += text;
  if (report.terms.size() > 1) {  // last, since a narrow terminal cuts the line
    for (const auto& [name, loss] : report.terms) {
      std::snprintf(text, sizeof text, "  %s %.4f", name.c_str(), loss);
      line += text;
    }
  }
  return line;
}

// Trains to the last step. `followed` are scored now and then where they have masks. Throws
// Interrupted, after a checkpoint, when the user stops the training.
void run_training(const RunFolder& run, const RunConfig& config, Trainer& trainer,
                  const ImageSet& followed, Progress& progress) {
  MetricsLog log(run, trainer.step_count());
  const Clock::time_point start = Clock::now();
  Pace pace;
  const auto save = [&] { write_checkpoint(run.checkpoint(), trainer.checkpoint()); };
  while (trainer.step_count() < config.total_steps()) {
    const Clock::time_point step_start = Clock::now();
    const Trainer::StepReport report = trainer.step();
    pace.add(report.stage, seconds_since(step_start));
    const double images_per_second =
        static_cast<double>(config.stage[report.stage - 1].batch) / pace.seconds();

    nlohmann::ordered_json line;
    line["step"] = report.step;
    line["stage"] = report.stage;
    line["loss"] = report.loss;
    for (const auto& [name, loss] : report.terms) line[name] = loss;
    line["learning_rate"] = report.learning_rate;
    line["gradient_norm"] = report.gradient_norm;
    line["images_per_second"] = images_per_second;
    line["seconds"] = log.seconds_before() + seconds_since(start);
    const bool last = report.step == config.total_steps();
    const bool end_of_stage = report.step == config.stage[0].steps;
    const bool masks_still_change = report.stage == 1;
    if (followed.has_masks() && masks_still_change && config.score_every > 0 &&
        (report.step % config.score_every == 0 || end_of_stage)) {
      const nlohmann::json scores = quick_mask_scores(trainer.model(), followed, followed.size(),
                                                      static_cast<std::uint64_t>(config.seed));
      line.update(scores);
      const auto text = [&](const char* name) { return score(number_at(scores, name)); };
      progress.say("step " + std::to_string(report.step) + ": held-out FG-ARI " + text("/fg_ari") +
                   ", ARI " + text("/ari") + ", mIoU " + text("/miou"));
    }
    log.append(line);

    if (last || report.step % config.checkpoint_every == 0) save();
    if (!last && interrupted()) {
      save();
      throw Interrupted("stopped at step " + std::to_string(report.step) + " of " +
                        std::to_string(config.total_steps()) + "; go on with: osc train --resume " +
                        run.path.string());
    }
    progress.show(
        progress_line(config, report, images_per_second,
                      pace.seconds() * static_cast<double>(config.total_steps() - report.step)));
  }
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
    with_prefix(run.path.string() + ": ",
                [&] { trainer.restore(read_checkpoint(run.checkpoint())); });
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
  run_training(run, config, trainer, images.followed, progress);

  const nlohmann::json result = score_run(run, config, images, progress);
  write_result(run, result);
  write_report(run, config, images);
  progress.say("\n" + result_text(result) + "\ntrained in " +
               duration(number_at(result, "/seconds").value_or(0)) + "; look at " +
               printable(run.report().string()));
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
      if (list == &settings() && find_setting(setting.key) != &setting) continue;
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
