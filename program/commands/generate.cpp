#include <cstdio>

#include "commands/commands.hpp"
#include "data/sources.hpp"
#include "osc/system.hpp"
#include "support/text.hpp"

namespace osc::program {
namespace {

struct GenerateFlags {
  std::string source, out;
  std::int64_t count = 0;
  std::int64_t seed = 0;
};

}  // namespace

void add_generate_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "generate", "Write generated scenes with their ground truth as a folder of files");
  const auto flags = std::make_shared<GenerateFlags>();
  std::vector<std::string> names;
  for (const ImageSource* source : image_sources()) {
    if (source->scene != nullptr) names.emplace_back(source->name);
  }
  command->add_option("SOURCE", flags->source, "the source of the scenes")
      ->required()
      ->check(CLI::IsMember(names));
  command->add_option("--count", flags->count, "scenes")->required();
  command->add_option("--seed", flags->seed, "scene i of a seed is always the same [0]")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--out", flags->out, "a new folder: images/, masks/, objects.jsonl")
      ->required();
  command->callback([flags] {
    generate_scenes(source_of(flags->source), flags->count, static_cast<std::uint64_t>(flags->seed),
                    flags->out, available_cores());
    std::printf("%lld scenes in %s\n", static_cast<long long>(flags->count),
                printable(flags->out).c_str());
  });
}

}  // namespace osc::program
