#include "simd/units_in_double.hpp"

#include "runtime/element_types.hpp"
#include "simd/vector_math.hpp"

namespace osc::cpu {

template <typename T, typename Unit>
double unit_in_double(const T* x, Index channels, double eps, Unit* unit) noexcept {
  const Norm length = norm(x, channels);
  const double floored = length.floored(eps);
  for (Index c = 0; c < channels; ++c)
    unit[c] = static_cast<Unit>(to_double(x[c]) * length.scale / floored);
  // Not computed from `floored`: for a tiny length the scale is large, and eps * scale can
  // overflow.
  return length.exceeds(eps) ? length.scale / length.length : -1 / eps;
}

template <typename T, typename Unit>
bool gradient_in_double(const T* x, const Unit* unit, const Unit* unit_gradient, Index channels,
                        double eps, const Ratio& factor, T* target) noexcept {
  const Norm length = norm(x, channels);
  Product product(factor.numerator);
  product.over(factor.denominator);
  double along = 0;
  if (length.exceeds(eps)) {
    along = dot(unit, unit_gradient, channels);
    product.over(length.length).times(length.scale);
  } else {
    product.over(eps);
  }
  for (Index c = 0; c < channels; ++c)
    target[c] = from_double<T>(
        product.of(static_cast<double>(unit_gradient[c]) - along * static_cast<double>(unit[c])));
  return product.is_well_within<T>();
}

template <typename T>
bool is_finite(const T* x, Index channels) noexcept {
  double sum = 0;  // NaN if an element is not finite
  for (Index c = 0; c < channels; ++c) sum += to_double(x[c]) * 0;
  return sum == 0;
}

#define OSC_INSTANTIATE_UNITS(T, Unit)                                                \
  template double unit_in_double(const T*, Index, double, Unit*) noexcept;            \
  template bool gradient_in_double(const T*, const Unit*, const Unit*, Index, double, \
                                   const Ratio&, T*) noexcept;
#define OSC_INSTANTIATE(T)         \
  OSC_INSTANTIATE_UNITS(T, double) \
  template bool is_finite(const T*, Index) noexcept;
OSC_FOR_EACH_ELEMENT_TYPE(OSC_INSTANTIATE)
#undef OSC_INSTANTIATE
OSC_INSTANTIATE_UNITS(float, float)
OSC_INSTANTIATE_UNITS(float16, float)
OSC_INSTANTIATE_UNITS(bfloat16, float)

}  // namespace osc::cpu
