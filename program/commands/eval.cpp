#include <cstdio>

#include "commands/commands.hpp"
#include "commands/finish_run.hpp"
#include "commands/run_outputs.hpp"
#include "commands/threads.hpp"
#include "support/error.hpp"

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
  Progress progress(flags.json ? Progress::Kind::silent : Progress::Kind::shown);
  HeldOutImages images;
  if (flags.data.empty()) {
    images = held_out_images(config, threads);
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
    std::printf("%s\n",
                result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
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
                   "with --data: another such folder, searched for objects of the same kind")
      ->needs("--data");
  command->add_option("--threads", flags->threads, "0: the cores that this process may use")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", flags->json, "print the result as one JSON object");
  command->callback([flags] { eval(*flags); });
}

}  // namespace osc::program
