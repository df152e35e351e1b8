// The 16-bit floating-point numbers that networks are trained in, as elements of memory. Arithmetic
// is not theirs: functions that read them compute in float.
#pragma once

#include <cstdint>

#include "osc/export.h"

namespace osc {

// IEEE 754 binary16: 1 bit of sign, 5 of exponent, 10 of significand. The same bits as
// torch.float16, numpy.float16, _Float16 and CUDA's __half.
struct float16 {
  std::uint16_t bits = 0;
  friend bool operator==(float16, float16) = default;  // of the bits
};

// The upper half of a float. The same bits as torch.bfloat16 and CUDA's __nv_bfloat16.
struct bfloat16 {
  std::uint16_t bits = 0;
  friend bool operator==(bfloat16, bfloat16) = default;  // of the bits
};

// The conversion to float is exact.
OSC_API float to_float(float16 x) noexcept;
OSC_API float to_float(bfloat16 x) noexcept;

// Rounds to nearest, ties to even. Too large numbers become infinities; NaN stays NaN.
OSC_API float16 to_float16(float x) noexcept;
OSC_API bfloat16 to_bfloat16(float x) noexcept;

}  // namespace osc
