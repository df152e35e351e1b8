#include "osc/variance_covariance_loss.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "elements.hpp"
#include "osc/error.hpp"

namespace osc {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// {G, N, D}
using Sizes = std::array<std::int64_t, 3>;
using Matrix = std::vector<std::vector<double>>;  // [N][D] or [D][D]

// Features of unlike deviations, some below 1 and some above, which vary together.
template <typename T>
struct Case {
  Sizes sizes;
  std::vector<T> x;

  Case(const Sizes& s, std::uint64_t seed, double mean = 0) : sizes(s) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    for (std::int64_t sample = 0; sample < s[0] * s[1]; ++sample) {
      const double shared = normal(random);
      for (std::int64_t d = 0; d < s[2]; ++d)
        x.push_back(element<T>(mean + (0.4 + 0.3 * static_cast<double>(d % 4)) *
                                          (normal(random) + 0.5 * shared)));
    }
  }
  Samples<const T> view() const {
    return contiguous_samples(x.data(), sizes[0], sizes[1], sizes[2]);
  }
  Samples<T> like_x(std::vector<T>& y) const {
    return contiguous_samples(y.data(), sizes[0], sizes[1], sizes[2]);
  }
  Matrix group(std::int64_t g) const {
    Matrix result(sizes[1], std::vector<double>(sizes[2]));
    for (std::int64_t n = 0; n < sizes[1]; ++n) {
      for (std::int64_t d = 0; d < sizes[2]; ++d)
        result[n][d] = value(x[(g * sizes[1] + n) * sizes[2] + d]);
    }
    return result;
  }
};

std::vector<double> means(const Matrix& x) {
  std::vector<double> result(x[0].size(), 0.0);
  for (const auto& sample : x) {
    for (std::size_t d = 0; d < sample.size(); ++d)
      result[d] += sample[d] / static_cast<double>(x.size());
  }
  return result;
}

Matrix covariance(const Matrix& x) {
  const std::vector<double> mean = means(x);
  Matrix result(mean.size(), std::vector<double>(mean.size(), 0.0));
  for (const auto& sample : x) {
    for (std::size_t d = 0; d < mean.size(); ++d) {
      for (std::size_t e = 0; e < mean.size(); ++e)
        result[d][e] +=
            (sample[d] - mean[d]) * (sample[e] - mean[e]) / static_cast<double>(x.size() - 1);
    }
  }
  return result;
}

struct Terms {
  double variance = 0, covariance = 0;
};

// Of one group.
Terms terms(const Matrix& x) {
  const Matrix k = covariance(x);
  const auto size = static_cast<double>(k.size());
  Terms result;
  for (std::size_t d = 0; d < k.size(); ++d) {
    result.variance += std::max(0.0, 1 - std::sqrt(k[d][d] + 1e-4)) / size;
    for (std::size_t e = 0; e < k.size(); ++e)
      result.covariance += d == e ? 0 : k[d][e] * k[d][e] / (size * (size - 1));
  }
  return result;
}

// Of of_variance * variance + of_covariance * covariance of one group, by the derivatives of both
// terms by K and of K by x.
Matrix gradient(const Matrix& x, double of_variance, double of_covariance) {
  const Matrix k = covariance(x);
  const std::vector<double> mean = means(x);
  const auto size = static_cast<double>(k.size());
  Matrix result(x.size(), std::vector<double>(k.size(), 0.0));
  for (std::size_t n = 0; n < x.size(); ++n) {
    for (std::size_t d = 0; d < k.size(); ++d) {
      const double deviation = std::sqrt(k[d][d] + 1e-4);
      for (std::size_t e = 0; e < k.size(); ++e) {
        double by_k = 2 * of_covariance * k[d][e] / (size * (size - 1));
        if (d == e) by_k = deviation < 1 ? -of_variance / (2 * size * deviation) : 0;
        result[n][d] += 2 * by_k * (x[n][e] - mean[e]) / static_cast<double>(x.size() - 1);
      }
    }
  }
  return result;
}

