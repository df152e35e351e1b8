// config.toml. A configuration that is accepted survives being written and read again.
#include <fstream>
#include <optional>

#include "expect.hpp"
#include "samples.hpp"
#include "temporary_folder.hpp"
#include "training/config.hpp"

namespace osc::program {
namespace {

std::string sample(Random& random) {
  return to_toml(preset(pick(random, 0, 1) ? "recipe" : "paper"));
}

// Nothing where it is refused.
std::optional<RunConfig> accepted(std::string_view toml) {
  static const TemporaryFolder folder;
  std::ofstream(folder / "config.toml", std::ios::binary).write(toml.data(), std::ssize(toml));
  return read_or([&] { return std::optional(make_config(read_toml(folder / "config.toml"))); },
                 std::nullopt);
}

void fuzz(std::string_view bytes) {
  const std::optional<RunConfig> config = accepted(bytes);
  if (!config) return;
  const std::string text = to_toml(*config);
  const std::optional<RunConfig> again = accepted(text);
  OSC_EXPECT(again, "what is written is refused:\n%s", text.c_str());
  for (const Setting& setting : settings())
    OSC_EXPECT(setting.get(*again) == setting.get(*config), "%s is another one in:\n%s",
               setting.key.c_str(), text.c_str());
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
