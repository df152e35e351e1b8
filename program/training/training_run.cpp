#include "training/training_run.hpp"

#include <chrono>
#include <cstdio>
#include <limits>

#include "evaluation/evaluate.hpp"
#include "support/error.hpp"
#include "support/interrupt.hpp"

namespace osc::program {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Seconds a step, of the latest steps of a stage: stages differ.
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
                duration_text(seconds_left).c_str());
  line += text;
  if (report.terms.size() > 1) {  // last, since a narrow terminal cuts the line
    for (const auto& [name, loss] : report.terms) {
      std::snprintf(text, sizeof text, "  %s %.4f", name.c_str(), loss);
      line += text;
    }
  }
  return line;
}

}  // namespace

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
      for (const char* score : {"fg_ari", "ari", "miou"}) line[score] = scores[score];
      const auto number = [&](const char* score) {
        return scores[score].is_number() ? scores[score].get<double>()
                                         : std::numeric_limits<double>::quiet_NaN();
      };
      char text[96];
      std::snprintf(text, sizeof text, "step %lld: held-out FG-ARI %.3f, ARI %.3f, mIoU %.3f",
                    static_cast<long long>(report.step), number("fg_ari"), number("ari"),
                    number("miou"));
      progress.say(text);
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

}  // namespace osc::program