template <typename T>
struct Outcome {
  T variance, covariance;
  std::vector<T> gradient;

  bool operator==(const Outcome& other) const {
    return same_bits<T>(std::span(&variance, 1), std::span(&other.variance, 1)) &&
           same_bits<T>(std::span(&covariance, 1), std::span(&other.covariance, 1)) &&
           same_bits<T>(gradient, other.gradient);
  }
};

template <typename T>
Outcome<T> run(const Case<T>& input, const VarianceCovarianceOptions& options = {},
               double of_variance = 1, double of_covariance = 1) {
  const T variance = element<T>(of_variance), covariance = element<T>(of_covariance);
  Outcome<T> outcome{element<T>(-7), element<T>(-7),
                     std::vector<T>(input.x.size(), element<T>(-7))};
  variance_covariance_loss(
      input.view(), options,
      {.variance = &outcome.variance,
       .covariance = &outcome.covariance,
       .gradient = VarianceCovarianceGradient<T>{input.like_x(outcome.gradient),
                                                 of_variance == 1 ? nullptr : &variance,
                                                 of_covariance == 1 ? nullptr : &covariance}});
  return outcome;
}

// Relative: the rounding to T, and room for sums in the type that is computed in.
template <typename T>
constexpr double kTolerance = sizeof(T) == 8 ? 0x1p-46 : 0x1p-18;
template <>
constexpr double kTolerance<float16> = 0x1p-10;
template <>
constexpr double kTolerance<bfloat16> = 0x1p-7;

template <typename T>
class VarianceCovariance : public ::testing::Test {};
using Types = ::testing::Types<double, float, float16, bfloat16>;
TYPED_TEST_SUITE(VarianceCovariance, Types);

constexpr Sizes kShapes[] = {{1, 2, 2},    {1, 3, 5},    {4, 9, 7},   {2, 33, 16}, {3, 20, 31},
                             {1, 130, 32}, {2, 257, 33}, {1, 50, 70}, {7, 12, 1},  {1, 300, 100}};

TYPED_TEST(VarianceCovariance, EqualsTheOracle) {
  using T = TypeParam;
  std::uint64_t seed = 0;
  for (const Sizes& sizes : kShapes) {
    for (const auto& [of_variance, of_covariance] :
         {std::pair{1.0, 1.0}, {2.0, -0.5}, {0.0, 4.0}, {-3.0, 0.0}}) {
      const Case<T> input(sizes, ++seed);
      SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(sizes) << ", seed " << seed);
      const auto outcome = run(input, {}, of_variance, of_covariance);
      Terms expected;
      double largest = 0;
      std::vector<double> wanted;
      for (std::int64_t g = 0; g < sizes[0]; ++g) {
        const Matrix group = input.group(g);
        const Terms of_group = terms(group);
        expected.variance += of_group.variance / static_cast<double>(sizes[0]);
        expected.covariance += of_group.covariance / static_cast<double>(sizes[0]);
        for (const auto& sample : gradient(group, of_variance / static_cast<double>(sizes[0]),
                                           of_covariance / static_cast<double>(sizes[0]))) {
          wanted.insert(wanted.end(), sample.begin(), sample.end());
        }
      }
      for (const double x : wanted) largest = std::max(largest, std::abs(x));
      EXPECT_NEAR(value(outcome.variance), expected.variance, kTolerance<T>);
      if (sizes[2] == 1) {
        EXPECT_TRUE(std::isnan(value(outcome.covariance)));
        continue;  // the oracle's gradient is NaN; ours is tested below
      }
      EXPECT_NEAR(value(outcome.covariance), expected.covariance,
                  kTolerance<T> * (expected.covariance + 1e-3));
      for (std::size_t i = 0; i < wanted.size(); ++i)
        EXPECT_NEAR(value(outcome.gradient[i]), wanted[i],
                    2 * kTolerance<T> * largest + (sizeof(T) == 2 ? 0x1p-24 : 0))
            << i;
    }
  }
}

