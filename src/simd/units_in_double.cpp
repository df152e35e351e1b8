#include "simd/units_in_double.hpp"

#include <algorithm>
#include <limits>

#include "runtime/element_types.hpp"
#include "simd/vector_math.hpp"

namespace osc::cpu {

template <typename T>
double unit_in_double(const T* x, std::int64_t channels, double eps,
                      typename Computed<T>::Type* unit) noexcept {
  const Norm length = norm(x, channels);
  const double floored = length.floored(eps);
  for (std::int64_t c = 0; c < channels; ++c)
    unit[c] = static_cast<typename Computed<T>::Type>(to_double(x[c]) * length.scale / floored);
  const auto at_most = [](double inverse) {
    return std::min(inverse, std::numeric_limits<double>::max());
  };
  return length.exceeds(eps)
             ? at_most(length.scale / floored)
             : -at_most(
                   1 /
                   eps);  // not of `floored`, which eps in the unit of a tiny length can overflow
}

template <typename T>
void gradient_in_double(const typename Computed<T>::Type* unit,
                        const typename Computed<T>::Type* unit_gradient, std::int64_t channels,
                        double factor, bool floored, T* target) noexcept {
  const double along = floored ? 0 : dot(unit, 1.0, unit_gradient, channels);
  for (std::int64_t c = 0; c < channels; ++c)
    target[c] = from_double<T>(
        (static_cast<double>(unit_gradient[c]) - along * static_cast<double>(unit[c])) * factor);
}

template <typename T>
bool is_finite(const T* x, std::int64_t channels) noexcept {
  double sum = 0;  // NaN if an element is not finite
  for (std::int64_t c = 0; c < channels; ++c) sum += to_double(x[c]) * 0;
  return sum == 0;
}

#define OSC_INSTANTIATE(T)                                                                     \
  template double unit_in_double(const T*, std::int64_t, double, Computed<T>::Type*) noexcept; \
  template void gradient_in_double(const Computed<T>::Type*, const Computed<T>::Type*,         \
                                   std::int64_t, double, bool, T*) noexcept;                   \
  template bool is_finite(const T*, std::int64_t) noexcept;
OSC_FOR_EACH_ELEMENT_TYPE(OSC_INSTANTIATE)
#undef OSC_INSTANTIATE

}  // namespace osc::cpu
