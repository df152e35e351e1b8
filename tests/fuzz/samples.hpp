// A mutator for structured files. It starts from valid files. After most changes it repairs
// checksums and lengths, so that readers get past the first bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>

#include "support/error.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace osc::program {

using Random = std::mt19937;

inline int pick(Random& random, int least, int most) {
  return std::uniform_int_distribution<>(least, most)(random);
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// For LLVMFuzzerCustomMutator. sample(random): a valid file. mend(bytes): sets checksums and
// lengths right, whatever the bytes are.
template <typename Sample, typename Mend>
std::size_t mutate(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                   const Sample& sample, const Mend& mend) {
  Random random(seed);
  std::string bytes;
  if (size <= 1 || pick(random, 0, 19) == 0) {
    bytes = sample(random);
  } else {
    bytes.assign(max_size, '\0');
    std::memcpy(bytes.data(), data, size);
    bytes.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(bytes.data()), size, max_size));
  }
  if (pick(random, 0, 7) != 0) mend(bytes);
  bytes.resize(std::min(bytes.size(), max_size));
  std::memcpy(data, bytes.data(), bytes.size());
  return bytes.size();
}

// A list in a list and so on, as JSON and TOML write it: from one level to far more than are read.
inline std::string nested_lists(Random& random) {
  const std::size_t levels = std::size_t{1} << pick(random, 0, 10);
  return std::string(levels, '[') + std::string(levels, ']');
}

// How deep a value of the JSON library nests; a number or a string has no level.
template <typename Json>
int levels_of_json(const Json& json) {
  if (!json.is_structured()) return 0;
  int most = 0;
  for (const Json& value : json) most = std::max(most, levels_of_json(value));
  return most + 1;
}

// What read() returns, or fallback where it refuses with a reason, a UserError. Any other exception
// is a finding.
template <typename Read>
auto read_or(const Read& read, decltype(read()) fallback) {
  try {
    return read();
  } catch (const UserError&) {
    return fallback;
  }
}

}  // namespace osc::program