TEST(VarianceCovarianceOfDoubles, GradientEqualsCentralDifferencesOfTheOracle) {
  const Case<double> input({1, 6, 5}, 3);
  const auto outcome = run(input, {}, 2, 0.5);
  for (std::size_t i = 0; i < input.x.size(); ++i) {
    const auto at = [&](double step) {
      Case<double> moved = input;
      moved.x[i] += step;
      const Terms both = terms(moved.group(0));
      return 2 * both.variance + 0.5 * both.covariance;
    };
    constexpr double kStep = 1e-6;
    EXPECT_NEAR(outcome.gradient[i], (at(kStep) - at(-kStep)) / (2 * kStep), 1e-8)
        << "element " << i;
  }
}

// By hand: two samples (0, 0) and (2, 1), K = [2, 1; 1, 1/2].
TYPED_TEST(VarianceCovariance, TwoSamplesByHand) {
  using T = TypeParam;
  Case<T> input({1, 2, 2}, 1);
  input.x = {element<T>(0), element<T>(0), element<T>(2), element<T>(1)};
  const auto outcome = run(input);
  EXPECT_NEAR(value(outcome.variance), (1 - std::sqrt(0.5001)) / 2, kTolerance<T>);
  EXPECT_NEAR(value(outcome.covariance), 1, kTolerance<T>);    // (1^2 + 1^2) / 2
  EXPECT_NEAR(value(outcome.gradient[0]), -1, kTolerance<T>);  // 2 (2 K01 / 2) (-1/2)
  EXPECT_NEAR(value(outcome.gradient[3]), 2 - 1 / (4 * std::sqrt(0.5001)),
              2 * kTolerance<T>);  // 2 (2 K01 / 2) 1 + 2 (-1 / (4 sqrt(K11 + 1e-4))) / 2
}

TYPED_TEST(VarianceCovariance, ALargeMeanCostsNoDigits) {
  using T = TypeParam;
  if constexpr (sizeof(T) >= 4) {
    const double mean = sizeof(T) == 4 ? 0x1p12 : 0x1p30;
    Case<T> moved({2, 300, 40}, 5, mean), input = moved;
    for (T& x : input.x) x = static_cast<T>(x - mean);  // exact
    const auto outcome = run(moved), expected = run(input);
    EXPECT_NEAR(outcome.variance, expected.variance, kTolerance<T>);
    EXPECT_NEAR(outcome.covariance, expected.covariance, kTolerance<T>);
    double largest = 0;
    for (const T x : expected.gradient)
      largest = std::max(largest, std::abs(static_cast<double>(x)));
    for (std::size_t i = 0; i < expected.gradient.size(); ++i)
      EXPECT_NEAR(outcome.gradient[i], expected.gradient[i], kTolerance<T> * largest);
  }
}

TYPED_TEST(VarianceCovariance, NonFiniteStaysInItsGroup) {
  using T = TypeParam;
  const Sizes sizes = {3, 10, 37};
  const Case<T> clean(sizes, 31);
  const auto expected = run(clean);
  std::mt19937_64 random(5);
  for (int repeat = 0; repeat < 60; ++repeat) {
    SCOPED_TRACE(::testing::Message() << "repeat " << repeat);
    Case<T> spoilt = clean;
    const std::int64_t group = repeat % 3, of_group = sizes[1] * sizes[2];
    spoilt.x[group * of_group +
             std::uniform_int_distribution<std::int64_t>(0, of_group - 1)(random)] =
        element<T>(std::array{kNaN, std::numeric_limits<double>::infinity(),
                              -std::numeric_limits<double>::infinity()}[repeat / 3 % 3]);
    const auto outcome = run(spoilt, {}, 1, repeat % 2 == 0 ? 1 : 0);
    EXPECT_TRUE(std::isnan(value(outcome.variance)));
    EXPECT_TRUE(std::isnan(value(outcome.covariance)));
    const auto& wanted = repeat % 2 == 0 ? expected : run(clean, {}, 1, 0);
    for (std::int64_t i = 0; i < 3 * of_group; ++i)
      EXPECT_TRUE(i / of_group == group ? std::isnan(value(outcome.gradient[i]))
                                        : outcome.gradient[i] == wanted.gradient[i])
          << i;

    T variance = element<T>(-7), covariance = element<T>(-7);
    std::vector<T> untouched(clean.x.size(), element<T>(-7));
    try {
      variance_covariance_loss(
          spoilt.view(), {.on_nonfinite = NonFinite::raise},
          {.variance = &variance,
           .covariance = &covariance,
           .gradient = VarianceCovarianceGradient<T>{spoilt.like_x(untouched)}});
      FAIL() << "no error";
    } catch (const NonFiniteError& error) {
      EXPECT_EQ(error.image, group);
      EXPECT_EQ(std::string(error.what()),
                "x: group " + std::to_string(group) + " of 3 holds a NaN or an infinity");
    }
    EXPECT_EQ(value(variance), -7);
    EXPECT_EQ(value(covariance), -7);
    for (const T x : untouched) EXPECT_EQ(value(x), -7);
  }
}

