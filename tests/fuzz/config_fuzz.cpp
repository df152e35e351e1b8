// config.toml. A configuration that is accepted survives being written and read again.
#include <fstream>

#include "expect.hpp"
#include "samples.hpp"
#include "temporary_folder.hpp"
#include "training/config.hpp"

namespace osc::program {
namespace {

std::string sample(Random& random) { return to_toml(preset(pick(random, 0, 1) ? "recipe" : "paper")); }

// Its text, or nothing where it is refused.
std::string accepted(std::string_view toml) {
  static const TemporaryFolder folder;
  std::ofstream(folder / "config.toml", std::ios::binary).write(toml.data(), std::ssize(toml));
  return read_or([&] { return to_toml(make_config(read_toml(folder / "config.toml"))); }, "");
}

void fuzz(std::string_view bytes) {
  const std::string text = accepted(bytes);
  if (!text.empty()) OSC_EXPECT(accepted(text) == text, "what was written is not what is read:\n%s\n%s", text.c_str(), accepted(text).c_str());
}

}  // namespace
}  // namespace osc::program

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed) {
  return osc::program::mutate(data, size, max_size, seed, osc::program::sample, [](std::string&) {});
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  osc::program::fuzz(osc::program::text_of(data, size));
  return 0;
}
