#include "osc/float16.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace osc {
namespace {

// What the 16 bits of a binary16 mean, from the definition of the format.
double meaning(std::uint16_t bits) {
  const double sign = bits & 0x8000 ? -1 : 1;
  const int exponent = bits >> 10 & 0x1f, fraction = bits & 0x3ff;
  if (exponent == 31)
    return fraction ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  return exponent == 0 ? sign * std::ldexp(fraction, -24)
                       : sign * std::ldexp(1024 + fraction, exponent - 25);
}

TEST(Float16, EveryNumberMeansWhatTheFormatSaysAndComesBack) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float16 half{static_cast<std::uint16_t>(bits)};
    const float value = to_float(half);
    if (std::isnan(meaning(half.bits))) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      EXPECT_TRUE(std::isnan(to_float(to_float16(value)))) << bits;
    } else {
      EXPECT_EQ(value, meaning(half.bits)) << bits;
      EXPECT_EQ(to_float16(value).bits, half.bits) << bits;
    }
    const bfloat16 brain{static_cast<std::uint16_t>(bits)};
    if (std::isnan(to_float(brain))) {
      EXPECT_TRUE(std::isnan(to_float(to_bfloat16(to_float(brain))))) << bits;
    } else {
      EXPECT_EQ(to_bfloat16(to_float(brain)).bits, brain.bits) << bits;
    }
  }
}

TEST(Float16, RoundsToTheNearestAndTiesToEven) {
  std::mt19937_64 random(1);
  for (int repeat = 0; repeat < 100'000; ++repeat) {
    const auto low = static_cast<std::uint16_t>(
        std::uniform_int_distribution<>(0, 0x7bfe)(random));  // finite, and so is the next
    const double a = meaning(low), b = meaning(static_cast<std::uint16_t>(low + 1));
    const double where = repeat % 3 == 0 ? 0.5 : std::uniform_real_distribution<>()(random);
    const auto x = static_cast<float>(a + where * (b - a));
    const double middle = (a + b) / 2;
    const std::uint16_t expected = x < middle ? low : x > middle ? low + 1 : low + (low & 1);
    EXPECT_EQ(to_float16(x).bits, expected) << x;
    EXPECT_EQ(to_float16(-x).bits, expected | 0x8000) << x;
  }
  EXPECT_EQ(to_float(to_float16(65519.0f)), 65504.0f);
  EXPECT_EQ(to_float(to_float16(65520.0f)), std::numeric_limits<float>::infinity());
  EXPECT_EQ(to_float(to_bfloat16(1.00390625f)), 1.0f);  // a tie between 1 and 1 + 2^-7: to even
  EXPECT_EQ(to_float(to_bfloat16(1.01171875f)),
            1.015625f);  // and one between 1 + 2^-7 and 1 + 2^-6
  EXPECT_EQ(to_float(to_bfloat16(std::numeric_limits<float>::max())),
            std::numeric_limits<float>::infinity());
}

}  // namespace
}  // namespace osc
