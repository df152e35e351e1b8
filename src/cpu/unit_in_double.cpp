#include "cpu/unit_in_double.hpp"

#include "cpu/vector_math.hpp"
#include "element_types.hpp"

namespace osc::cpu {

template <typename T>
double unit_in_double(const T* x, std::int64_t channels, double eps,
                      typename Computed<T>::Type* unit) noexcept {
  const Norm length = norm(x, channels);
  const double floored = length.floored(eps);
  for (std::int64_t c = 0; c < channels; ++c)
    unit[c] = static_cast<typename Computed<T>::Type>(to_double(x[c]) * length.scale / floored);
  // Not of `floored`, which eps in the unit of a tiny length can overflow.
  return length.exceeds(eps) ? length.scale / length.length : -1 / eps;
}

template <typename T>
void gradient_in_double(const T* x, const typename Computed<T>::Type* unit,
                        const typename Computed<T>::Type* slope, std::int64_t channels, double eps,
                        const Ratio& factor, T* target) noexcept {
  const Norm length = norm(x, channels);
  Product product(factor.numerator);
  product.over(factor.denominator);
  double along = 0;
  if (length.exceeds(eps)) {
    along = dot(unit, 1.0, slope, channels);
    product.over(length.length).times(length.scale);
  } else {
    product.over(eps);
  }
  for (std::int64_t c = 0; c < channels; ++c)
    target[c] = from_double<T>(
        product.of(static_cast<double>(slope[c]) - along * static_cast<double>(unit[c])));
}

#define OSC_INSTANTIATE(T)                                                                       \
  template double unit_in_double(const T*, std::int64_t, double, Computed<T>::Type*) noexcept;   \
  template void gradient_in_double(const T*, const Computed<T>::Type*, const Computed<T>::Type*, \
                                   std::int64_t, double, const Ratio&, T*) noexcept;
OSC_FOR_EACH_ELEMENT_TYPE(OSC_INSTANTIATE)
#undef OSC_INSTANTIATE

}  // namespace osc::cpu
