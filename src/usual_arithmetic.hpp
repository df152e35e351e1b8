// The arithmetic of the thread that calls.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#include <cfenv>
#endif

namespace osc {

// While it lives, this thread rounds to nearest and takes denormal numbers for what they are. Hosts
// have their threads do otherwise (flush to zero is what XLA's and some of PyTorch's users want),
// and results would depend on whose thread computed which image.
class UsualArithmetic {
 public:
  UsualArithmetic(const UsualArithmetic&) = delete;
  UsualArithmetic& operator=(const UsualArithmetic&) = delete;

#if defined(__x86_64__)
  UsualArithmetic() noexcept : before_(_mm_getcsr()) {
    if ((before_ & ~kFlags) != kUsual) _mm_setcsr(kUsual);
  }
  ~UsualArithmetic() {
    if ((before_ & ~kFlags) != kUsual) _mm_setcsr(before_);
  }

 private:
  static constexpr unsigned kFlags = 0x3f, kUsual = 0x1f80;
  unsigned before_;
#elif defined(__aarch64__)
  UsualArithmetic() noexcept {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    if (before_ != 0) asm volatile("msr fpcr, %0" : : "r"(std::uint64_t{0}));
  }
  ~UsualArithmetic() {
    if (before_ != 0) asm volatile("msr fpcr, %0" : : "r"(before_));
  }

 private:
  std::uint64_t before_;
#else
  UsualArithmetic() noexcept {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~UsualArithmetic() { std::fesetenv(&before_); }

 private:
  std::fenv_t before_;
#endif
};

}  // namespace osc
