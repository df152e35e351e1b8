// A slot's unit, and the gradient of a slot from that of its unit, in plain loops and in double:
// for norms and factors whose squares or products would overflow or vanish.
#pragma once

#include <cstdint>

#include "cpu/kernels.hpp"

namespace osc::cpu {

// Writes x / max(|x|, eps). Returns 1 / max(|x|, eps), which may be infinite; negative where |x| is
// not above eps, or where x holds a NaN or an infinity.
template <typename T>
double unit_in_double(const T* x, std::int64_t channels, double eps,
                      typename Computed<T>::Type* unit) noexcept;

// (slope - unit <unit, slope>) / |x| * factor; where the norm is floored, and so does not change,
// slope / eps * factor.
template <typename T>
void gradient_in_double(const T* x, const typename Computed<T>::Type* unit,
                        const typename Computed<T>::Type* slope, std::int64_t channels, double eps,
                        const Ratio& factor, T* target) noexcept;

}  // namespace osc::cpu