// Finite numbers, whatever comes of them.
TYPED_TEST(VarianceCovariance, HugeAndTinySamples) {
  using T = TypeParam;
  Case<T> input({1, 20, 40}, 7);
  const double most = std::is_same_v<T, double> ? 1e308 : std::is_same_v<T, float16> ? 6e4 : 3e38;
  for (std::size_t i = 0; i < input.x.size(); ++i)
    input.x[i] = element<T>(i % 2 == 0 ? most : -most);
  run(input);
  for (T& x : input.x) x = element<T>(std::is_same_v<T, double> ? 5e-324 : 1e-45);
  const auto outcome = run(input);
  EXPECT_NEAR(value(outcome.variance), 0.99, kTolerance<T>);
  EXPECT_EQ(value(outcome.covariance), 0);
}

TYPED_TEST(VarianceCovariance, SizesOfNoneAndOne) {
  using T = TypeParam;
  for (int bits = 0; bits < 8; ++bits) {
    const Case<T> input({bits & 1, bits >> 1 & 1, bits >> 2}, 1);
    SCOPED_TRACE(::testing::PrintToString(input.sizes));
    const auto outcome = run(input);
    EXPECT_TRUE(std::isnan(value(outcome.variance)));
    EXPECT_TRUE(std::isnan(value(outcome.covariance)));
    for (const T x : outcome.gradient)
      EXPECT_TRUE(std::isnan(value(x)));  // of one sample there is no unbiased covariance
  }
  // One feature: no pair of features, no gradient from there.
  Case<T> input({1, 2, 1}, 1);
  input.x = {element<T>(0), element<T>(1)};  // K = 1/2
  const auto outcome = run(input);
  EXPECT_NEAR(value(outcome.variance), 1 - std::sqrt(0.5001), kTolerance<T>);
  EXPECT_TRUE(std::isnan(value(outcome.covariance)));
  EXPECT_NEAR(value(outcome.gradient[1]), -0.5 / std::sqrt(0.5001), kTolerance<T>);
}

TYPED_TEST(VarianceCovariance, AnyNumberOfThreadsGivesTheSameBits) {
  using T = TypeParam;
  ThreadPool one(1);
  for (const Sizes& sizes : {Sizes{1, 300, 100}, {3, 129, 65}, {70, 40, 33}, {5, 200, 40}}) {
    const Case<T> input(sizes, 3);
    const auto expected = run(input, {.executor = &one});
    for (const int threads : {2, 3, 16}) {
      ThreadPool pool(threads);
      EXPECT_EQ(run(input, {.executor = &pool}), expected) << threads << " threads";
      std::vector<char> memory(
          variance_covariance_workspace<T>(sizes[0], sizes[1], sizes[2], threads));
      Workspace workspace(memory.data(), memory.size());
      EXPECT_EQ(run(input, {.executor = &pool, .workspace = &workspace}), expected)
          << threads << " threads";
    }
  }
}

