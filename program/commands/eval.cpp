#include <cstdio>

#include "commands/commands.hpp"
#include "commands/runs.hpp"
#include "support/error.hpp"
#include "support/json.hpp"
#include "support/text.hpp"

namespace osc::program {
namespace {

struct EvalFlags {
  std::string run, data, gallery;
  std::int64_t threads = 0;
  bool json = false;
};

void eval(const EvalFlags& flags) {
  const RunFolder run = open_run(flags.run);
  const RunConfig config = read_config(run);
  const int threads = use_threads(flags.threads);
  if (flags.data.empty()) check_run_outputs(run, config, {run.result()});
  Progress progress(/*silent=*/flags.json);
  RunImages images;
  if (flags.data.empty()) {
    images = run_images(config, threads, Needs::held_out);
  } else {
    images.scored = read_image_set(flags.data, static_cast<int>(config.image_size), threads);
    if (!images.scored.has_masks())
      throw UserError(
          flags.data +
          " has no masks to score against; wanted masks/NAME.png for each images/NAME.png");
    if (!flags.gallery.empty())
      images.gallery = read_image_set(flags.gallery, static_cast<int>(config.image_size), threads);
  }
  const nlohmann::json result = score_run(run, config, images, progress);
  if (flags.data.empty()) write_result(run, result);
  if (flags.json) {
    std::printf("%s\n", json_text(result).c_str());
  } else {
    progress.say(result_text(result));
  }
}

}  // namespace

void add_eval_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "eval", "Score a run on held-out images, beside baselines, and write its result.json");
  const auto flags = std::make_shared<EvalFlags>();
  command->add_option("RUN", flags->run, "the run's folder")->required();
  command->add_option("--data", flags->data,
                      "score a folder with images/, masks/ and objects.jsonl instead; prints, and "
                      "leaves result.json alone");
  command
      ->add_option("--gallery", flags->gallery,
                   "with --data: another such folder, searched for objects of the same category")
      ->needs("--data");
  command->add_option("--threads", flags->threads, "0: the cores that this process may use")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", flags->json, "print the result as one JSON object");
  command->callback([flags] { eval(*flags); });
}

void add_report_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("report", "Write a run's report.html again");
  const auto folder = std::make_shared<std::string>();
  command->add_option("RUN", *folder, "the run's folder")->required();
  command->callback([folder] {
    const RunFolder run = open_run(*folder);
    const RunConfig config = read_config(run);
    check_run_outputs(run, config, {run.report()});
    write_report(run, config, run_images(config, use_threads(config.threads), Needs::held_out));
    std::printf("%s\n", printable(run.report().string()).c_str());
  });
}

}  // namespace osc::program
