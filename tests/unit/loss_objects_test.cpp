#include "osc/loss_objects.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "elements.hpp"
#include "oracle.hpp"
#include "osc/error.hpp"

namespace osc {
namespace {

using oracle::Indices;

constexpr double kEps = 1e-10;

// f and p in float or double, [2B, S, C], and the same numbers as the oracle reads them.
template <typename T>
struct Case {
  std::int64_t images, slots, channels;
  std::vector<T> f, p;

  Case(std::int64_t b, std::int64_t s, std::int64_t c, std::uint64_t seed)
      : images(b), slots(s), channels(c), f(2 * b * s * c), p(2 * b * s * c) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    for (T& value : f) value = static_cast<T>(normal(random));
    for (T& value : p) value = static_cast<T>(normal(random));
  }

  std::array<std::int64_t, 3> shape() const { return {2 * images, slots, channels}; }
  std::int64_t losses() const { return 2 * images * slots; }
  T& f_at(std::int64_t view, std::int64_t image, std::int64_t slot, std::int64_t c) {
    return f[((view * images + image) * slots + slot) * channels + c];
  }
  T& p_at(std::int64_t view, std::int64_t image, std::int64_t slot, std::int64_t c) {
    return p[((view * images + image) * slots + slot) * channels + c];
  }
  oracle::Slots plain(const std::vector<T>& x) const {
    oracle::Slots result(2);
    auto value = x.begin();
    for (auto& view : result) {
      view.assign(images, std::vector<oracle::Vector>(slots, oracle::Vector(channels)));
      for (auto& image : view) {
        for (auto& slot : image) {
          for (double& element : slot) element = static_cast<double>(*value++);
        }
      }
    }
    return result;
  }
};

// Everything that one call gives, in memory that a wrong index would be seen in.
template <typename T>
struct Outcome {
  std::vector<T> loss, gradient;
  Indices matching;

  bool operator==(const Outcome& other) const {
    return same_bits<T>(loss, other.loss) && same_bits<T>(gradient, other.gradient) &&
           matching == other.matching;
  }
};

template <typename T>
Outcome<T> run(const Case<T>& input, const MatchingSimilarityOptions& options = {},
               const T* incoming = nullptr) {
  Outcome<T> outcome{
      std::vector<T>(options.reduction == Reduction::none ? input.losses() : 1, T(-7)),
      std::vector<T>(input.p.size(), T(-7)), Indices(input.images * input.slots, -7)};
  matching_similarity_loss_per_img(
      view_major_slots(input.f.data(), input.shape()),
      view_major_slots(input.p.data(), input.shape()), options,
      {.loss = outcome.loss.data(),
       .gradient = SimilarityGradient<T>{view_major_slots(outcome.gradient.data(), input.shape()),
                                         incoming},
       .matching = outcome.matching.data()});
  return outcome;
}

std::vector<Indices> rows(const Indices& matching, std::int64_t images, std::int64_t slots) {
  std::vector<Indices> result;
  for (std::int64_t image = 0; image < images; ++image) {
    result.emplace_back(matching.begin() + image * slots, matching.begin() + (image + 1) * slots);
  }
  return result;
}

template <typename T>
constexpr double kTolerance =
    8.0 * std::numeric_limits<T>::epsilon();  // one rounding to T of numbers up to 1, and room for
                                              // sums in double

template <typename T>
class MatchingSimilarity : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(MatchingSimilarity, Types);

TYPED_TEST(MatchingSimilarity, EqualsTheOracle) {
  using T = TypeParam;
  std::uint64_t seed = 0;
  for (const auto& [b, s, c] : {std::array<std::int64_t, 3>{1, 1, 1},
                                {1, 2, 3},
                                {3, 4, 5},
                                {2, 6, 8},
                                {4, 7, 17},
                                {2, 11, 64},
                                {1, 40, 33}}) {
    for (int repeat = 0; repeat < 5; ++repeat) {
      const Case<T> input(b, s, c, ++seed);
      SCOPED_TRACE(::testing::Message() << b << ", " << s << ", " << c << ", seed " << seed);
      const auto f = input.plain(input.f), p = input.plain(input.p);
      const auto none = run(input, {.reduction = Reduction::none});
      const auto matching = rows(none.matching, b, s);
      for (std::int64_t image = 0; image < b; ++image) {
        // The similarities are rounded to T before they are matched, so the sum may miss the best
        // by as much.
        EXPECT_TRUE(
            oracle::is_optimal(oracle::costs(f, image, kEps), matching[image], 2 * kTolerance<T>));
      }
      const auto expected = oracle::losses(f, p, matching, kEps);
      double sum = 0;
      for (std::int64_t i = 0; i < input.losses(); ++i) {
        EXPECT_NEAR(none.loss[i], expected[i], kTolerance<T>) << i;
        sum += expected[i];
      }
      EXPECT_NEAR(run(input, {.reduction = Reduction::sum}).loss[0], sum,
                  kTolerance<T> * static_cast<double>(input.losses()));
      EXPECT_NEAR(run(input).loss[0], sum / static_cast<double>(input.losses()), kTolerance<T>);
      EXPECT_EQ(matching_similarity_loss_per_img(view_major_slots(input.f.data(), input.shape()),
                                                 view_major_slots(input.p.data(), input.shape())),
                run(input).loss[0]);
    }
  }
}

TYPED_TEST(MatchingSimilarity, MatchingEqualsBruteForce) {
  using T = TypeParam;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const std::int64_t slots = 1 + static_cast<std::int64_t>(seed % 7);
    const Case<T> input(2, slots, 5, seed);
    Indices matching(2 * slots);
    match_slots(view_major_slots(input.f.data(), input.shape()), matching.data());
    EXPECT_EQ(matching, run(input).matching);
    for (std::size_t image = 0; image < 2; ++image) {
      const auto costs = oracle::costs(input.plain(input.f), image, kEps);
      double total = 0;
      for (std::int64_t s = 0; s < slots; ++s) total += costs[s][matching[image * slots + s]];
      EXPECT_NEAR(total, oracle::least_total(costs), static_cast<double>(2 * slots) * kTolerance<T>)
          << "seed " << seed;
    }
  }
}

TYPED_TEST(MatchingSimilarity, GradientEqualsCentralDifferencesOfTheOracle) {
  using T = TypeParam;
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
    const Case<T> input(2, 3, 4, 11);
    std::vector<T> incoming(reduction == Reduction::none ? input.losses() : 1);
    for (std::size_t i = 0; i < incoming.size(); ++i)
      incoming[i] = static_cast<T>(0.5 + 0.25 * static_cast<double>(i));
    const auto outcome = run(input, {.reduction = reduction}, incoming.data());
    const auto f = input.plain(input.f);
    const auto matching = rows(outcome.matching, input.images, input.slots);
    const auto weighted = [&](const std::vector<double>& p) {
      oracle::Slots slots = input.plain(input.p);
      auto value = p.begin();
      for (auto& view : slots) {
        for (auto& image : view) {
          for (auto& slot : image) {
            for (double& element : slot) element = *value++;
          }
        }
      }
      const auto losses = oracle::losses(f, slots, matching, kEps);
      double result = 0;
      for (std::size_t i = 0; i < losses.size(); ++i)
        result += losses[i] * static_cast<double>(incoming[reduction == Reduction::none ? i : 0]);
      return reduction == Reduction::mean ? result / static_cast<double>(losses.size()) : result;
    };
    for (std::size_t i = 0; i < input.p.size(); ++i) {
      std::vector<double> up(input.p.begin(), input.p.end()), down = up;
      constexpr double kStep = 1e-6;
      up[i] += kStep;
      down[i] -= kStep;
      EXPECT_NEAR(outcome.gradient[i], (weighted(up) - weighted(down)) / (2 * kStep),
                  1e-8 + kTolerance<T>)
          << "element " << i;
    }
  }
}

