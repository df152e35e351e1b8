#include "osc/float16.hpp"

#include "simd/bits16.hpp"

namespace osc {

float to_float(float16 x) noexcept { return cpu::float_of_half(x.bits); }
float to_float(bfloat16 x) noexcept { return cpu::float_of_bfloat(x.bits); }
float16 to_float16(float x) noexcept { return {cpu::half_of_float(x)}; }
bfloat16 to_bfloat16(float x) noexcept { return {cpu::bfloat_of_float(x)}; }

}  // namespace osc
