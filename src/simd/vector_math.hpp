// Norms, units and dot products of slots: plain loops in double whose order of summation is fixed.
#pragma once

#include <cmath>
#include <limits>

#include "osc/float16.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {

inline double to_double(double x) noexcept { return x; }
inline double to_double(float x) noexcept { return x; }
inline double to_double(float16 x) noexcept { return to_float(x); }
inline double to_double(bfloat16 x) noexcept { return to_float(x); }

template <typename T>
T from_double(double x) noexcept {
  return static_cast<T>(x);
}
template <>
inline float16 from_double<float16>(double x) noexcept {
  return to_float16(static_cast<float>(x));
}
template <>
inline bfloat16 from_double<bfloat16>(double x) noexcept {
  return to_bfloat16(static_cast<float>(x));
}

// The sum of a[i] * b[i]. Eight partial sums, so that a compiler may use its vector registers
// without changing the order.
template <typename A, typename B>
double dot(const A* a, const B* b, Index size) noexcept {
  double sums[8] = {};
  Index i = 0;
  for (; i + 8 <= size; i += 8) {
    for (int lane = 0; lane < 8; ++lane)
      sums[lane] += to_double(a[i + lane]) * to_double(b[i + lane]);
  }
  for (int lane = 0; i < size; ++i, ++lane) sums[lane] += to_double(a[i]) * to_double(b[i]);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// A product of numbers of any magnitude, which neither overflows nor vanishes before it is applied.
class Product {
 public:
  explicit Product(double x) noexcept { times(x); }

  Product& times(double x) noexcept {
    const Parts factor(x), product(mantissa_ * factor.mantissa);
    mantissa_ = product.mantissa;
    exponent_ += factor.exponent + product.exponent;
    return *this;
  }
  Product& over(double x) noexcept {
    const Parts divisor(x), quotient(mantissa_ / divisor.mantissa);
    mantissa_ = quotient.mantissa;
    exponent_ += quotient.exponent - divisor.exponent;
    return *this;
  }

  // x times the product, rounded to where it is.
  double of(double x) const noexcept { return std::ldexp(x * mantissa_, exponent_); }

  // Whether the product is 0, or a normal number of T that is above the least one by a factor of at
  // least 2^digits.
  template <typename T>
  bool is_well_within() const noexcept {
    using Limits = std::numeric_limits<T>;
    return mantissa_ == 0 ||
           (exponent_ > Limits::min_exponent + Limits::digits && exponent_ < Limits::max_exponent);
  }

 private:
  // x = mantissa * 2^exponent, and where x is finite and not 0, 1/2 <= |mantissa| < 1.
  struct Parts {
    int exponent = 0;  // before the mantissa, which is read together with it
    double mantissa;
    explicit Parts(double x) noexcept : mantissa(std::isfinite(x) ? std::frexp(x, &exponent) : x) {}
  };

  double mantissa_ = 1;
  int exponent_ = 0;
};

// |x| as length / scale. The scale is a power of two: 1, unless squares of x would overflow or
// underflow. Both numbers are finite if x is, even if |x| is too large for a double.
struct Norm {
  double scale = 1;
  double length = 0;

  bool finite() const noexcept {
    return length < std::numeric_limits<double>::infinity();
  }  // false for NaN, too
  // max(|x|, eps), in the unit of `length`.
  double floored(double eps) const noexcept { return exceeds(eps) ? length : eps * scale; }
  bool exceeds(double eps) const noexcept { return length > eps * scale; }
};

template <typename T>
Norm norm(const T* x, Index size) noexcept {
  const double squares = dot(x, x, size);
  // In this range, underflow of single squares is far below the last bit of the sum. Sums of
  // squares of floats are in this range or 0.
  if (squares > 1e-250 && squares < 1e250) return {1, std::sqrt(squares)};

  double largest = 0;
  for (Index i = 0; i < size; ++i) {
    const double magnitude = std::abs(to_double(x[i]));
    if (!(magnitude <= std::numeric_limits<double>::max()))
      return {1, std::numeric_limits<double>::quiet_NaN()};
    if (magnitude > largest) largest = magnitude;
  }
  if (largest == 0) return {1, 0};
  int exponent = 0;
  std::frexp(largest, &exponent);
  // The power of two must be a normal number, so that it is exact also where denormals count as
  // zero.
  const double scale = std::ldexp(1.0, exponent > 1022    ? -1022
                                       : exponent < -1022 ? 1022
                                                          : -exponent);
  double scaled_squares = 0;
  for (Index i = 0; i < size; ++i) {
    const double scaled = to_double(x[i]) * scale;
    scaled_squares += scaled * scaled;
  }
  return {scale, std::sqrt(scaled_squares)};
}

}  // namespace osc::cpu
