#include "commands/run_outputs.hpp"

#include <algorithm>

#include "support/outputs.hpp"
#include "training/run_data.hpp"

namespace osc::program {

void check_run_outputs(const RunFolder& run, const RunConfig& config,
                       const std::vector<std::filesystem::path>& outputs,
                       std::vector<std::filesystem::path> inputs) {
  for (const std::filesystem::path& file : run.files()) {
    if (std::ranges::find(outputs, file) == outputs.end()) inputs.push_back(file);
  }
  std::ranges::move(data_files(config), std::back_inserter(inputs));
  std::vector<Output> named;
  for (const std::filesystem::path& path : outputs) named.push_back({path.string(), path});
  check_outputs(named, inputs);
}

}  // namespace osc::program
