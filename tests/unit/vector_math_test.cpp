#include "simd/vector_math.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace osc::cpu {
namespace {

template <typename T>
class VectorMath : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(VectorMath, Types);

TYPED_TEST(VectorMath, NormOfAnyMagnitudeNeitherOverflowsNorVanishes) {
  using T = TypeParam;
  using Limits = std::numeric_limits<T>;
  for (const T magnitude :
       {Limits::denorm_min(), Limits::min(), T(1e-20), T(1), T(1e20), Limits::max()}) {
    for (const std::int64_t size : {1, 4, 9, 100}) {
      SCOPED_TRACE(::testing::Message() << magnitude << " x " << size);
      const std::vector<T> x(size, magnitude);
      const Norm result = norm(x.data(), size);
      EXPECT_TRUE(result.finite());
      // |x| / magnitude is the square root of the size. The scale is a power of two, so only the
      // square root is rounded.
      const double expected = std::sqrt(static_cast<double>(size));
      EXPECT_NEAR(result.length / (static_cast<double>(magnitude) * result.scale), expected,
                  4e-16 * expected);
      int exponent = 0;
      EXPECT_EQ(std::frexp(result.scale, &exponent), 0.5);
      EXPECT_TRUE(result.exceeds(static_cast<double>(magnitude) / 2));
      EXPECT_FALSE(result.exceeds(std::numeric_limits<double>::max()) && size == 1);
    }
  }
}

TEST(Product, OfNumbersThatTogetherAreNone) {
  EXPECT_EQ(Product(0x1p-1000).times(0x1.8p-1000).over(0x1p-1070).times(0x1p930).of(1), 1.5);
  EXPECT_EQ(Product(0x1p1000).times(-0x1p1000).of(0x1p-1020), -std::ldexp(1.0, 980));
  EXPECT_EQ(Product(0x1p-1074).times(0x1p-900).over(0x1p-1000).of(3), std::ldexp(3.0, -974));
  EXPECT_EQ(Product(0).over(0x1p-1074).of(0x1p1000), 0);
  EXPECT_EQ(Product(0x1p1000).times(0x1p1000).of(0), 0);
  EXPECT_EQ(Product(0x1p1000).times(0x1p1000).of(1), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(Product(std::numeric_limits<double>::quiet_NaN()).times(2).of(1)));
  EXPECT_TRUE(std::isinf(Product(std::numeric_limits<double>::infinity()).over(2).of(1)));
}

TYPED_TEST(VectorMath, ZeroAndEmptyHaveNormZero) {
  const std::vector<TypeParam> zeros(5, 0);
  for (const std::int64_t size : {0, 5}) {
    const Norm result = norm(zeros.data(), size);
    EXPECT_EQ(result.length, 0);
    EXPECT_TRUE(result.finite());
    EXPECT_FALSE(result.exceeds(1e-10));
    EXPECT_EQ(result.floored(1e-10), 1e-10);
  }
}

TYPED_TEST(VectorMath, NonFiniteAnywhereIsNoticed) {
  using Limits = std::numeric_limits<TypeParam>;
  for (const TypeParam bad : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
    for (std::size_t position = 0; position < 19; ++position) {
      std::vector<TypeParam> x(19, TypeParam(0.5));
      x[position] = bad;
      EXPECT_FALSE(norm(x.data(), 19).finite()) << bad << " at " << position;
    }
  }
}

TYPED_TEST(VectorMath, DotOfEveryLength) {
  for (std::int64_t size = 0; size < 40; ++size) {
    std::vector<TypeParam> a(size), b(size);
    double expected = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      a[i] = static_cast<TypeParam>(i + 1);
      b[i] = static_cast<TypeParam>(i % 5 - 2);
      // Small whole numbers: exact in any order.
      expected += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    }
    EXPECT_EQ(dot(a.data(), b.data(), size), expected) << size;
  }
}

}  // namespace
}  // namespace osc::cpu