TYPED_TEST(MatchingSimilarity, ShortSlotsFollowTheFloorOfTheNorm) {
  using T = TypeParam;
  // p has norm 0.5 under a floor of 2: unit(p) = p / 2, loss = (1 - <p/2, u>) / 2, gradient = -u
  // / 4.
  const std::vector<T> f = {3, 4, 3, 4}, p = {T(0.5), 0, 0, 0};
  std::vector<T> loss(2), gradient(4);
  matching_similarity_loss_per_img(
      view_major_slots(f.data(), {2, 1, 2}), view_major_slots(p.data(), {2, 1, 2}),
      {.reduction = Reduction::none, .eps = 2},
      {.loss = loss.data(),
       .gradient = SimilarityGradient<T>{view_major_slots(gradient.data(), {2, 1, 2})}});
  EXPECT_NEAR(loss[0], (1 - 0.25 * 0.6) / 2, kTolerance<T>);
  EXPECT_EQ(loss[1], T(0.5));  // a zero slot
  EXPECT_NEAR(gradient[0], -0.6 / 4, kTolerance<T>);
  EXPECT_NEAR(gradient[1], -0.8 / 4, kTolerance<T>);
  EXPECT_NEAR(gradient[2], -0.6 / 4, kTolerance<T>);
}

TYPED_TEST(MatchingSimilarity, ZeroSlotsOnAnyFloor) {
  using T = TypeParam;
  const std::vector<T> zeros(2 * 3 * 4, 0);
  for (const double eps : {1e-10, 1e-310, 1e300}) {
    std::vector<T> loss(6), gradient(24, T(-7));
    Indices matching(3);
    const auto slots = view_major_slots(zeros.data(), {2, 3, 4});
    matching_similarity_loss_per_img(
        slots, slots, {.reduction = Reduction::none, .eps = eps},
        {.loss = loss.data(),
         .gradient = SimilarityGradient<T>{view_major_slots(gradient.data(), {2, 3, 4})},
         .matching = matching.data()});
    for (const T value : loss) EXPECT_EQ(value, T(0.5));
    for (const T value : gradient) EXPECT_EQ(value, T(0));
    EXPECT_EQ(matching, (Indices{0, 1, 2}));
  }
}

TYPED_TEST(MatchingSimilarity, MagnitudeDoesNotMatter) {
  using T = TypeParam;
  constexpr bool kDouble = sizeof(T) == 8;
  const Case<T> input(2, 5, 9, 21);
  const MatchingSimilarityOptions options{.reduction = Reduction::none, .eps = 1e-307};
  const auto expected = run(input, options);
  for (const int exponent : kDouble ? std::vector<int>{-900, -600, -100, 100, 600, 1019}
                                    : std::vector<int>{-100, -60, 60, 124}) {
    SCOPED_TRACE(exponent);
    Case<T> scaled = input;
    for (T& value : scaled.f) value = std::ldexp(value, exponent);
    for (T& value : scaled.p) value = std::ldexp(value, exponent);
    const auto outcome = run(scaled, options);
    EXPECT_EQ(outcome.matching, expected.matching);
    for (std::size_t i = 0; i < expected.loss.size(); ++i)
      EXPECT_NEAR(outcome.loss[i], expected.loss[i], kTolerance<T>);
    if (exponent > (kDouble ? 1000 : 100))
      continue;  // the gradient itself is too small for all of T's bits
    for (std::size_t i = 0; i < expected.gradient.size(); ++i) {
      EXPECT_NEAR(std::ldexp(static_cast<double>(outcome.gradient[i]), exponent),
                  expected.gradient[i], kTolerance<T>);
    }
  }
  // The largest finite numbers: their norm is no number of T, their direction is.
  const std::vector<T> largest(2 * 1 * 4, std::numeric_limits<T>::max());
  const auto slots = view_major_slots(largest.data(), {2, 1, 4});
  std::vector<T> gradient(8, T(-7));
  T loss = -7;
  matching_similarity_loss_per_img(
      slots, slots, {},
      {.loss = &loss,
       .gradient = SimilarityGradient<T>{view_major_slots(gradient.data(), {2, 1, 4})}});
  EXPECT_NEAR(loss, 0, kTolerance<T>);
  for (const T value : gradient) EXPECT_NEAR(value, 0, kTolerance<T>);
}

TYPED_TEST(MatchingSimilarity, NonFiniteStaysInItsImage) {
  using T = TypeParam;
  using Limits = std::numeric_limits<T>;
  const Case<T> clean(3, 4, 9, 31);
  const auto expected = run(clean, {.reduction = Reduction::none});
  std::mt19937_64 random(5);
  for (int repeat = 0; repeat < 1200; ++repeat) {
    SCOPED_TRACE(::testing::Message() << "repeat " << repeat);
    Case<T> spoilt = clean;
    const auto pick = [&](std::int64_t size) {
      return std::uniform_int_distribution<std::int64_t>(0, size - 1)(random);
    };
    const std::int64_t image = pick(3), view = pick(2), slot = pick(4), channel = pick(9);
    const bool in_f = repeat % 2 == 0;
    (in_f ? spoilt.f_at(view, image, slot, channel) : spoilt.p_at(view, image, slot, channel)) =
        std::array{Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}[repeat % 3];
    const auto outcome = run(spoilt, {.reduction = Reduction::none});
    for (std::int64_t v = 0; v < 2; ++v) {
      for (std::int64_t i = 0; i < 3; ++i) {
        for (std::int64_t s = 0; s < 4; ++s) {
          const auto index = (v * 3 + i) * 4 + s;
          if (i == image) {
            EXPECT_TRUE(std::isnan(outcome.loss[index]));
          } else {
            EXPECT_EQ(outcome.loss[index], expected.loss[index]);
          }
          for (std::int64_t c = 0; c < 9; ++c) {
            const T gradient = outcome.gradient[index * 9 + c];
            EXPECT_TRUE(i == image ? std::isnan(gradient)
                                   : gradient == expected.gradient[index * 9 + c]);
          }
        }
      }
    }
    for (std::int64_t i = 0; i < 12; ++i)
      EXPECT_EQ(outcome.matching[i], i / 4 == image ? -1 : expected.matching[i]);
    EXPECT_TRUE(std::isnan(run(spoilt).loss[0]));

    std::vector<T> untouched(clean.p.size(), T(-7));
    T loss = -7;
    try {
      matching_similarity_loss_per_img(
          view_major_slots(spoilt.f.data(), spoilt.shape()),
          view_major_slots(spoilt.p.data(), spoilt.shape()), {.on_nonfinite = NonFinite::raise},
          {.loss = &loss,
           .gradient = SimilarityGradient<T>{view_major_slots(untouched.data(), spoilt.shape())}});
      FAIL() << "no error";
    } catch (const NonFiniteError& error) {
      EXPECT_EQ(error.image, image);
      EXPECT_EQ(std::string(error.what()), (in_f ? "f: image " : "p: image ") +
                                               std::to_string(image) +
                                               " of 3 holds a NaN or an infinity");
    }
    EXPECT_EQ(loss, T(-7));
    EXPECT_EQ(untouched, std::vector<T>(clean.p.size(), T(-7)));
  }
}

