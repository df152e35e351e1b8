// config.toml. A configuration that is accepted survives being written and read again. What passes
// the check of its levels has few enough to be parsed.
#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>

#include "expect.hpp"
#include "samples.hpp"
#include "support/json.hpp"
#include "temporary_folder.hpp"
#include "training/config.hpp"

namespace osc::program {
namespace {

std::string nested_key(Random& random) {
  std::string key = "a";
  for (int dots = 1 << pick(random, 0, 8); dots > 0; --dots) key += ".b";
  return key;
}

std::string sample(Random& random) {
  const std::string valid = to_toml(preset(pick(random, 0, 1) ? "recipe" : "paper"));
  // Values whose end a scan might miss. It would then miscount the levels of what follows.
  constexpr const char* kValues[] = {"1.5",        R"('a\')",       R"("\"")",
                                     R"("\\")",    R"("")",         "\"\"\"\n\"\"\"\"\"",
                                     "'''a\n''''", "[ # it's \"\n]"};
  const char* const value = kValues[pick(random, 0, std::ssize(kValues) - 1)];
  switch (pick(random, 0, 7)) {
    case 0: return nested_key(random) + " = 1\n" + valid;
    case 1: return "[" + nested_key(random) + "]\n" + nested_key(random) + " = 1\n";
    case 2: return "x = " + nested_lists(random) + "\n" + valid;
    case 3: return std::string("x = ") + value + "\n" + nested_key(random) + " = 1\n";
    case 4:
      return std::string("x = {y = ") + value + ", " + nested_key(random) + " = " +
             nested_lists(random) + "}\n";
    default: return valid;
  }
}

std::size_t levels_of(const toml::node& node) {
  std::size_t most = 0;
  if (const toml::table* table = node.as_table()) {
    for (const auto& [key, value] : *table) most = std::max(most, levels_of(value));
  } else if (const toml::array* list = node.as_array()) {
    for (const toml::node& value : *list) most = std::max(most, levels_of(value));
  }
  return most + 1;
}

void fuzz_nesting(std::string_view bytes) {
  if (!read_or([&] { return check_toml_nesting(bytes), true; }, false)) return;
  try {
    // A header and a key below it may each have kMaxNesting parts, with a list between two parts.
    const std::size_t levels = levels_of(toml::parse(bytes));
    OSC_EXPECT(levels <= 3 * kMaxNesting + 3, "%zu levels", levels);
  } catch (const toml::parse_error&) {
  }
}

// Nothing where it is refused.
std::optional<RunConfig> accepted(std::string_view toml) {
  static const TemporaryFolder folder;
  std::ofstream(folder / "config.toml", std::ios::binary).write(toml.data(), std::ssize(toml));
  return read_or([&] { return std::optional(make_config(read_toml(folder / "config.toml"))); },
                 std::nullopt);
}

void fuzz(std::string_view bytes) {
  fuzz_nesting(bytes);
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
