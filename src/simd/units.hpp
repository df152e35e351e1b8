// A slot's unit, and the gradient of a slot from that of its unit. Compiled once per instruction
// set; see runtime/dispatch.hpp.
#pragma once

#include "runtime/dispatch.hpp"
#include "runtime/sizes.hpp"
#include "simd/units_in_double.hpp"

namespace osc::cpu {
namespace {

template <typename T>
class Units {
  using A = typename Computed<T>::Type;
  using V = Simd<A>;
  using Vector = typename V::Vector;
  static constexpr Index kLanes = V::kLanes;

 public:
  // Whether underflow of single squares did not change the last bit of their sum, and products of
  // two norms stay far from overflow.
  static bool is_exact(A squares) {
    constexpr A kLeast = sizeof(A) == 4 ? A(0x1p-70) : A(0x1p-800), kLargest = 1 / kLeast;
    return squares > kLeast && squares < kLargest;
  }

  // The first `count` lanes from x, then zeros.
  static Vector load(const T* x, Index count) {
    return count >= kLanes ? V::load(x) : V::load_first(x, count, A(0));
  }

  // The sum of the squares. `copy` gets the channels in whole vectors; null: not wanted.
  [[gnu::always_inline]] static A squares(const T* x, Index channels, A* copy) {
    Vector sums[4] = {V::set(0), V::set(0), V::set(0), V::set(0)};
    Index c = 0;
    for (; c + 4 * kLanes <= channels; c += 4 * kLanes) {
      for (int k = 0; k < 4; ++k) {
        const Vector value = V::load(x + c + k * kLanes);
        if (copy) V::store(copy + c + k * kLanes, value);
        sums[k] = V::mul_add(value, value, sums[k]);
      }
    }
    for (; c < channels; c += kLanes) {
      const Vector value = load(x + c, channels - c);
      if (copy) V::store(copy + c, value);
      sums[0] = V::mul_add(value, value, sums[0]);
    }
    return V::sum(V::add(V::add(sums[0], sums[1]), V::add(sums[2], sums[3])));
  }

  // Writes x / max(|x|, eps) in whole vectors. Returns 1 / max(|x|, eps), which may be infinite;
  // negative where |x| is not above eps, or where x holds a NaN or an infinity.
  static double read(const T* x, Index channels, double eps, A* unit) {
    const A square = squares(x, channels, nullptr);
    if (!is_exact(square)) return unit_in_double(x, channels, eps, unit);
    const double length = __builtin_sqrt(static_cast<double>(square));
    const bool floored = !(length > eps);
    const double inverse = 1 / (floored ? eps : length);
    const Vector factor = V::set(static_cast<A>(inverse));
    for (Index c = 0; c < channels; c += kLanes)
      V::store(unit + c, V::mul(load(x + c, channels - c), factor));
    return floored ? -inverse : inverse;
  }

  // The vjp of the normalisation of x, times `factor`, where read() gave the unit and its
  // `inverse_norm`. `unit` and `unit_gradient` are whole vectors whose rest is zero.
  static void write(const T* x, const A* unit, const A* unit_gradient, Index channels, double eps,
                    double inverse_norm, const Ratio& factor, T* target) {
    const double quotient = factor.numerator / factor.denominator;
    const double whole_factor = __builtin_fabs(inverse_norm) * quotient;
    if (is_in_range(quotient) && is_in_range(whole_factor)) {
      write_row(unit, unit_gradient, channels, static_cast<A>(whole_factor), inverse_norm < 0,
                target);
    } else {
      gradient_in_double(x, unit, unit_gradient, channels, eps, factor, target);
    }
  }

 private:
  static bool is_in_range(double factor) {
    constexpr double kLeast = sizeof(A) == 4 ? 0x1p-70 : 0x1p-500, kLargest = 1 / kLeast;
    return __builtin_fabs(factor) > kLeast && __builtin_fabs(factor) < kLargest;
  }

  static void write_row(const A* unit, const A* unit_gradient, Index channels, A factor,
                        bool floored, T* target) {
    Vector sums = V::set(0);
    for (Index c = 0; c < channels; c += kLanes)
      sums = V::mul_add(V::load(unit + c), V::load(unit_gradient + c), sums);
    const Vector along = V::set(floored ? A(0) : -V::sum(sums)), factors = V::set(factor);
    for (Index c = 0; c < channels; c += kLanes) {
      const Vector value =
          V::mul(V::mul_add(along, V::load(unit + c), V::load(unit_gradient + c)), factors);
      if (c + kLanes <= channels) {
        V::store(target + c, value);
      } else {
        V::store_first(target + c, channels - c, value);
      }
    }
  }
};

}  // namespace
}  // namespace osc::cpu