TYPED_TEST(MatchingSimilarity, MatchSlotsAndNonFinite) {
  using T = TypeParam;
  Case<T> input(3, 2, 2, 32);
  input.f_at(1, 1, 0, 1) = std::numeric_limits<T>::infinity();
  Indices matching(6, -7);
  const auto slots = view_major_slots(input.f.data(), input.shape());
  match_slots(slots, matching.data());
  EXPECT_EQ(matching[2], -1);
  EXPECT_EQ(matching[3], -1);
  EXPECT_GE(matching[0], 0);
  EXPECT_GE(matching[5], 0);
  EXPECT_THROW(match_slots(slots, matching.data(), {.on_nonfinite = NonFinite::raise}),
               NonFiniteError);
  EXPECT_THROW(match_slots(slots, nullptr), InvalidArgument);
}

TYPED_TEST(MatchingSimilarity, EmptySizes) {
  using T = TypeParam;
  for (const auto& [b, s, c] : {std::array<std::int64_t, 3>{0, 3, 4}, {2, 0, 4}, {0, 0, 0}}) {
    const Case<T> input(b, s, c, 1);
    EXPECT_TRUE(std::isnan(run(input, {.reduction = Reduction::mean}).loss[0]));
    EXPECT_EQ(run(input, {.reduction = Reduction::sum}).loss[0], 0);
    EXPECT_TRUE(run(input, {.reduction = Reduction::none}).loss.empty());
  }
  const auto no_channels = run(Case<T>(2, 3, 0, 1), {.reduction = Reduction::none});
  EXPECT_EQ(no_channels.loss, std::vector<T>(12, T(0.5)));
  EXPECT_EQ(no_channels.matching, (Indices{0, 1, 2, 0, 1, 2}));
  T loss = -7;
  const SlotPairs<const T> null{nullptr, 1, 2, 0, 5, 3, 2};
  matching_similarity_loss_per_img(null, null, {}, {.loss = &loss});
  EXPECT_EQ(loss, T(0.5));
}

TYPED_TEST(MatchingSimilarity, AnyNumberOfThreadsGivesTheSameBits) {
  using T = TypeParam;
  ThreadPool one(1), two(2), three(3), five(5), sixteen(16);
  std::uint64_t seed = 0;
  for (const auto& [images, slots, channels] : {std::array<std::int64_t, 3>{301, 7, 24},
                                                {64, 11, 33},
                                                {17, 40, 65},
                                                {1000, 2, 3},
                                                {5, 90, 128}}) {
    Case<T> input(images, slots, channels, ++seed);
    input.p_at(1, images / 2, 1, 1) = std::numeric_limits<T>::infinity();
    for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
      const auto expected = run(input, {.reduction = reduction, .executor = &one});
      EXPECT_EQ(run(input, {.reduction = reduction}), expected) << "seed " << seed;
      for (ThreadPool* const pool : {&two, &three, &five, &sixteen})
        EXPECT_EQ(run(input, {.reduction = reduction, .executor = pool}), expected)
            << "seed " << seed;
    }
  }
}

// The properties: of small batches of every size, each of a seed of its own, which a failure
// prints.
constexpr std::uint64_t kSeeds = 1000;

template <typename T>
Case<T> seeded_case(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto pick = [&](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(random);
  };
  const std::int64_t slots = pick(0, 9) == 0 ? pick(10, 34) : pick(1, 9);
  return Case<T>(pick(1, 4), slots, pick(2, 40), seed);
}

// In every image and view, slot s becomes what slot order[view][image][s] was.
template <typename T>
Case<T> permuted(const Case<T>& input, const std::vector<std::vector<Indices>>& order) {
  Case<T> result = input;
  for (std::int64_t view = 0; view < 2; ++view) {
    for (std::int64_t image = 0; image < input.images; ++image) {
      for (std::int64_t s = 0; s < input.slots; ++s) {
        const auto from =
            ((view * input.images + image) * input.slots + order[view][image][s]) * input.channels;
        std::copy_n(input.f.begin() + from, input.channels, &result.f_at(view, image, s, 0));
        std::copy_n(input.p.begin() + from, input.channels, &result.p_at(view, image, s, 0));
      }
    }
  }
  return result;
}

TYPED_TEST(MatchingSimilarity, PermutingSlotsPermutesTheResult) {
  using T = TypeParam;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    const Case<T> input = seeded_case<T>(seed);
    std::mt19937_64 random(seed);
    std::vector<std::vector<Indices>> order(
        2, std::vector<Indices>(input.images, Indices(input.slots)));
    for (auto& view : order) {
      for (Indices& image : view) {
        std::iota(image.begin(), image.end(), 0);
        std::shuffle(image.begin(), image.end(), random);
      }
    }
    const auto original = run(input, {.reduction = Reduction::none}),
               outcome = run(permuted(input, order), {.reduction = Reduction::none});
    bool same = true;
    for (std::int64_t view = 0; view < 2; ++view) {
      for (std::int64_t image = 0; image < input.images; ++image) {
        const auto row = (view * input.images + image) * input.slots;
        for (std::int64_t s = 0; s < input.slots; ++s) {
          const auto before = order[view][image][s];
          if (view == 0)
            same &= order[1][image][outcome.matching[row + s]] == original.matching[row + before];
          same &= outcome.loss[row + s] == original.loss[row + before];
          same &= std::equal(outcome.gradient.begin() + (row + s) * input.channels,
                             outcome.gradient.begin() + (row + s + 1) * input.channels,
                             original.gradient.begin() + (row + before) * input.channels);
        }
      }
    }
    EXPECT_TRUE(same);
  }
}

TYPED_TEST(MatchingSimilarity, SwappingViewsSwapsTheResult) {
  using T = TypeParam;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    const Case<T> input = seeded_case<T>(seed);
    Case<T> swapped = input;
    std::rotate(swapped.f.begin(), swapped.f.begin() + std::ssize(swapped.f) / 2, swapped.f.end());
    std::rotate(swapped.p.begin(), swapped.p.begin() + std::ssize(swapped.p) / 2, swapped.p.end());
    const auto original = run(input, {.reduction = Reduction::none}),
               outcome = run(swapped, {.reduction = Reduction::none});
    double worst = 0;
    const auto compare = [&](const std::vector<T>& a, const std::vector<T>& b) {
      for (std::size_t i = 0; i < a.size(); ++i)
        worst = std::max(worst, std::abs(static_cast<double>(a[i]) -
                                         static_cast<double>(b[(i + b.size() / 2) % b.size()])));
    };
    compare(outcome.loss, original.loss);
    compare(outcome.gradient, original.gradient);  // of slots whose norm is about 1
    EXPECT_LE(worst, 4 * kTolerance<T>);
    bool inverse = true;
    for (std::int64_t image = 0; image < input.images; ++image) {
      const auto row = image * input.slots;
      for (std::int64_t s = 0; s < input.slots; ++s)
        inverse &= outcome.matching[row + original.matching[row + s]] == s;
    }
    EXPECT_TRUE(inverse);
  }
}

