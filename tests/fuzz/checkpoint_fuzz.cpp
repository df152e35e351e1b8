// The checkpoint. What is read survives being written and read again, bit by bit.
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "expect.hpp"
#include "mend_checkpoint.hpp"
#include "samples.hpp"
#include "temporary_folder.hpp"
#include "training/checkpoint.hpp"

namespace osc::program {
namespace {

const TemporaryFolder& folder() {
  static const TemporaryFolder made;
  return made;
}

std::string written(const Checkpoint& checkpoint) {
  write_checkpoint(folder() / "written", checkpoint);
  std::ifstream file(folder() / "written", std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string sample(Random& random) {
  Checkpoint checkpoint;
  for (int count = pick(random, 0, 3); count > 0; --count)
    checkpoint.metadata["key" + std::to_string(count)] = "value";
  for (int count = pick(random, 0, 3); count > 0; --count) {
    std::vector<std::int64_t> shape(static_cast<std::size_t>(pick(random, 0, 3)));
    for (std::int64_t& size : shape) size = pick(random, 0, 3);
    checkpoint.tensors["tensor" + std::to_string(count)] =
        pick(random, 0, 1) ? torch::full(shape, count, torch::kInt64)
                           : torch::full(shape, 0.5, torch::kFloat32);
  }
  std::string bytes = written(checkpoint);
  constexpr std::string_view kShape = "\"shape\":";
  if (const std::size_t at = bytes.find(kShape); at != std::string::npos && pick(random, 0, 3) == 0)
    bytes.insert(at + kShape.size(), nested_lists(random) + ",\"more\":");
  mend_checkpoint(bytes);
  return bytes;
}

void fuzz(std::string_view bytes) {
  std::ofstream(folder() / "checkpoint", std::ios::binary).write(bytes.data(), std::ssize(bytes));
  const Checkpoint refused{{{"refused", ""}}, {}};
  const Checkpoint checkpoint =
      read_or([&] { return read_checkpoint(folder() / "checkpoint"); }, refused);
  if (checkpoint.metadata == refused.metadata) return;
  const std::string again = written(checkpoint);
  OSC_EXPECT(written(read_checkpoint(folder() / "written")) == again,
             "a checkpoint that is written and read again is another one");
}

}  // namespace
}  // namespace osc::program

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  return osc::program::mutate(data, size, max_size, seed, osc::program::sample,
                              osc::program::mend_checkpoint);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  osc::program::fuzz(osc::program::text_of(data, size));
  return 0;
}
