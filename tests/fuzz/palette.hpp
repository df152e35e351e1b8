// Numbers for the kernels, drawn from a fuzzer's bytes: whole arrays of a kind that a few bytes
// name, and single elements of any bits.
#pragma once

#include <fuzzer/FuzzedDataProvider.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <type_traits>

#include "elements.hpp"

namespace osc {

// A kind of numbers, and a generator that goes on for as many as are wanted.
class Palette {
 public:
  explicit Palette(FuzzedDataProvider& in)
      : kind_(in.ConsumeIntegralInRange(0, 7)),
        levels_(in.ConsumeIntegralInRange(1, 9)),
        exponent_(in.ConsumeIntegralInRange(-1074, 1023)),
        random_(in.ConsumeIntegral<std::uint16_t>()) {}

  double next() {
    const auto pick = [&](int least, int most) {
      return std::uniform_int_distribution<>(least, most)(random_);
    };
    switch (kind_) {
      case 0: return normal_(random_);
      case 1:  // ties
        return pick(0, levels_ - 1);
      case 2:  // near ties in every type
        return 1 + pick(0, levels_) * std::array{0x1p-52, 0x1p-23, 0x1p-10,
                                                 0x1p-7}[static_cast<std::size_t>(pick(0, 3))];
      case 3:  // of one random magnitude
        return std::ldexp(normal_(random_), exponent_);
      case 4:  // of all magnitudes
        return std::ldexp(normal_(random_), pick(-1074, 1023));
      case 5:  // of all magnitudes that a float has
        return std::ldexp(normal_(random_), pick(-149, 126));
      case 6:  // denormals of a double, or of a float
        return pick(0, levels_) * (pick(0, 1) ? std::numeric_limits<double>::denorm_min()
                                              : std::numeric_limits<float>::denorm_min());
      default:  // some infinities
        return pick(0, 3) == 0 ? std::numeric_limits<double>::infinity() : pick(0, levels_);
    }
  }

 private:
  int kind_, levels_, exponent_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
};

// A rare element: any bits, or one of a list of special numbers.
template <typename T>
T special(FuzzedDataProvider& in) {
  using Limits = std::numeric_limits<double>;
  const double specials[] = {0.0,
                             -0.0,
                             1.0,
                             -1.0,
                             Limits::infinity(),
                             -Limits::infinity(),
                             Limits::quiet_NaN(),
                             Limits::max(),
                             -Limits::max(),
                             Limits::min(),
                             Limits::denorm_min(),
                             std::numeric_limits<float>::max(),
                             -std::numeric_limits<float>::max(),
                             std::numeric_limits<float>::min(),
                             65504.0,
                             0x1p-24};
  if (in.ConsumeBool()) return element<T>(in.PickValueInArray(specials));
  using Bits = std::conditional_t<sizeof(T) == 8, std::uint64_t,
                                  std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint16_t>>;
  return std::bit_cast<T>(in.ConsumeIntegral<Bits>());
}

}  // namespace osc
