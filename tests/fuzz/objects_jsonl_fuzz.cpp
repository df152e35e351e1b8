// objects.jsonl. What is read survives being written and read again.
#include <fstream>

#include "data/objects_jsonl.hpp"
#include "data/sources.hpp"
#include "expect.hpp"
#include "samples.hpp"
#include "temporary_folder.hpp"

namespace osc::program {
namespace {

std::string sample(Random& random) {
  std::string text;
  for (int line = pick(random, 1, 3); line > 0; --line) {
    text += objects_json_line("image" + std::to_string(line),
                              source_of("tetrominoes")
                                  .scene(static_cast<std::uint64_t>(pick(random, 0, 9)),
                                         static_cast<std::uint64_t>(line))
                                  .objects) +
            "\n";
  }
  if (pick(random, 0, 3) == 0) text.insert(1, "\"more\":" + nested_lists(random) + ",");
  return text;
}

std::string text_of_objects(const ImageObjects& objects) {
  std::string text;
  for (const auto& [image, list] : objects) text += objects_json_line(image, list) + "\n";
  return text;
}

void fuzz(std::string_view bytes) {
  static const TemporaryFolder folder;
  const auto read = [&](std::string_view text) {
    std::ofstream(folder / "objects.jsonl", std::ios::binary).write(text.data(), std::ssize(text));
    return read_or([&] { return read_objects_jsonl(folder / "objects.jsonl"); }, ImageObjects{});
  };
  const ImageObjects objects = read(bytes);
  for (const auto& [image, list] : objects) {
    for (const SceneObject& object : list)
      OSC_EXPECT(!object.category.empty(), "an object without a category");
  }
  const std::string text = text_of_objects(objects);
  OSC_EXPECT(text_of_objects(read(text)) == text, "%s", text.c_str());
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
