// Sizes that come from outside are multiplied with care.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>

namespace osc {

inline constexpr std::int64_t kMaxBytes = std::numeric_limits<std::ptrdiff_t>::max();

// The product of sizes that are not negative, or nothing where it does not fit. A zero makes it
// zero, whatever the other sizes are.
inline std::optional<std::int64_t> product(std::initializer_list<std::int64_t> sizes) {
  for (const std::int64_t size : sizes) {
    if (size == 0) return 0;
  }
  std::int64_t result = 1;
  for (const std::int64_t size : sizes) {
    if (size > kMaxBytes / result) return std::nullopt;
    result *= size;
  }
  return result;
}

// Whether elements (0, …) to (size - 1, …) of the given strides lie within an object that a pointer
// can span.
struct Extent {
  std::int64_t size;
  std::int64_t stride;
};
inline bool spans_memory(std::initializer_list<Extent> extents, std::int64_t element_bytes) {
  std::int64_t left = kMaxBytes / element_bytes - 1;
  for (const auto& [size, stride] : extents) {
    if (size <= 1 || stride == 0) continue;
    if (stride == std::numeric_limits<std::int64_t>::min()) return false;
    const std::int64_t step = stride < 0 ? -stride : stride;
    if (size - 1 > left / step) return false;
    left -= (size - 1) * step;
  }
  return true;
}

}  // namespace osc
