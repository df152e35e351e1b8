// Hands out pieces of one block of memory. With no block it only counts, so that the code that
// takes the pieces also says how much it takes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace osc::cpu {
namespace {

class Arena {
 public:
  static constexpr std::size_t kAlignment = 64;  // a cache line, and the widest vector

  Arena() = default;
  // `block` must be aligned to kAlignment.
  explicit Arena(void* block) : block_(static_cast<char*>(block)) {}

  template <typename T>
  T* take(std::int64_t count) {
    char* const piece = block_ ? block_ + used_ : nullptr;
    used_ = plus(used_, aligned_product(static_cast<std::size_t>(count), sizeof(T)));
    return reinterpret_cast<T*>(piece);
  }

  // kTooMuch where it is more than there can be.
  std::size_t used() const { return used_; }
  static constexpr std::size_t kTooMuch = SIZE_MAX / kAlignment * kAlignment;

  static std::size_t plus(std::size_t a, std::size_t b) {
    return a > kTooMuch - b ? kTooMuch : a + b;
  }
  // Rounded up to kAlignment.
  static std::size_t aligned_product(std::size_t a, std::size_t b) {
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(a, b, &bytes) || bytes > kTooMuch - kAlignment) return kTooMuch;
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

 private:
  char* block_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace
}  // namespace osc::cpu