// By powers of two, which are exact: each slot by its own.
TYPED_TEST(MatchingSimilarity, ScalingSlotsScalesTheGradientAlone) {
  using T = TypeParam;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    const Case<T> input = seeded_case<T>(seed);
    Case<T> scaled = input;
    std::mt19937_64 random(seed);
    std::vector<int> exponents;  // of p
    const auto scale = [&](std::vector<T>& x, std::int64_t slot) {
      const int exponent = std::uniform_int_distribution<>(-25, 25)(random);
      for (std::int64_t c = 0; c < input.channels; ++c)
        x[slot * input.channels + c] = std::ldexp(x[slot * input.channels + c], exponent);
      return exponent;
    };
    for (std::int64_t slot = 0; slot < input.losses(); ++slot) {
      scale(scaled.f, slot);
      exponents.push_back(scale(scaled.p, slot));
    }
    const MatchingSimilarityOptions options{.reduction = Reduction::none, .eps = 1e-20};
    const auto original = run(input, options), outcome = run(scaled, options);
    EXPECT_EQ(outcome.matching, original.matching);
    double worst = 0;
    for (std::int64_t slot = 0; slot < input.losses(); ++slot) {
      worst =
          std::max(worst, std::abs(static_cast<double>(outcome.loss[slot] - original.loss[slot])));
      for (std::int64_t c = slot * input.channels; c < (slot + 1) * input.channels; ++c) {
        worst = std::max(
            worst, std::abs(std::ldexp(static_cast<double>(outcome.gradient[c]), exponents[slot]) -
                            static_cast<double>(original.gradient[c])));
      }
    }
    EXPECT_LE(worst, 4 * kTolerance<T>);
  }
}

TYPED_TEST(MatchingSimilarity, BatchEqualsLoop) {
  using T = TypeParam;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    const Case<T> input = seeded_case<T>(seed);
    const auto batch = run(input, {.reduction = Reduction::none});
    const auto image_size = input.slots * input.channels;
    for (std::int64_t image = 0; image < input.images; ++image) {
      Case<T> single(1, input.slots, input.channels, 0);
      Outcome<T> expected{{},
                          {},
                          Indices(batch.matching.begin() + image * input.slots,
                                  batch.matching.begin() + (image + 1) * input.slots)};
      for (std::int64_t view = 0; view < 2; ++view) {
        const auto row = view * input.images + image;
        std::copy_n(input.f.begin() + row * image_size, image_size,
                    single.f.begin() + view * image_size);
        std::copy_n(input.p.begin() + row * image_size, image_size,
                    single.p.begin() + view * image_size);
        expected.loss.insert(expected.loss.end(), batch.loss.begin() + row * input.slots,
                             batch.loss.begin() + (row + 1) * input.slots);
        expected.gradient.insert(expected.gradient.end(), batch.gradient.begin() + row * image_size,
                                 batch.gradient.begin() + (row + 1) * image_size);
      }
      EXPECT_EQ(run(single, {.reduction = Reduction::none}), expected) << "image " << image;
    }
  }
}

// Any order of views, images and slots in memory, backwards too, with gaps whose NaN would spread
// if it were read.
TYPED_TEST(MatchingSimilarity, StridesEqualCopies) {
  using T = TypeParam;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    const Case<T> input = seeded_case<T>(seed);
    std::mt19937_64 random(seed);
    const std::int64_t sizes[3] = {2, input.images, input.slots};
    struct Strided {
      std::vector<T> memory;
      SlotPairs<T> view;
    };
    const auto strided = [&](const std::vector<T>& values, T fill) {
      int order[3] = {0, 1, 2};
      std::shuffle(order, order + 3, random);
      std::int64_t strides[3] = {}, first = 0,
                   stride = input.channels + std::uniform_int_distribution<>(0, 3)(random);
      for (const int dimension : order) {
        const bool backwards = random() % 2 == 0;
        strides[dimension] = backwards ? -stride : stride;
        if (backwards) first += (sizes[dimension] - 1) * stride;
        stride = stride * sizes[dimension] + std::uniform_int_distribution<>(0, 3)(random);
      }
      Strided result{
          std::vector<T>(stride, fill),
          {nullptr, input.images, input.slots, input.channels, strides[0], strides[1], strides[2]}};
      result.view.data = result.memory.data() + first;
      auto value = values.begin();
      for (std::int64_t view = 0; view < 2; ++view) {
        for (std::int64_t image = 0; image < input.images; ++image) {
          for (std::int64_t slot = 0; slot < input.slots; ++slot, value += input.channels)
            std::copy_n(value, input.channels, result.view.at(view, image, slot));
        }
      }
      return result;
    };
    const auto expected = run(input, {.reduction = Reduction::none});
    const Strided f = strided(input.f, std::numeric_limits<T>::quiet_NaN()),
                  p = strided(input.p, std::numeric_limits<T>::quiet_NaN()),
                  gradient = strided(input.p, T(-1234));
    Outcome<T> outcome{std::vector<T>(expected.loss.size()), {}, Indices(expected.matching.size())};
    matching_similarity_loss_per_img(f.view, p.view, {.reduction = Reduction::none},
                                     {.loss = outcome.loss.data(),
                                      .gradient = SimilarityGradient<T>{gradient.view},
                                      .matching = outcome.matching.data()});
    for (std::int64_t view = 0; view < 2; ++view) {
      for (std::int64_t image = 0; image < input.images; ++image) {
        for (std::int64_t slot = 0; slot < input.slots; ++slot) {
          const T* const written = gradient.view.at(view, image, slot);
          outcome.gradient.insert(outcome.gradient.end(), written, written + input.channels);
        }
      }
    }
    EXPECT_EQ(outcome, expected);
    EXPECT_EQ(std::count(gradient.memory.begin(), gradient.memory.end(), T(-1234)),
              std::ssize(gradient.memory) - std::ssize(input.p))
        << "gaps were written";
  }
}

TYPED_TEST(MatchingSimilarity, TheSumIsTheMeanTimesTheNumberOfLosses) {
  using T = TypeParam;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const Case<T> input = seeded_case<T>(seed);
    const auto count = static_cast<double>(input.losses());
    const auto none = run(input, {.reduction = Reduction::none}), mean = run(input),
               sum = run(input, {.reduction = Reduction::sum});
    const double total = std::accumulate(none.loss.begin(), none.loss.end(), 0.0);
    const double rounding =
        (std::numeric_limits<T>::epsilon() + count * std::numeric_limits<double>::epsilon()) *
        total;
    EXPECT_NEAR(sum.loss[0], static_cast<double>(mean.loss[0]) * count, rounding)
        << "seed " << seed;
    EXPECT_NEAR(sum.loss[0], total, rounding) << "seed " << seed;
    EXPECT_EQ(sum.gradient, none.gradient) << "seed " << seed;
    double worst = 0;
    for (std::size_t i = 0; i < none.gradient.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(mean.gradient[i]) * count -
                                       static_cast<double>(none.gradient[i])));
    EXPECT_LE(worst, 4 * kTolerance<T>) << "seed " << seed;
  }
}

