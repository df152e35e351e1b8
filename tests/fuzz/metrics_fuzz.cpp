// metrics.jsonl. A run that goes on keeps the lines of its steps, and reads them again as they
// were.
#include <fstream>

#include "expect.hpp"
#include "samples.hpp"
#include "support/json.hpp"
#include "temporary_folder.hpp"
#include "training/run_folder.hpp"

namespace osc::program {
namespace {

constexpr std::int64_t kLastStep = 3;

std::string sample(Random& random) {
  const nlohmann::json odd[] = {nullptr, "text", -1, 1e300, nlohmann::json::array()};
  std::string text;
  for (int step = 1; step <= 5; ++step) {
    nlohmann::json line{{"stage", 1},
                        {"step", step},
                        {"loss", pick(random, 0, 99) / 100.0},
                        {"seconds", step * 0.5}};
    if (pick(random, 0, 9) == 0)
      std::next(line.begin(), pick(random, 0, 3)).value() = odd[pick(random, 0, 4)];
    std::string written = line.dump();
    if (pick(random, 0, 9) == 0) written.insert(1, "\"more\":" + nested_lists(random) + ",");
    text += written + "\n";
  }
  return text + "{\"step\":";  // as a killed process leaves it
}

void fuzz(std::string_view bytes) {
  static const TemporaryFolder folder;
  const RunFolder run{folder.path()};
  std::ofstream(run.metrics(), std::ios::binary).write(bytes.data(), std::ssize(bytes));
  using Lines = std::vector<nlohmann::ordered_json>;
  const Lines lines = read_or([&] { return read_metrics(run); }, Lines{});
  if (lines.empty()) return;
  for (const auto& line : lines) {
    OSC_EXPECT(levels_of_json(line) <= kMaxNesting, "%d levels", levels_of_json(line));
    OSC_EXPECT(line["step"].is_number_integer(), "%s", line.dump().c_str());
  }
  const double seconds = read_or([&] { return MetricsLog(run, kLastStep).seconds_before(); }, -1.0);
  if (seconds == -1) return;
  const Lines kept = read_metrics(run);
  OSC_EXPECT(kept.size() <= lines.size() && std::equal(kept.begin(), kept.end(), lines.begin()),
             "other lines are kept than were there");
  OSC_EXPECT(kept.size() == lines.size() || lines[kept.size()]["step"] > kLastStep,
             "a line of a step before the last is lost");
}

}  // namespace
}  // namespace osc::program

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  return osc::program::mutate(data, size, max_size, seed, osc::program::sample,
                              [](std::string&) {});
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  osc::program::fuzz(osc::program::text_of(data, size));
  return 0;
}
