#include "data/generate.hpp"

#include <cstdio>

#include "commands/commands.hpp"
#include "osc/system.hpp"
#include "support/text.hpp"

namespace osc::program {

namespace {

struct GenerateFlags {
  std::string kind, out;
  std::int64_t count = 0;
  std::int64_t seed = 0;
};

}  // namespace

void add_generate_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "generate", "Write built-in scenes with their true masks as a folder of files");
  const auto flags = std::make_shared<GenerateFlags>();
  command->add_option("KIND", flags->kind, "tetrominoes")
      ->required()
      ->check(CLI::IsMember({"tetrominoes"}));
  command->add_option("--count", flags->count, "scenes")->required();
  command->add_option("--seed", flags->seed, "scene i of a seed is always the same [0]")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--out", flags->out, "a new folder: images/, masks/, objects.jsonl")
      ->required();
  command->callback([flags] {
    generate_scenes(flags->count, static_cast<std::uint64_t>(flags->seed), flags->out,
                    available_cores());
    std::printf("%lld scenes in %s\n", static_cast<long long>(flags->count),
                printable(flags->out).c_str());
  });
}

}  // namespace osc::program
