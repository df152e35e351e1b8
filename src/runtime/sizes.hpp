// Sizes that come from outside are multiplied with care.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>

namespace osc::cpu {

// Of an object that a pointer can span.
inline constexpr std::int64_t kMaxBytes = std::numeric_limits<std::ptrdiff_t>::max();

// Whether the product of sizes that are not negative is a number of bytes that there can be. A zero
// makes it zero, whatever the other sizes are.
inline bool product_fits(std::initializer_list<std::int64_t> sizes) noexcept {
  std::int64_t product = 1;
  bool overflows = false;
  for (const std::int64_t size : sizes) {
    if (size == 0) return true;
    overflows |= __builtin_mul_overflow(product, size, &product);
  }
  return !overflows;
}

}  // namespace osc::cpu
