// Hands out pieces of one block of memory. With no block it only counts, so that the code that takes the pieces also says how much it takes.
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
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return reinterpret_cast<T*>(piece);
  }

  std::size_t used() const { return used_; }

 private:
  char* block_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace
}  // namespace osc::cpu
