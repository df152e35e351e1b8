// A slot's unit, and its gradient from that of the unit. Compiled once an instruction set; see
// cpu/kernels.hpp.
#pragma once

#include <cstdint>

#include "cpu/kernels.hpp"
#include "cpu/unit_in_double.hpp"

namespace osc::cpu {
namespace {

template <typename T>
class Units {
  using A = typename Computed<T>::Type;
  using V = Simd<A>;
  using Vector = typename V::Vector;
  static constexpr std::int64_t kLanes = V::kLanes;
  static constexpr A kLeastSquares = sizeof(A) == 4 ? A(0x1p-70) : A(0x1p-800),
                     kLargestSquares = 1 / kLeastSquares;
  static constexpr double kLeastFactor = sizeof(A) == 4 ? 0x1p-70 : 0x1p-500,
                          kLargestFactor = 1 / kLeastFactor;

 public:
  // Writes x / max(|x|, eps) in whole vectors. Returns 1 / max(|x|, eps), which may be infinite;
  // negative where |x| is not above eps, or where x holds a NaN or an infinity.
  static double read(const T* x, std::int64_t channels, double eps, A* unit) {
    Vector squares[2] = {V::set(0), V::set(0)};
    std::int64_t c = 0;
    for (; c + 2 * kLanes <= channels; c += 2 * kLanes) {
      for (int k = 0; k < 2; ++k) {
        const Vector value = V::load(x + c + k * kLanes);
        squares[k] = V::mul_add(value, value, squares[k]);
      }
    }
    for (; c < channels; c += kLanes) {
      const Vector value = load(x + c, channels - c);
      squares[0] = V::mul_add(value, value, squares[0]);
    }
    const A square = V::sum(V::add(squares[0], squares[1]));
    if (!(square > kLeastSquares && square < kLargestSquares))
      return unit_in_double(x, channels, eps, unit);
    const double length = __builtin_sqrt(static_cast<double>(square));
    const bool floored = !(length > eps);
    const double inverse = 1 / (floored ? eps : length);
    const Vector factor = V::set(static_cast<A>(inverse));
    for (c = 0; c < channels; c += kLanes)
      V::store(unit + c, V::mul(load(x + c, channels - c), factor));
    return floored ? -inverse : inverse;
  }

  // `slope` is the gradient of the unit of x, of which `inverse_norm` is what read() returned: by
  // the derivative of x / |x|, `factor` times the gradient of x. Unit and slope in whole vectors
  // whose rest is zero.
  static void write(const T* x, const A* unit, const A* slope, std::int64_t channels, double eps,
                    double inverse_norm, const Ratio& factor, T* target) {
    const double quotient = factor.numerator / factor.denominator;
    const double whole_factor = __builtin_fabs(inverse_norm) * quotient;
    if (is_in_range(quotient) && is_in_range(whole_factor)) {
      write_row(unit, slope, channels, static_cast<A>(whole_factor), inverse_norm < 0, target);
    } else {
      gradient_in_double(x, unit, slope, channels, eps, factor, target);
    }
  }

 private:
  static bool is_in_range(double factor) {
    return __builtin_fabs(factor) > kLeastFactor && __builtin_fabs(factor) < kLargestFactor;
  }

  static void write_row(const A* unit, const A* slope, std::int64_t channels, A factor,
                        bool floored, T* target) {
    Vector sums = V::set(0);
    for (std::int64_t c = 0; c < channels; c += kLanes)
      sums = V::mul_add(V::load(unit + c), V::load(slope + c), sums);
    const Vector along = V::set(floored ? A(0) : -V::sum(sums)), factors = V::set(factor);
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      const Vector value =
          V::mul(V::mul_add(along, V::load(unit + c), V::load(slope + c)), factors);
      if (c + kLanes <= channels) {
        V::store(target + c, value);
      } else {
        V::store_first(target + c, channels - c, value);
      }
    }
  }

  static Vector load(const T* x, std::int64_t count) {
    return count >= kLanes ? V::load(x) : V::load_first(x, count, A(0));
  }
};

}  // namespace
}  // namespace osc::cpu
