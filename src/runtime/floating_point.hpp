// A scoped floating-point environment.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#include <cfenv>
#endif

namespace osc::cpu {

// While it lives, this thread rounds to nearest and computes with denormal numbers. Hosts set other
// modes on their threads (XLA flushes denormals to zero, and PyTorch can), and results would depend
// on which thread computed them.
class ScopedFloatingPoint {
 public:
  ScopedFloatingPoint(const ScopedFloatingPoint&) = delete;
  ScopedFloatingPoint& operator=(const ScopedFloatingPoint&) = delete;

#if defined(__x86_64__)
  ScopedFloatingPoint() noexcept : before_(_mm_getcsr()) {
    if ((before_ & ~kFlags) != kDefault) _mm_setcsr(kDefault);
  }
  ~ScopedFloatingPoint() {
    if ((before_ & ~kFlags) != kDefault) _mm_setcsr(before_);
  }

 private:
  static constexpr unsigned kFlags = 0x3f, kDefault = 0x1f80;
  unsigned before_;
#elif defined(__aarch64__)
  ScopedFloatingPoint() noexcept {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    if (before_ != 0) asm volatile("msr fpcr, %0" : : "r"(std::uint64_t{0}));
  }
  ~ScopedFloatingPoint() {
    if (before_ != 0) asm volatile("msr fpcr, %0" : : "r"(before_));
  }

 private:
  std::uint64_t before_;
#else
  ScopedFloatingPoint() noexcept {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~ScopedFloatingPoint() { std::fesetenv(&before_); }

 private:
  std::fenv_t before_;
#endif
};

}  // namespace osc::cpu
