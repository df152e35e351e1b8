#include <cstdio>

#include "commands/commands.hpp"
#include "commands/finish_run.hpp"
#include "commands/run_outputs.hpp"
#include "commands/threads.hpp"
#include "support/text.hpp"

namespace osc::program {

void add_report_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("report", "Write a run's report.html again");
  const auto folder = std::make_shared<std::string>();
  command->add_option("RUN", *folder, "the run's folder")->required();
  command->callback([folder] {
    const RunFolder run = open_run(*folder);
    const RunConfig config = read_config(run);
    check_run_outputs(run, config, {run.report()});
    write_report(run, config, held_out_images(config, use_threads(config.threads)));
    std::printf("%s\n", printable(run.report().string()).c_str());
  });
}

}  // namespace osc::program
