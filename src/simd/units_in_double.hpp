// A slot's unit, and the gradient of a slot from that of its unit, in plain loops and in double:
// for norms and factors whose squares or products would overflow or vanish. Compiled for every
// processor.
#pragma once

#include <cstdint>

#include "runtime/dispatch.hpp"

namespace osc::cpu {

// Writes x / max(|x|, eps). Returns 1 / max(|x|, eps), or the largest number where that is larger;
// negative where |x| is not above eps, or where x holds a NaN or an infinity.
template <typename T>
double unit_in_double(const T* x, std::int64_t channels, double eps,
                      typename Computed<T>::Type* unit) noexcept;

// The vjp of the normalisation, times `factor`: (unit_gradient - unit <unit, unit_gradient>) *
// factor. Where the norm is floored, and so does not change, unit_gradient * factor.
template <typename T>
void gradient_in_double(const typename Computed<T>::Type* unit,
                        const typename Computed<T>::Type* unit_gradient, std::int64_t channels,
                        double factor, bool floored, T* target) noexcept;

// Whether x holds no NaN and no infinity.
template <typename T>
bool is_finite(const T* x, std::int64_t channels) noexcept;

}  // namespace osc::cpu
