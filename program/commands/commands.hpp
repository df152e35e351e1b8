// The subcommands of osc. Each function adds one with its flags.
#pragma once

#include <CLI/CLI.hpp>

namespace osc::program {

void add_train_command(CLI::App& program);
void add_eval_command(CLI::App& program);
void add_report_command(CLI::App& program);
void add_segment_command(CLI::App& program);
void add_find_command(CLI::App& program);
void add_generate_command(CLI::App& program);
void add_loss_command(CLI::App& program);
void add_info_command(CLI::App& program);

}  // namespace osc::program