// Each in its own last bits; of slots without near ties, the same matching.
TYPED_TEST(MatchingSimilarity, InstructionSetsAgree) {
  using T = TypeParam;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const Case<T> input = seeded_case<T>(seed);
    const auto results =
        on_every_instruction_set([&] { return run(input, {.reduction = Reduction::none}); });
    for (const auto& [name, outcome] : results) {
      SCOPED_TRACE(::testing::Message() << "seed " << seed << ", " << name);
      const Outcome<T>& baseline = results[0].second;
      EXPECT_EQ(outcome.matching, baseline.matching);
      double worst = 0;
      for (std::size_t i = 0; i < outcome.loss.size(); ++i)
        worst = std::max(worst, std::abs(static_cast<double>(outcome.loss[i] - baseline.loss[i])));
      for (std::size_t i = 0; i < outcome.gradient.size(); ++i)
        worst = std::max(worst,
                         std::abs(static_cast<double>(outcome.gradient[i] - baseline.gradient[i])));
      EXPECT_LE(worst, 4 * kTolerance<T>);
    }
  }
}

// Slots of every magnitude that the type has, side by side, down to a single denormal and up to the
// largest number; some zero, some the same as others.
TYPED_TEST(MatchingSimilarity, SlotsOfAnyMagnitudeEqualTheOracle) {
  using T = TypeParam;
  constexpr int kLeast = std::numeric_limits<T>::min_exponent - std::numeric_limits<T>::digits,
                kMost = std::numeric_limits<T>::max_exponent - 4;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Case<T> input = seeded_case<T>(seed);
    std::mt19937_64 random(seed);
    for (std::vector<T>* const x : {&input.f, &input.p}) {
      for (std::int64_t slot = 0; slot < input.losses(); ++slot) {
        T* const values = x->data() + slot * input.channels;
        const int kind = std::uniform_int_distribution<>(0, 9)(random),
                  exponent = std::uniform_int_distribution<>(kLeast, kMost)(random);
        for (std::int64_t c = 0; c < input.channels; ++c)
          values[c] = kind == 0 ? T(0) : std::ldexp(values[c], exponent);
        if (kind == 1 && slot > 0) std::copy_n(values - input.channels, input.channels, values);
      }
    }
    const double eps = std::array{1e-10, 1e-30, 1e-300}[seed % 3];
    const auto outcome = run(input, {.reduction = Reduction::none, .eps = eps});
    const auto matching = rows(outcome.matching, input.images, input.slots);
    const auto f = input.plain(input.f), p = input.plain(input.p);
    for (std::int64_t image = 0; image < input.images; ++image) {
      EXPECT_TRUE(
          oracle::is_optimal(oracle::costs(f, image, eps), matching[image], 4 * kTolerance<T>))
          << "image " << image;
    }
    const auto losses = oracle::losses(f, p, matching, eps);
    std::int64_t index = 0;
    for (std::size_t view = 0; view < 2; ++view) {
      for (std::size_t image = 0; image < p[view].size(); ++image) {
        for (std::size_t slot = 0; slot < p[view][image].size(); ++slot, ++index) {
          EXPECT_NEAR(outcome.loss[index], losses[index], kTolerance<T>);
          const auto& x = p[view][image][slot];
          const auto gradient = oracle::gradient(
              x, f[1 - view][image][oracle::target_of(matching, view, image, slot)], 1, eps);
          // The gradient is of the size of 1 / max(|x|, eps), and may be beyond the type at either
          // end.
          const double size = oracle::largest(x) > eps ? 1 / oracle::largest(x) : 1 / eps;
          for (std::int64_t c = 0; c < input.channels; ++c) {
            const auto given = static_cast<double>(outcome.gradient[index * input.channels + c]);
            if (std::abs(gradient[c]) > 0.9 * static_cast<double>(std::numeric_limits<T>::max()))
              continue;
            EXPECT_NEAR(
                given, gradient[c],
                kTolerance<T> * size + static_cast<double>(std::numeric_limits<T>::denorm_min()))
                << "slot " << index << ", channel " << c;
          }
        }
      }
    }
  }
}

// Whatever comes in: where the gradient is a number of T, it is right to some of T's last bits,
// also where what it is made of is none, or where the gradient of 1 would be none.
TYPED_TEST(MatchingSimilarity, GradientsOfAnyIncomingEqualTheOracle) {
  using T = TypeParam;
  using Limits = std::numeric_limits<T>;
  constexpr int kLeast = Limits::min_exponent - Limits::digits, kMost = Limits::max_exponent - 4;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    Case<T> input = seeded_case<T>(seed);
    std::mt19937_64 random(seed);
    const auto exponent = [&](int least, int most) {
      return std::uniform_int_distribution<>(least, most)(random);
    };
    // p and what comes in are far apart, or not.
    const int of_p = exponent(kLeast, kMost),
              of_incoming = seed % 2 == 0 ? exponent(kLeast, kMost)
                                          : std::clamp(of_p + exponent(-40, 40), kLeast, kMost);
    for (T& x : input.p) x = std::ldexp(x, of_p);
    const T incoming = std::ldexp(T(1.375), of_incoming);
    const double eps = std::array{1e-10, 1e-30, 1e-300, 1e-310}[seed % 4];
    for (const Reduction reduction : {Reduction::mean, Reduction::sum}) {
      SCOPED_TRACE(::testing::Message() << "seed " << seed << ", p * 2^" << of_p << ", incoming 2^"
                                        << of_incoming << ", eps " << eps);
      const auto outcome = run(input, {.reduction = reduction, .eps = eps}, &incoming);
      const auto matching = rows(outcome.matching, input.images, input.slots);
      const auto f = input.plain(input.f), p = input.plain(input.p);
      const long double weight =
          static_cast<long double>(incoming) /
          static_cast<long double>(reduction == Reduction::mean ? input.losses() : 1);
      std::int64_t index = 0;
      for (std::size_t view = 0; view < 2; ++view) {
        for (std::size_t image = 0; image < p[view].size(); ++image) {
          for (std::size_t slot = 0; slot < p[view][image].size(); ++slot) {
            const auto expected = oracle::wide_gradient(
                p[view][image][slot],
                f[1 - view][image][oracle::target_of(matching, view, image, slot)], weight, eps);
            const long double size =
                weight / std::max<long double>(oracle::largest(p[view][image][slot]), eps);
            for (const long double value : expected) {
              const T given = outcome.gradient[index++];
              if (std::abs(value) > static_cast<long double>(Limits::max())) continue;
              EXPECT_LE(std::abs(given - value),
                        kTolerance<T> * size + static_cast<long double>(Limits::denorm_min()));
            }
          }
        }
      }
    }
  }
}

