// Sizes of the caller: their type, and products, which may overflow.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>

namespace osc::cpu {

using Index = std::int64_t;  // counts, sizes, strides and places of elements

// The most bytes that a difference of pointers can count.
inline constexpr Index kMaxBytes = std::numeric_limits<std::ptrdiff_t>::max();

// The product of sizes, rounded.
inline double product(std::initializer_list<Index> sizes) noexcept {
  double product = 1;
  for (const Index size : sizes) product *= static_cast<double>(size);
  return product;
}

// Whether the product of sizes that are not negative is a number of bytes that there can be. A zero
// makes it zero, whatever the other sizes are.
inline bool product_fits(std::initializer_list<Index> sizes) noexcept {
  Index product = 1;
  bool overflows = false;
  for (const Index size : sizes) {
    if (size == 0) return true;
    overflows |= __builtin_mul_overflow(product, size, &product);
  }
  return !overflows;
}

}  // namespace osc::cpu
