// A slot's unit, and the gradient of a slot from that of its unit, in plain loops and in double:
// for norms and factors whose squares or products would overflow or vanish. Compiled for every
// processor.
#pragma once

#include "runtime/dispatch.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {

// numerator / denominator, which may be no double.
struct Ratio {
  double numerator = 1, denominator = 1;
};

// Writes x / max(|x|, eps). Returns 1 / max(|x|, eps), which may be infinite; negative where |x| is
// not above eps, or where x holds a NaN or an infinity. Unit: double, or the type that T is
// computed in.
template <typename T, typename Unit>
double unit_in_double(const T* x, Index channels, double eps, Unit* unit) noexcept;

// The vjp of the normalisation of x, times `factor`: (unit_gradient - unit <unit, unit_gradient>) /
// |x| * factor. Where |x| <= eps, the norm is constant and the result is unit_gradient / eps *
// factor. Returns whether T holds all bits of the result, with room for a later multiplication.
template <typename T, typename Unit>
bool gradient_in_double(const T* x, const Unit* unit, const Unit* unit_gradient, Index channels,
                        double eps, const Ratio& factor, T* target) noexcept;

// Whether x holds no NaN and no infinity.
template <typename T>
bool is_finite(const T* x, Index channels) noexcept;

}  // namespace osc::cpu
