// .npy files. What is read has as many values as its shape, and survives being written and read
// again.
#include <cstring>
#include <variant>
#include <vector>

#include "data/npy.hpp"
#include "expect.hpp"
#include "samples.hpp"

namespace osc::program {
namespace {

template <typename Value>
std::string sample_of(Random& random) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(pick(random, 0, 4)));
  std::size_t count = 1;
  for (std::int64_t& size : shape) count *= static_cast<std::size_t>(size = pick(random, 0, 4));
  std::vector<Value> values(count);
  for (Value& value : values) value = static_cast<Value>(pick(random, -1000, 1000)) / 8;
  std::string bytes = encode_npy(shape, values);
  const auto replace = [&](std::string_view from, std::string_view to) {
    if (const std::size_t at = bytes.find(from); at != std::string::npos && pick(random, 0, 1) == 1)
      bytes.replace(at, from.size(), to);
  };
  replace("'<f", "'>f");
  replace("False", "True ");
  return bytes;
}

std::string sample(Random& random) {
  return pick(random, 0, 1) == 0 ? sample_of<float>(random) : sample_of<double>(random);
}

// The length of the header, where one ends with a line feed.
void mend(std::string& bytes) {
  constexpr std::size_t kBegin = 10;
  const std::size_t end = bytes.find('\n', kBegin);
  if (end == std::string::npos || bytes.size() < kBegin) return;
  bytes[8] = static_cast<char>((end + 1 - kBegin) & 0xff);
  bytes[9] = static_cast<char>((end + 1 - kBegin) >> 8 & 0xff);
}

void fuzz(std::string_view bytes) {
  const NpyArray none{{-1}, {}};
  const NpyArray array = read_or([&] { return decode_npy(bytes); }, none);
  if (array.shape == none.shape) return;
  std::visit(
      [&](const auto& values) {
        std::size_t count = 1;
        for (const std::int64_t size : array.shape) count *= static_cast<std::size_t>(size);
        OSC_EXPECT(values.size() == count, "%zu values", values.size());
        const NpyArray again = decode_npy(encode_npy(array.shape, values));
        const auto& same = std::get<std::decay_t<decltype(values)>>(again.values);
        OSC_EXPECT(again.shape == array.shape && same.size() == count &&
                       (count == 0 ||
                        std::memcmp(same.data(), values.data(), count * sizeof values[0]) == 0),
                   "an array that is written and read again is another one");
      },
      array.values);
}

}  // namespace
}  // namespace osc::program

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  return osc::program::mutate(data, size, max_size, seed, osc::program::sample, osc::program::mend);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  osc::program::fuzz(osc::program::text_of(data, size));
  return 0;
}
