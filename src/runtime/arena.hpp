// Hands out pieces of one block of memory. With no block it only counts, so that the code that
// takes the pieces also says how much it takes.
#pragma once

#include <cstddef>

#include "runtime/sizes.hpp"

namespace osc::cpu {
namespace {

class Arena {
 public:
  static constexpr std::size_t kAlignment = 64;  // a cache line, and the widest vector
  // More bytes than any allocation can have.
  static constexpr std::size_t kTooMuch = SIZE_MAX / kAlignment * kAlignment;

  Arena() = default;
  // `block` must be aligned to kAlignment.
  explicit Arena(void* block) : block_(static_cast<char*>(block)) {}

  // Room for count * each elements, whose number may overflow.
  template <typename T>
  T* take(Index count, Index each = 1) {
    char* const piece = block_ ? block_ + used_ : nullptr;
    std::size_t bytes = sizeof(T);
    if (__builtin_mul_overflow(bytes, static_cast<std::size_t>(count), &bytes) ||
        __builtin_mul_overflow(bytes, static_cast<std::size_t>(each), &bytes))
      bytes = kTooMuch;
    bytes = aligned(bytes);
    used_ = used_ > kTooMuch - bytes ? kTooMuch : used_ + bytes;
    return reinterpret_cast<T*>(piece);
  }

  // `count` pieces of the same size: take_one(arena, i) takes what is in the i-th. Their size is
  // counted once, so that counting costs no more for many.
  template <typename TakeOne>
  void take_each(Index count, const TakeOne& take_one) {
    Arena counted;
    take_one(counted, 0);
    char* const pieces = take<char>(static_cast<Index>(counted.used()), count);
    for (Index i = 0; pieces && i < count; ++i) {
      Arena piece(pieces + static_cast<std::size_t>(i) * counted.used());
      take_one(piece, i);
    }
  }

  // The bytes taken so far; kTooMuch if they overflow.
  std::size_t used() const { return used_; }

  // Rounded up to kAlignment.
  static std::size_t aligned(std::size_t bytes) {
    return bytes > kTooMuch - kAlignment ? kTooMuch
                                         : (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

 private:
  char* block_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace
}  // namespace osc::cpu