// Multiplied afterwards it is as right, where the call says so: for ordinary slots, not where the
// gradient of 1 has lost bits.
TYPED_TEST(MatchingSimilarity, SaysWhetherTheGradientScales) {
  using T = TypeParam;
  using Limits = std::numeric_limits<T>;
  for (int exponent = Limits::min_exponent; exponent < Limits::max_exponent - 4; ++exponent) {
    SCOPED_TRACE(exponent);
    Case<T> input(40, 5, 8, 3);
    for (T& x : input.p) x = std::ldexp(x, exponent);
    std::vector<T> gradient(input.p.size());
    T loss{};
    bool scales = false;
    const auto f = view_major_slots<const T>(input.f.data(), input.shape()),
               p = view_major_slots<const T>(input.p.data(), input.shape());
    const MatchingSimilarityOptions options{.eps = Limits::min()};
    matching_similarity_loss_per_img(
        f, p, options,
        {.loss = &loss,
         .gradient = SimilarityGradient<T>{view_major_slots(gradient.data(), input.shape())},
         .gradient_scales = &scales});
    // of some 2^-exponent / 800
    if (std::abs(exponent) < (sizeof(T) == 4 ? 80 : 900)) {
      EXPECT_TRUE(scales);
    }
    if (exponent > Limits::max_exponent - 10) {
      EXPECT_FALSE(scales);
    }
    if (!scales) continue;
    const T by = std::ldexp(T(1.375), exponent);
    std::vector<T> expected(input.p.size());
    matching_similarity_loss_per_img(
        f, p, options,
        {.loss = &loss,
         .gradient = SimilarityGradient<T>{view_major_slots(expected.data(), input.shape()), &by}});
    double worst = 0;
    for (std::size_t i = 0; i < gradient.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(gradient[i] * by - expected[i])));
    EXPECT_LE(worst, kTolerance<T> / 100);
  }
}

// The loss has the same bits whether its gradient is asked for or not, and whatever comes in for
// it: also where a gradient takes more care than its loss.
TYPED_TEST(MatchingSimilarity, TheLossDoesNotDependOnItsGradient) {
  using T = TypeParam;
  using Limits = std::numeric_limits<T>;
  constexpr int kLeast = Limits::min_exponent - Limits::digits, kMost = Limits::max_exponent - 4;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    Case<T> input = seeded_case<T>(seed);
    std::mt19937_64 random(seed);
    const auto exponent = [&](int least, int most) {
      return std::uniform_int_distribution<>(least, most)(random);
    };
    // Of some batches, slots that are zero; of some, slots of any magnitude.
    for (std::vector<T>* const x : {&input.f, &input.p}) {
      for (std::int64_t slot = 0; slot < input.losses(); ++slot) {
        const int kind = exponent(0, 5);
        for (std::int64_t c = slot * input.channels; c < (slot + 1) * input.channels; ++c) {
          T& element = (*x)[c];
          if (kind == 0) element = 0;
          if (kind == 1 && seed % 4 == 1) element = std::ldexp(element, exponent(kLeast, kMost));
        }
      }
    }
    const double eps = std::array{1e-10, 1e-300, 1e-40, 1e30}[seed / 4 % 4];
    SCOPED_TRACE(::testing::Message() << "seed " << seed << ", eps " << eps);
    for (const Reduction reduction : {Reduction::mean, Reduction::none}) {
      std::vector<T> loss(reduction == Reduction::none ? input.losses() : 1, T(-7));
      Indices matching(input.images * input.slots, -7);
      matching_similarity_loss_per_img(view_major_slots(input.f.data(), input.shape()),
                                       view_major_slots(input.p.data(), input.shape()),
                                       {.reduction = reduction, .eps = eps},
                                       {.loss = loss.data(), .matching = matching.data()});
      std::vector<T> incoming(loss.size());
      for (const int of_incoming : {kLeast, kLeast / 2, 0, kMost / 2, kMost}) {
        std::fill(incoming.begin(), incoming.end(), std::ldexp(T(1), of_incoming));
        const auto outcome = run(input, {.reduction = reduction, .eps = eps}, incoming.data());
        EXPECT_TRUE(same_bits<T>(outcome.loss, loss)) << "incoming 2^" << of_incoming;
        EXPECT_EQ(outcome.matching, matching);
      }
    }
  }
}

TYPED_TEST(MatchingSimilarity, BackwardWithTheSavedMatchingEqualsTheOnePass) {
  using T = TypeParam;
  Case<T> input(4, 5, 13, 47);
  input.p_at(1, 2, 3, 4) = std::numeric_limits<T>::quiet_NaN();
  for (const Reduction reduction : {Reduction::mean, Reduction::none}) {
    std::vector<T> incoming(input.losses());
    for (std::size_t i = 0; i < incoming.size(); ++i) incoming[i] = static_cast<T>(1 + i % 3);
    const auto expected = run(input, {.reduction = reduction}, incoming.data());
    auto outcome = expected;
    std::fill(outcome.gradient.begin(), outcome.gradient.end(), T(-7));
    const auto backward = [&](const Indices& matching) {
      matching_similarity_loss_per_img_backward(
          view_major_slots(input.f.data(), input.shape()),
          view_major_slots(input.p.data(), input.shape()), matching.data(),
          {.reduction = reduction},
          {view_major_slots(outcome.gradient.data(), input.shape()), incoming.data()});
    };
    backward(expected.matching);
    EXPECT_EQ(outcome, expected);
    for (const std::int64_t wrong : {std::int64_t{-1}, std::int64_t{5}, expected.matching[6]}) {
      Indices matching = expected.matching;
      matching[5] = wrong;
      EXPECT_THROW(backward(matching), InvalidArgument) << wrong;
    }
  }
}