TYPED_TEST(VarianceCovariance, GroupsEqualALoop) {
  using T = TypeParam;
  const Case<T> input({5, 19, 34}, 8);
  const auto of_group = input.sizes[1] * input.sizes[2];
  const auto outcome = run(input, {}, 5, 5);
  for (std::int64_t g = 0; g < 5; ++g) {
    Case<T> one({1, 19, 34}, 0);
    std::copy_n(input.x.begin() + g * of_group, of_group, one.x.begin());
    const auto expected = run(one);
    for (std::int64_t i = 0; i < of_group; ++i)
      EXPECT_EQ(value(outcome.gradient[g * of_group + i]), value(expected.gradient[i])) << i;
  }
}

// In gaps lies NaN, which would spread if it were read.
TYPED_TEST(VarianceCovariance, StridesEqualCopies) {
  using T = TypeParam;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const auto pick = [&](std::int64_t least, std::int64_t most) {
      return std::uniform_int_distribution<std::int64_t>(least, most)(random);
    };
    const Case<T> input({pick(1, 4), pick(2, 30), pick(1, 40)}, seed);
    const auto [groups, samples, features] = input.sizes;
    const auto strided = [&, g = groups, n = samples, d = features](std::vector<T>& memory,
                                                                    double fill) {
      const std::int64_t inner = d + pick(0, 3);
      const bool groups_inside = random() % 2 == 0, backwards = random() % 2 == 0;
      const std::int64_t outer = inner * (groups_inside ? g : n) + pick(0, 3);
      memory.assign(outer * (groups_inside ? n : g), element<T>(fill));
      Samples<T> view{
          memory.data(), g, n, d, groups_inside ? inner : outer, groups_inside ? outer : inner};
      if (backwards)
        view = {view.at(g - 1, n - 1), g, n, d, -view.group_stride, -view.sample_stride};
      for (std::int64_t i = 0; i < g * n; ++i)
        std::copy_n(input.x.begin() + i * d, d, view.at(i / n, i % n));
      return view;
    };
    std::vector<T> x_memory, gradient_memory;
    const Samples<T> x = strided(x_memory, kNaN), gradient_view = strided(gradient_memory, -1024);
    const auto expected = run(input);
    Outcome<T> outcome{T{}, T{}, {}};
    variance_covariance_loss(x, {},
                             {.variance = &outcome.variance,
                              .covariance = &outcome.covariance,
                              .gradient = VarianceCovarianceGradient<T>{gradient_view}});
    for (std::int64_t i = 0; i < groups * samples; ++i) {
      const T* const written = gradient_view.at(i / samples, i % samples);
      outcome.gradient.insert(outcome.gradient.end(), written, written + features);
    }
    EXPECT_EQ(outcome, expected);
    EXPECT_EQ(std::count(gradient_memory.begin(), gradient_memory.end(), element<T>(-1024)),
              std::ssize(gradient_memory) - std::ssize(input.x))
        << "gaps were written";
  }
}

// Each in its own last bits.
TYPED_TEST(VarianceCovariance, InstructionSetsAgree) {
  using T = TypeParam;
  for (const Sizes& sizes : kShapes) {
    const Case<T> input(sizes, 77);
    const auto results = on_every_instruction_set([&] { return run(input); });
    double largest = 0;
    for (const T x : results[0].second.gradient) largest = std::max(largest, std::abs(value(x)));
    for (const auto& [name, outcome] : results) {
      SCOPED_TRACE(name);
      EXPECT_NEAR(value(outcome.variance), value(results[0].second.variance), 2 * kTolerance<T>);
      for (std::size_t i = 0; i < outcome.gradient.size(); ++i)
        EXPECT_NEAR(value(outcome.gradient[i]), value(results[0].second.gradient[i]),
                    2 * kTolerance<T> * largest);
    }
  }
}