TYPED_TEST(MatchingSimilarity, BadInputIsAnErrorBeforeAnythingIsWritten) {
  using T = TypeParam;
  std::vector<T> data(64, T(1)), gradient(64, T(-7));
  T loss = -7;
  std::int64_t matching[8] = {-7, -7, -7, -7, -7, -7, -7, -7};
  const auto slots = view_major_slots<const T>(data.data(), {4, 2, 3});
  const auto call = [&](const SlotPairs<const T>& f, const SlotPairs<const T>& p,
                        const SlotPairs<T>& g, const MatchingSimilarityOptions& options) {
    matching_similarity_loss_per_img(
        f, p, options, {.loss = &loss, .gradient = SimilarityGradient<T>{g}, .matching = matching});
  };
  const auto good = view_major_slots(gradient.data(), {4, 2, 3});
  const auto other = view_major_slots<const T>(data.data(), {4, 3, 2});
  EXPECT_THROW(call(slots, other, good, {}), InvalidArgument);
  EXPECT_THROW(call(other, slots, good, {}), InvalidArgument);
  EXPECT_THROW(call(slots, slots, view_major_slots(gradient.data(), {2, 2, 3}), {}),
               InvalidArgument);
  EXPECT_THROW(call(SlotPairs<const T>{nullptr, 2, 2, 3}, slots, good, {}), InvalidArgument);
  for (const double eps : {0.0, -1.0, std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THROW(call(slots, slots, good, {.eps = eps}), InvalidArgument);
  }
  EXPECT_THROW(matching_similarity_loss_per_img(slots, slots, {.reduction = Reduction::none}),
               InvalidArgument);
  EXPECT_EQ(loss, T(-7));
  EXPECT_EQ(gradient, std::vector<T>(64, T(-7)));
  EXPECT_EQ(matching[0], -7);
}

// Cosines that are nearly tied, and slots of p that take the careful way: the matching is that of
// f, whichever way p takes.
TEST(MatchingSimilarityOfFloats, TheMatchingDoesNotDependOnP) {
  std::mt19937_64 random(31);
  std::normal_distribution<float> normal;
  for (int repeat = 0; repeat < 200; ++repeat) {
    SCOPED_TRACE(repeat);
    constexpr std::int64_t kSlots = 6, kChannels = 3;
    std::vector<float> f(2 * kSlots * kChannels), p(f.size());
    for (std::int64_t row = 0; row < 2 * kSlots; ++row) {
      const float factor = 0.5f + std::abs(normal(random));
      for (std::int64_t c = 0; c < kChannels; ++c)
        f[row * kChannels + c] =
            factor *
            static_cast<float>(1 + (row % 3) * c);  // of three directions, each several times
    }
    for (float& x : p) x = normal(random);
    for (std::int64_t c = 0; c < kChannels; ++c) p[c] *= 1e12f;
    const std::array<std::int64_t, 3> shape = {2, kSlots, kChannels};
    std::vector<std::int64_t> alone(kSlots), with_p(kSlots);
    match_slots(view_major_slots(f.data(), shape), alone.data());
    float loss = 0;
    matching_similarity_loss_per_img(view_major_slots(f.data(), shape),
                                     view_major_slots(p.data(), shape), {},
                                     {.loss = &loss, .matching = with_p.data()});
    EXPECT_EQ(with_p, alone);
  }
}

// The factors of the gradient's terms are below the least float, the gradient is not: -g (u - c
// p/n) / (2n).
TEST(MatchingSimilarityOfFloats, SmallIncomingGradientsAreNotLost) {
  const std::vector<float> f = {1.8e10f, 2.4e10f, 3e10f, 0},
                           p = {2.4e10f, 1.8e10f, 1.8e10f, -2.4e10f};
  const std::array<std::int64_t, 3> shape = {2, 1, 2};
  const float incoming = 1e-24f;
  std::vector<float> gradient(4);
  matching_similarity_loss_per_img(
      view_major_slots(f.data(), shape), view_major_slots(p.data(), shape),
      {.reduction = Reduction::sum},
      {.gradient = SimilarityGradient<float>{view_major_slots(gradient.data(), shape), &incoming}});
  // p[0] = 3e10 (.8, .6) and its target points to (1, 0): c = .8, u - c p/n = (.36, -.48).
  EXPECT_NEAR(gradient[0], -1e-24 * 0.36 / 6e10, 1e-41);
  EXPECT_NEAR(gradient[1], 1e-24 * 0.48 / 6e10, 1e-41);
}

#if defined(__x86_64__)
TEST(MatchingSimilarityOfFloats, AThreadThatFlushesDenormalsGetsTheSameBits) {
  const std::array<std::int64_t, 3> shape = {400, 4, 8};
  std::mt19937_64 random(32);
  std::normal_distribution<float> normal;
  std::vector<float> f(400 * 4 * 8), p(f.size());
  for (float& x : f) x = normal(random);
  for (std::size_t i = 0; i < p.size(); ++i) p[i] = f[i] * 1e-39f;
  const auto loss_of = [&](Executor& executor) {
    float loss = 0;
    matching_similarity_loss_per_img(
        view_major_slots(f.data(), shape), view_major_slots(p.data(), shape),
        {.reduction = Reduction::sum, .eps = 1e-45, .executor = &executor}, {.loss = &loss});
    return loss;
  };
  ThreadPool one(1), two(2);
  const float wanted = loss_of(one);
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  const unsigned usual = _mm_getcsr();
  _mm_setcsr(usual | kFlushToZero | kDenormalsAreZero);
  const float on_one = loss_of(one), on_two = loss_of(two);
  const bool is_restored =
      (_mm_getcsr() & (kFlushToZero | kDenormalsAreZero)) == (kFlushToZero | kDenormalsAreZero);
  _mm_setcsr(usual);
  EXPECT_EQ(on_one, wanted);
  EXPECT_EQ(on_two, wanted);
  EXPECT_TRUE(is_restored);
}
#endif

TEST(ReductionFromName, KnowsThree) {
  EXPECT_EQ(reduction_from_name("none"), Reduction::none);
  EXPECT_EQ(reduction_from_name("mean"), Reduction::mean);
  EXPECT_EQ(reduction_from_name("sum"), Reduction::sum);
  EXPECT_THROW(reduction_from_name("Mean"), InvalidArgument);
  EXPECT_THROW(reduction_from_name(""), InvalidArgument);
}

// 16-bit slots give what the floats of the same value give, rounded once; nothing beyond a slot's
// channels is written.
template <typename T>
class SixteenBits : public ::testing::Test {};
using SixteenBitTypes = ::testing::Types<float16, bfloat16>;
TYPED_TEST_SUITE(SixteenBits, SixteenBitTypes);

TYPED_TEST(SixteenBits, GiveTheirFloatsResultsRounded) {
  using T = TypeParam;
  std::uint64_t seed = 0;
  for (const auto& [slots, channels] : {std::pair<std::int64_t, std::int64_t>{1, 1},
                                        {3, 7},
                                        {7, 64},
                                        {11, 65},
                                        {17, 16},
                                        {5, 33}}) {
    for (int repeat = 0; repeat < 50; ++repeat) {
      SCOPED_TRACE(::testing::Message()
                   << slots << " slots, " << channels << " channels, seed " << ++seed);
      Case<float> wide(4, slots, channels, seed);
      std::vector<T> f, p;
      for (float& value : wide.f) {
        f.push_back(element<T>(value));
        value = to_float(f.back());
      }
      for (float& value : wide.p) {
        p.push_back(element<T>(value));
        value = to_float(p.back());
      }
      const std::int64_t gap = 3;  // after each slot of the gradient
      const T untouched = element<T>(-7);
      std::vector<T> loss(wide.losses()), gradient(wide.losses() * (channels + gap), untouched);
      Indices matching(4 * slots), wide_matching(4 * slots);
      std::vector<float> wide_loss(wide.losses()), wide_gradient(wide.f.size());
      const MatchingSimilarityOptions options{.reduction = Reduction::none};
      matching_similarity_loss_per_img(
          view_major_slots(f.data(), wide.shape()), view_major_slots(p.data(), wide.shape()),
          options,
          {.loss = loss.data(),
           .gradient = SimilarityGradient<T>{view_major_slots(
               gradient.data(), wide.shape(), {slots * (channels + gap), channels + gap, 1})},
           .matching = matching.data()});
      matching_similarity_loss_per_img(view_major_slots(wide.f.data(), wide.shape()),
                                       view_major_slots(wide.p.data(), wide.shape()), options,
                                       {.loss = wide_loss.data(),
                                        .gradient = SimilarityGradient<float>{view_major_slots(
                                            wide_gradient.data(), wide.shape())},
                                        .matching = wide_matching.data()});
      EXPECT_EQ(matching, wide_matching);
      for (std::size_t i = 0; i < loss.size(); ++i) EXPECT_EQ(loss[i], element<T>(wide_loss[i]));
      for (std::int64_t slot = 0; slot < wide.losses(); ++slot) {
        for (std::int64_t c = 0; c < channels; ++c)
          EXPECT_EQ(gradient[slot * (channels + gap) + c],
                    element<T>(wide_gradient[slot * channels + c]));
        for (std::int64_t c = channels; c < channels + gap; ++c)
          EXPECT_EQ(gradient[slot * (channels + gap) + c], untouched);
      }
    }
  }
}

TYPED_TEST(SixteenBits, NonFiniteStaysInItsImage) {
  using T = TypeParam;
  std::vector<T> slots(2 * 2 * 2 * 3);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    slots[i] = element<T>(static_cast<double>(i * i % 7 + 1));
  }
  slots[7].bits = 0xff80;  // in image 1: -infinity of bfloat16, NaN of float16
  std::vector<T> loss(8);
  Indices matching(4);
  std::vector<ImageStatus> statuses(2);
  const auto view = view_major_slots(slots.data(), {4, 2, 3});
  matching_similarity_loss_per_img(
      view, view, {.reduction = Reduction::none},
      {.loss = loss.data(), .matching = matching.data(), .statuses = statuses.data()});
  EXPECT_EQ(statuses, (std::vector<ImageStatus>{ImageStatus::ok, ImageStatus::nonfinite}));
  for (const std::size_t of_image_0 : {0, 1, 4, 5})
    EXPECT_FALSE(std::isnan(to_float(loss[of_image_0])));
  for (const std::size_t of_image_1 : {2, 3, 6, 7})
    EXPECT_TRUE(std::isnan(to_float(loss[of_image_1])));
  EXPECT_GE(matching[0], 0);
  EXPECT_EQ(matching[2], -1);
}

// Each of B, S and C none or one, in every type.
template <typename T>
class AnyType : public ::testing::Test {};
using AllTypes = ::testing::Types<double, float, float16, bfloat16>;
TYPED_TEST_SUITE(AnyType, AllTypes);

TYPED_TEST(AnyType, SizesOfNoneAndOne) {
  using T = TypeParam;
  for (int sizes = 0; sizes < 8; ++sizes) {
    const std::int64_t images = sizes & 1, slots = sizes >> 1 & 1, channels = sizes >> 2;
    SCOPED_TRACE(::testing::Message()
                 << images << " images, " << slots << " slots, " << channels << " channels");
    const std::int64_t losses = 2 * images * slots;
    const T f[2] = {element<T>(2), element<T>(-0.5)},
            p[2] = {element<T>(-3),
                    element<T>(-8)};  // cosines: of p[0] and f[1] 1, of p[1] and f[0] -1
    const T untouched = element<T>(-7);
    T loss[2] = {untouched, untouched}, gradient[2] = {untouched, untouched}, mean[1] = {},
      sum[1] = {};
    std::int64_t matching[1] = {-7};
    ImageStatus statuses[1] = {ImageStatus::nonfinite};
    const std::array<std::int64_t, 3> shape = {2 * images, slots, channels};
    const auto f_view = view_major_slots(f, shape), p_view = view_major_slots(p, shape);
    matching_similarity_loss_per_img(
        f_view, p_view, {.reduction = Reduction::none},
        {.loss = loss,
         .gradient = SimilarityGradient<T>{view_major_slots(gradient, shape)},
         .matching = matching,
         .statuses = statuses});
    matching_similarity_loss_per_img(f_view, p_view, {.reduction = Reduction::mean},
                                     {.loss = mean});
    matching_similarity_loss_per_img(f_view, p_view, {.reduction = Reduction::sum}, {.loss = sum});
    const double wanted[2] = {channels == 1 ? 0.0 : 0.5, channels == 1 ? 1.0 : 0.5};
    for (int slot = 0; slot < 2; ++slot) {
      EXPECT_EQ(value(loss[slot]), losses == 0 ? -7 : wanted[slot]);
      EXPECT_EQ(value(gradient[slot]),
                losses == 0 || channels == 0
                    ? -7
                    : 0);  // in one dimension a direction has nowhere to turn
    }
    EXPECT_EQ(matching[0], losses == 0 ? -7 : 0);
    EXPECT_EQ(statuses[0], images == 0 ? ImageStatus::nonfinite : ImageStatus::ok);
    EXPECT_EQ(value(sum[0]), losses == 0 ? 0 : 1);
    if (losses == 0) {
      EXPECT_TRUE(std::isnan(value(mean[0])));
    } else {
      EXPECT_EQ(value(mean[0]), 0.5);
    }
  }
}

// Exactly, also where a slot and its target are the same, or opposite, up to a factor.
TYPED_TEST(AnyType, LossesAreBetweenZeroAndOne) {
  using T = TypeParam;
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  for (int repeat = 0; repeat < 2000; ++repeat) {
    const std::int64_t channels = 1 + repeat % 40;
    const double eps = repeat % 3 == 0 ? 2 : 1e-10, factor = repeat % 2 == 0 ? 3.1 : -0.7;
    std::vector<T> f(2 * channels), p(2 * channels);
    for (std::int64_t c = 0; c < 2 * channels; ++c) {
      f[c] = element<T>(normal(random));
      p[(c + channels) % (2 * channels)] = element<T>(factor * value(f[c]));
    }
    const std::array<std::int64_t, 3> shape = {2, 1, channels};
    const auto f_view = view_major_slots<const T>(f.data(), shape),
               p_view = view_major_slots<const T>(p.data(), shape);
    T losses[2], mean{}, sum{};
    matching_similarity_loss_per_img(f_view, p_view, {.reduction = Reduction::none, .eps = eps},
                                     {.loss = losses});
    matching_similarity_loss_per_img(f_view, p_view, {.eps = eps}, {.loss = &mean});
    matching_similarity_loss_per_img(f_view, p_view, {.reduction = Reduction::sum, .eps = eps},
                                     {.loss = &sum});
    for (const T loss : {losses[0], losses[1], mean, element<T>(value(sum) / 2)}) {
      EXPECT_GE(value(loss), 0) << repeat;
      EXPECT_LE(value(loss), 1) << repeat;
    }
  }
}

// The sizes around the lanes of vectors, in double against the oracle above.
TEST(MatchingSimilarityShapes, AnyNumberOfSlotsAndChannelsOnInstructionSetsAlike) {
  for (std::int64_t slots = 1; slots <= 20; slots += slots < 10 ? 1 : 5) {
    for (std::int64_t channels = 0; channels <= 70; channels += channels < 18 ? 1 : 13) {
      SCOPED_TRACE(::testing::Message() << slots << " slots, " << channels << " channels");
      const Case<float> input(2, slots, channels, 100 * slots + channels);
      const MatchingSimilarityOptions options{.reduction = Reduction::none};
      const auto outcome = run(input, options);
      std::vector<Indices> matching;
      for (int image = 0; image < 2; ++image) {
        matching.emplace_back(outcome.matching.begin() + image * slots,
                              outcome.matching.begin() + (image + 1) * slots);
        EXPECT_TRUE(oracle::is_optimal(oracle::costs(input.plain(input.f), image, 1e-10),
                                       matching.back(), 1e-6));
      }
      const auto expected =
          oracle::losses(input.plain(input.f), input.plain(input.p), matching, 1e-10);
      for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_NEAR(outcome.loss[i], expected[i], 2e-6);
    }
  }
}

}  // namespace
}  // namespace osc