TYPED_TEST(VarianceCovariance, SmallIncomingGradientsAreNotLost) {
  using T = TypeParam;
  if constexpr (sizeof(T) >= 4) {
    const double tiny = sizeof(T) == 4 ? 0x1p-100 : 0x1p-900;
    const Case<T> input({1, 20, 40}, 7);
    const auto whole = run(input), outcome = run(input, {}, tiny, tiny);
    for (std::size_t i = 0; i < whole.gradient.size(); ++i)
      EXPECT_EQ(outcome.gradient[i], static_cast<T>(whole.gradient[i] * tiny));
  }
}

// 16-bit samples give what the floats of the same value give, rounded once.
template <typename T>
class VarianceCovarianceOf16Bits : public ::testing::Test {};
using SixteenBitTypes = ::testing::Types<float16, bfloat16>;
TYPED_TEST_SUITE(VarianceCovarianceOf16Bits, SixteenBitTypes);

TYPED_TEST(VarianceCovarianceOf16Bits, GiveTheirFloatsResultsRounded) {
  using T = TypeParam;
  for (const Sizes& sizes : kShapes) {
    const Case<T> input(sizes, 9);
    Case<float> wide(sizes, 9);
    std::transform(input.x.begin(), input.x.end(), wide.x.begin(), [](T x) { return to_float(x); });
    const auto outcome = run(input);
    const auto expected = run(wide);
    EXPECT_EQ(value(outcome.variance), value(element<T>(expected.variance)));
    for (std::size_t i = 0; i < outcome.gradient.size(); ++i)
      EXPECT_EQ(value(outcome.gradient[i]), value(element<T>(expected.gradient[i])));
  }
}

TYPED_TEST(VarianceCovariance, BadInputIsAnErrorBeforeAnythingIsWritten) {
  using T = TypeParam;
  const Case<T> input({2, 3, 4}, 1);
  std::vector<T> gradient_memory(input.x.size(), element<T>(-7));
  T variance = element<T>(-7), covariance = element<T>(-7);
  const auto text_of = [&](const Samples<const T>& x, const Samples<T>& g) {
    const Status status =
        try_variance_covariance_loss(x, {},
                                     {.variance = &variance,
                                      .covariance = &covariance,
                                      .gradient = VarianceCovarianceGradient<T>{g}});
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    return std::string(status.text());
  };
  const auto x = input.view();
  const auto g = input.like_x(gradient_memory);
  constexpr std::int64_t kHuge = std::int64_t{1} << 62;
  EXPECT_EQ(text_of({nullptr, 2, 3, 4, 12, 4}, g), "x [2, 3, 4]: the data pointer is null");
  EXPECT_EQ(text_of({x.data, 2, -3, 4, 12, 4}, g), "x [2, -3, 4]: a size is negative");
  EXPECT_EQ(text_of({x.data, 2, 3, kHuge, 12, 4}, g),
            "x [2, 3, 4611686018427387904]: the product of the sizes overflows");
  EXPECT_EQ(text_of({x.data, 2, 3, 4, 12, kHuge}, g),
            "x [2, 3, 4]: the strides [group 12, sample 4611686018427387904] overflow");
  EXPECT_EQ(text_of(x, {g.data, 2, 3, 3, 12, 4}),
            "x [2, 3, 4] and its gradient [2, 3, 3]: the sizes must be the same");
  EXPECT_EQ(text_of(x, {nullptr, 2, 3, 4, 12, 4}),
            "the gradient of x [2, 3, 4]: the data pointer is null");
  EXPECT_THROW(contiguous_samples<T>(nullptr, 1, 1, 1), InvalidArgument);
  char few[64];
  Workspace small(few, sizeof few);
  EXPECT_EQ(try_variance_covariance_loss(x, {.workspace = &small}, {.variance = &variance}).code(),
            StatusCode::out_of_memory);
  EXPECT_EQ(value(variance), -7);
  EXPECT_EQ(value(covariance), -7);
  for (const T y : gradient_memory) EXPECT_EQ(value(y), -7);
  EXPECT_EQ(variance_covariance_workspace<T>(-1, 1, 1, 1), 0u);
}

}  // namespace
}  // namespace osc
