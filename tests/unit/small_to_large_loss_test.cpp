#include "osc/small_to_large_loss.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "elements.hpp"
#include "oracle.hpp"
#include "osc/error.hpp"

namespace osc {
namespace {

using oracle::Indices;
constexpr double kEps = 1e-10;

// {B, Al, L, As, S, C}
using Sizes = std::array<std::int64_t, 6>;

template <typename T>
struct Case {
  Sizes sizes;
  std::vector<T> f, p;

  Case(const Sizes& s, std::uint64_t seed)
      : sizes(s), f(s[0] * s[1] * s[2] * s[5]), p(s[0] * s[3] * s[4] * s[5]) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    for (T& x : f) x = element<T>(normal(random));
    for (T& x : p) x = element<T>(normal(random));
  }
  SlotCrops<const T> large() const {
    return contiguous_crops(f.data(), sizes[0], sizes[1], sizes[2], sizes[5]);
  }
  SlotCrops<const T> small() const {
    return contiguous_crops(p.data(), sizes[0], sizes[3], sizes[4], sizes[5]);
  }
  SlotCrops<T> like_small(std::vector<T>& x) const {
    return contiguous_crops(x.data(), sizes[0], sizes[3], sizes[4], sizes[5]);
  }
  std::int64_t pairs() const { return sizes[0] * sizes[1] * sizes[3]; }
};

// x[image][crop][slot][channel], as the oracle reads it.
template <typename T>
oracle::Slots plain(const SlotCrops<const T>& x) {
  oracle::Slots result(
      x.images, std::vector<std::vector<oracle::Vector>>(
                    x.crops, std::vector<oracle::Vector>(x.slots, oracle::Vector(x.channels))));
  for (std::int64_t i = 0; i < x.images; ++i) {
    for (std::int64_t a = 0; a < x.crops; ++a) {
      for (std::int64_t s = 0; s < x.slots; ++s) {
        for (std::int64_t c = 0; c < x.channels; ++c) result[i][a][s][c] = value(x.at(i, a, s)[c]);
      }
    }
  }
  return result;
}

// The slot of `large` that each of `small` is compared with, -1 for none: each is the first of the
// most similar for the other.
Indices mutual_bests(const std::vector<oracle::Vector>& large,
                     const std::vector<oracle::Vector>& small, double eps) {
  const auto most_similar = [&](const oracle::Vector& x,
                                const std::vector<oracle::Vector>& others) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < others.size(); ++i) {
      if (oracle::cosine(x, others[i], eps) > oracle::cosine(x, others[best], eps)) best = i;
    }
    return best;
  };
  Indices result(small.size(), -1);
  for (std::size_t s = 0; s < small.size() && !large.empty(); ++s) {
    const std::size_t l = most_similar(small[s], large);
    if (most_similar(large[l], small) == s) result[s] = static_cast<std::int64_t>(l);
  }
  return result;
}

struct Expected {
  std::vector<double> losses;  // [B, Al, As]
  Indices matching;            // [B, Al, As, S]
  double sum = 0, counted = 0, pairs = 0;
};

Expected expected_of(const oracle::Slots& f, const oracle::Slots& p, double eps = kEps) {
  Expected result;
  for (std::size_t image = 0; image < p.size(); ++image) {
    for (const auto& large : f[image]) {
      for (const auto& small : p[image]) {
        const Indices matching = mutual_bests(large, small, eps);
        double sum = 0, count = 0;
        for (std::size_t s = 0; s < small.size(); ++s) {
          if (matching[s] < 0) continue;
          sum += (1 - oracle::cosine(small[s], large[matching[s]], eps)) / 2;
          ++count;
        }
        result.losses.push_back(sum / count);
        result.matching.insert(result.matching.end(), matching.begin(), matching.end());
        result.counted += count;
        if (count == 0) continue;
        result.sum += sum / count;
        ++result.pairs;
      }
    }
  }
  return result;
}

// Of sum over pairs of incoming[pair] * loss of the pair, for a given matching; like p.
std::vector<double> expected_gradient(const oracle::Slots& f, const oracle::Slots& p,
                                      const Indices& matching, const std::vector<double>& incoming,
                                      double eps = kEps) {
  std::vector<double> result;
  for (std::size_t image = 0; image < p.size(); ++image) {
    for (std::size_t b = 0; b < p[image].size(); ++b) {
      const std::size_t slots = p[image][b].size();
      for (std::size_t s = 0; s < slots; ++s) {
        oracle::Vector sum(p[image][b][s].size(), 0.0);
        for (std::size_t a = 0; a < f[image].size(); ++a) {
          const std::size_t pair = (image * f[image].size() + a) * p[image].size() + b;
          const auto row = matching.begin() + static_cast<std::ptrdiff_t>(pair * slots);
          if (row[s] < 0) continue;
          const auto count =
              static_cast<double>(slots) -
              static_cast<double>(std::count(row, row + static_cast<std::ptrdiff_t>(slots), -1));
          const oracle::Vector one =
              oracle::gradient(p[image][b][s], f[image][a][row[s]], incoming[pair] / count, eps);
          for (std::size_t c = 0; c < sum.size(); ++c) sum[c] += one[c];
        }
        result.insert(result.end(), sum.begin(), sum.end());
      }
    }
  }
  return result;
}

// Everything that one call gives.
template <typename T>
struct Outcome {
  std::vector<T> loss, gradient;
  Indices matching;
  std::vector<ImageStatus> statuses;
  double ratio = -7;

  bool operator==(const Outcome& other) const {
    return same_bits<T>(loss, other.loss) && same_bits<T>(gradient, other.gradient) &&
           matching == other.matching && statuses == other.statuses &&
           same_bits<double>(std::span(&ratio, 1), std::span(&other.ratio, 1));
  }
};

template <typename T>
Outcome<T> run(const Case<T>& input, const SmallToLargeOptions& options = {},
               const T* incoming = nullptr) {
  const T untouched = element<T>(-7);
  Outcome<T> outcome{
      std::vector<T>(options.reduction == Reduction::none ? input.pairs() : 1, untouched),
      std::vector<T>(input.p.size(), untouched), Indices(input.pairs() * input.sizes[4], -7),
      std::vector<ImageStatus>(input.sizes[0], ImageStatus{-7})};
  matching_similarity_loss_small_to_large(
      input.large(), input.small(), options,
      {.loss = outcome.loss.data(),
       .counted_ratio = &outcome.ratio,
       .gradient = SmallToLargeGradient<T>{input.like_small(outcome.gradient), incoming},
       .matching = outcome.matching.data(),
       .statuses = outcome.statuses.data()});
  return outcome;
}

// One rounding to T of numbers up to 1, and room for the arithmetic of the type that is computed
// in.
template <typename T>
constexpr double kTolerance = sizeof(T) == 8 ? 0x1p-48 : 0x1p-20;
template <>
constexpr double kTolerance<float16> = 0x1p-11;
template <>
constexpr double kTolerance<bfloat16> = 0x1p-8;

template <typename T>
class SmallToLarge : public ::testing::Test {};
using Types = ::testing::Types<double, float, float16, bfloat16>;
TYPED_TEST_SUITE(SmallToLarge, Types);

constexpr Sizes kShapes[] = {{1, 1, 1, 1, 1, 2},   {1, 1, 2, 1, 3, 3},    {2, 1, 5, 3, 2, 7},
                             {3, 2, 4, 3, 4, 8},   {2, 2, 11, 6, 11, 64}, {1, 3, 17, 1, 5, 33},
                             {2, 1, 3, 2, 40, 65}, {1, 2, 33, 2, 16, 16}};

TYPED_TEST(SmallToLarge, EqualsTheOracle) {
  using T = TypeParam;
  std::uint64_t seed = 0;
  for (const Sizes& sizes : kShapes) {
    for (int repeat = 0; repeat < 5; ++repeat) {
      const Case<T> input(sizes, ++seed);
      SCOPED_TRACE(::testing::Message() << ::testing::PrintToString(sizes) << ", seed " << seed);
      const auto f = plain(input.large()), p = plain(input.small());
      const Expected expected = expected_of(f, p);
      std::vector<T> incoming;
      std::vector<double> weights;
      for (std::int64_t pair = 0; pair < input.pairs(); ++pair) {
        incoming.push_back(element<T>(0.25 * static_cast<double>(pair % 7) - 0.5));
        weights.push_back(value(incoming.back()));
      }
      const auto check_gradient = [&](const std::vector<T>& gradient,
                                      const std::vector<double>& incoming_of_pairs) {
        const auto wanted = expected_gradient(f, p, expected.matching, incoming_of_pairs);
        ASSERT_EQ(gradient.size(), wanted.size());
        for (std::size_t i = 0; i < wanted.size(); ++i) {
          const auto slot = static_cast<std::int64_t>(i) / sizes[5], crop = slot / sizes[4],
                     image = crop / sizes[3];
          const double norm = oracle::length(p[image][crop % sizes[3]][slot % sizes[4]]);
          EXPECT_NEAR(value(gradient[i]), wanted[i],
                      kTolerance<T> * oracle::largest(incoming_of_pairs) *
                          static_cast<double>(sizes[1]) / norm)
              << "element " << i;
        }
      };
      const auto none = run(input, {.reduction = Reduction::none}, incoming.data());
      EXPECT_EQ(none.matching, expected.matching);
      for (std::size_t i = 0; i < expected.losses.size(); ++i)
        EXPECT_NEAR(value(none.loss[i]), expected.losses[i], kTolerance<T>) << "pair " << i;
      EXPECT_DOUBLE_EQ(none.ratio,
                       expected.counted / static_cast<double>(expected.matching.size()));
      EXPECT_EQ(none.statuses, std::vector<ImageStatus>(sizes[0], ImageStatus::ok));
      check_gradient(none.gradient, weights);
      const auto sum = run(input, {.reduction = Reduction::sum}, &incoming[0]);
      EXPECT_NEAR(value(sum.loss[0]), expected.sum, kTolerance<T> * expected.pairs);
      check_gradient(sum.gradient, std::vector<double>(weights.size(), weights[0]));
      const auto mean = run(input);
      EXPECT_NEAR(value(mean.loss[0]), expected.sum / expected.pairs, kTolerance<T>);
      EXPECT_EQ(mean.matching, expected.matching);
      check_gradient(mean.gradient, std::vector<double>(weights.size(), 1 / expected.pairs));
      EXPECT_EQ(value(matching_similarity_loss_small_to_large(input.large(), input.small())),
                value(mean.loss[0]));
    }
  }
}

// In double, where a difference of losses still has digits.
TEST(SmallToLargeOfDoubles, GradientEqualsCentralDifferencesOfTheOracle) {
  const Case<double> input({2, 2, 3, 3, 4, 5}, 11);
  const auto f = plain(input.large());
  for (const Reduction reduction : {Reduction::mean, Reduction::sum}) {
    const auto outcome = run(input, {.reduction = reduction});
    for (std::size_t i = 0; i < input.p.size(); ++i) {
      const auto loss_at = [&](double step) {
        Case<double> moved = input;
        moved.p[i] += step;
        const Expected expected = expected_of(f, plain(moved.small()));
        EXPECT_EQ(expected.matching, outcome.matching);
        return reduction == Reduction::mean ? expected.sum / expected.pairs : expected.sum;
      };
      constexpr double kStep = 1e-6;
      EXPECT_NEAR(outcome.gradient[i], (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep), 1e-8)
          << "element " << i;
    }
  }
}

TYPED_TEST(SmallToLarge, TheFirstOfEqualSlotsCountsOnBothSides) {
  using T = TypeParam;
  Case<T> input({1, 1, 4, 1, 5, 3}, 1);
  // Large slots 1 and 2 are the same, and so are small slots 0, 2 and 3, which resemble them most:
  // (0, 1) counts. Slots that are zero have cosine 0 with all.
  const auto set = [](std::vector<T>& x, std::int64_t slot, std::array<double, 3> to) {
    for (int c = 0; c < 3; ++c) x[slot * 3 + c] = element<T>(to[c]);
  };
  for (const std::int64_t slot : {1, 2}) set(input.f, slot, {1, 2, 2});
  for (const std::int64_t slot : {0, 3}) set(input.f, slot, {-2, 0, 1});
  for (const std::int64_t slot : {0, 2, 3}) set(input.p, slot, {2, 4, 4});
  for (const std::int64_t slot : {1, 4}) set(input.p, slot, {-1, 0, 0});
  EXPECT_EQ(run(input).matching, (Indices{1, 0, -1, -1, -1}));
  std::fill(input.p.begin(), input.p.end(), T{});
  EXPECT_EQ(run(input).matching, (Indices{0, -1, -1, -1, -1}));
  EXPECT_EQ(value(run(input).loss[0]), 0.5);
}

TYPED_TEST(SmallToLarge, NonFiniteStaysInItsImage) {
  using T = TypeParam;
  const Sizes sizes = {3, 2, 3, 2, 4, 9};
  const Case<T> clean(sizes, 31);
  const auto expected = run(clean, {.reduction = Reduction::none});
  const std::int64_t image_pairs = 4, image_slots = 16, image_elements = 2 * 4 * 9;
  std::mt19937_64 random(5);
  for (int repeat = 0; repeat < 100; ++repeat) {
    SCOPED_TRACE(::testing::Message() << "repeat " << repeat);
    Case<T> spoilt = clean;
    const std::int64_t image = repeat % 3;
    std::vector<T>& spoilt_slots = repeat % 2 == 0 ? spoilt.f : spoilt.p;
    const auto of_image = std::ssize(spoilt_slots) / 3;
    spoilt_slots[image * of_image + std::uniform_int_distribution<std::int64_t>(
                                        0, of_image - 1)(random)] = element<T>(std::array{
        std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity()}[repeat / 6 % 3]);
    const auto outcome = run(spoilt, {.reduction = Reduction::none});
    for (std::int64_t i = 0; i < 3 * image_pairs; ++i)
      EXPECT_TRUE(i / image_pairs == image ? std::isnan(value(outcome.loss[i]))
                                           : outcome.loss[i] == expected.loss[i])
          << i;
    for (std::int64_t i = 0; i < 3 * image_slots; ++i)
      EXPECT_EQ(outcome.matching[i], i / image_slots == image ? -1 : expected.matching[i]) << i;
    for (std::int64_t i = 0; i < 3 * image_elements; ++i) {
      EXPECT_TRUE(i / image_elements == image ? std::isnan(value(outcome.gradient[i]))
                                              : outcome.gradient[i] == expected.gradient[i])
          << i;
    }
    for (std::int64_t i = 0; i < 3; ++i)
      EXPECT_EQ(outcome.statuses[i], i == image ? ImageStatus::nonfinite : ImageStatus::ok);
    const auto counted = std::count_if(outcome.matching.begin(), outcome.matching.end(),
                                       [](std::int64_t slot) { return slot >= 0; });
    EXPECT_DOUBLE_EQ(outcome.ratio,
                     static_cast<double>(counted) / static_cast<double>(outcome.matching.size()));
    EXPECT_TRUE(std::isnan(value(run(spoilt, {.reduction = Reduction::sum}).loss[0])));
    const auto mean = run(spoilt);
    EXPECT_TRUE(std::isnan(value(mean.loss[0])));

    // The mean's gradient for the other images is that of the batch without this one.
    Case<T> others({2, 2, 3, 2, 4, 9}, 1);
    std::vector<T> wanted, given;
    for (auto [from, to] : {std::pair{&clean.f, &others.f}, {&clean.p, &others.p}}) {
      *to = *from;
      const auto size = std::ssize(*from) / 3;
      to->erase(to->begin() + image * size, to->begin() + (image + 1) * size);
    }
    given = mean.gradient;
    given.erase(given.begin() + image * image_elements,
                given.begin() + (image + 1) * image_elements);
    EXPECT_TRUE(same_bits<T>(given, run(others).gradient));

    std::vector<T> untouched(clean.p.size(), element<T>(-7));
    T loss = element<T>(-7);
    try {
      matching_similarity_loss_small_to_large(
          spoilt.large(), spoilt.small(), {.on_nonfinite = NonFinite::raise},
          {.loss = &loss, .gradient = SmallToLargeGradient<T>{spoilt.like_small(untouched)}});
      FAIL() << "no error";
    } catch (const NonFiniteError& error) {
      EXPECT_EQ(error.image, image);
      EXPECT_EQ(std::string(error.what()),
                (repeat % 2 == 0 ? "f_large: image " : "p_small: image ") + std::to_string(image) +
                    " of 3 holds a NaN or an infinity");
    }
    EXPECT_EQ(value(loss), -7);
    for (const T x : untouched) EXPECT_EQ(value(x), -7);
  }
}

TYPED_TEST(SmallToLarge, BackwardWithTheSavedMatchingEqualsTheOnePass) {
  using T = TypeParam;
  Case<T> input({4, 2, 5, 3, 6, 13}, 47);
  input.p[input.p.size() / 2] = element<T>(std::numeric_limits<double>::quiet_NaN());
  for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
    std::vector<T> incoming;
    for (std::int64_t i = 0; i < input.pairs(); ++i)
      incoming.push_back(element<T>(1 + static_cast<double>(i % 3)));
    const auto expected = run(input, {.reduction = reduction}, incoming.data());
    const auto backward = [&](const std::int64_t* matching, const SmallToLargeOptions& options) {
      std::vector<T> gradient(input.p.size(), element<T>(-7));
      const Status status = try_matching_similarity_loss_small_to_large_backward(
          input.large(), input.small(), matching, options,
          {input.like_small(gradient), incoming.data()});
      return std::pair(status, gradient);
    };
    const auto [status, gradient] = backward(expected.matching.data(), {.reduction = reduction});
    EXPECT_TRUE(status.ok());
    EXPECT_TRUE(same_bits<T>(gradient, expected.gradient));
    for (const std::int64_t wrong : {std::int64_t{-2}, std::int64_t{5}}) {
      Indices matching = expected.matching;
      matching[2 * 3 * 6 + 1] = wrong;
      const auto [failed, untouched] = backward(matching.data(), {.reduction = reduction});
      EXPECT_EQ(std::string(failed.text()),
                "matching: " + std::to_string(wrong) +
                    ", of image 1, is neither -1 nor a slot of the 5 of a large crop");
      EXPECT_EQ(failed.index(), 1);
      for (const T x : untouched) ASSERT_EQ(value(x), -7);
    }
    EXPECT_EQ(std::string(backward(nullptr, {.reduction = reduction}).first.text()),
              "the pointer to the matching is null");
    EXPECT_EQ(backward(expected.matching.data(),
                       {.reduction = reduction, .on_nonfinite = NonFinite::raise})
                  .first.code(),
              StatusCode::nonfinite);
  }
}

TYPED_TEST(SmallToLarge, WhatDoesNotCountHasNoGradientWhateverComesIn) {
  using T = TypeParam;
  const Case<T> input({1, 1, 2, 2, 3, 5}, 3);
  const std::vector<T> incoming(2, element<T>(std::numeric_limits<double>::quiet_NaN()));
  const Indices matching = {-1, -1, -1, 1, -1, 0};
  std::vector<T> gradient(input.p.size(), element<T>(-7));
  matching_similarity_loss_small_to_large_backward(input.large(), input.small(), matching.data(),
                                                   {.reduction = Reduction::none},
                                                   {input.like_small(gradient), incoming.data()});
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    if (matching[i / 5] < 0) {
      EXPECT_EQ(value(gradient[i]), 0) << i;
    } else {
      EXPECT_TRUE(std::isnan(value(gradient[i]))) << i;
    }
  }
}

// Any order of images, crops and slots in memory, backwards too, with gaps whose NaN would spread
// if it were read.
TYPED_TEST(SmallToLarge, StridesEqualCopies) {
  using T = TypeParam;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const auto pick = [&](std::int64_t least, std::int64_t most) {
      return std::uniform_int_distribution<std::int64_t>(least, most)(random);
    };
    const Case<T> input({pick(1, 4), pick(1, 3), pick(1, 6), pick(1, 3), pick(1, 6), pick(2, 40)},
                        seed);
    struct Strided {
      std::vector<T> memory;
      SlotCrops<T> view;
    };
    const auto strided = [&](const SlotCrops<const T>& from, double fill) {
      const std::int64_t sizes[3] = {from.images, from.crops, from.slots};
      int order[3] = {0, 1, 2};
      std::shuffle(order, order + 3, random);
      std::int64_t strides[3] = {}, first = 0, stride = from.channels + pick(0, 3);
      for (const int dimension : order) {
        const bool backwards = random() % 2 == 0;
        strides[dimension] = backwards ? -stride : stride;
        if (backwards) first += (sizes[dimension] - 1) * stride;
        stride = stride * sizes[dimension] + pick(0, 3);
      }
      Strided result{std::vector<T>(stride, element<T>(fill)),
                     {nullptr, from.images, from.crops, from.slots, from.channels, strides[0],
                      strides[1], strides[2]}};
      result.view.data = result.memory.data() + first;
      for (std::int64_t i = 0; i < from.images; ++i) {
        for (std::int64_t a = 0; a < from.crops; ++a) {
          for (std::int64_t s = 0; s < from.slots; ++s)
            std::copy_n(from.at(i, a, s), from.channels, result.view.at(i, a, s));
        }
      }
      return result;
    };
    constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
    const auto expected = run(input, {.reduction = Reduction::none});
    const Strided f = strided(input.large(), kNaN), p = strided(input.small(), kNaN),
                  gradient = strided(input.small(), -1024);
    Outcome<T> outcome = expected;
    matching_similarity_loss_small_to_large(f.view, p.view, {.reduction = Reduction::none},
                                            {.loss = outcome.loss.data(),
                                             .gradient = SmallToLargeGradient<T>{gradient.view},
                                             .matching = outcome.matching.data()});
    outcome.gradient.clear();
    for (std::int64_t i = 0; i < p.view.images; ++i) {
      for (std::int64_t b = 0; b < p.view.crops; ++b) {
        for (std::int64_t s = 0; s < p.view.slots; ++s)
          outcome.gradient.insert(outcome.gradient.end(), gradient.view.at(i, b, s),
                                  gradient.view.at(i, b, s) + p.view.channels);
      }
    }
    EXPECT_EQ(outcome, expected);
    EXPECT_EQ(std::count(gradient.memory.begin(), gradient.memory.end(), element<T>(-1024)),
              std::ssize(gradient.memory) - std::ssize(input.p))
        << "gaps were written";
  }
}

TYPED_TEST(SmallToLarge, AnyNumberOfThreadsGivesTheSameBits) {
  using T = TypeParam;
  ThreadPool one(1);
  for (const Sizes& sizes :
       {Sizes{37, 2, 7, 3, 5, 24}, {5, 1, 40, 2, 30, 65}, {300, 1, 2, 1, 3, 3}}) {
    Case<T> input(sizes, 3);
    input.p[input.p.size() / 3] = element<T>(std::numeric_limits<double>::infinity());
    for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
      const auto expected = run(input, {.reduction = reduction, .executor = &one});
      for (const int threads : {2, 3, 16}) {
        ThreadPool pool(threads);
        EXPECT_EQ(run(input, {.reduction = reduction, .executor = &pool}), expected)
            << threads << " threads";
        std::vector<char> memory(small_to_large_workspace<T>(sizes[0], sizes[1], sizes[2], sizes[3],
                                                             sizes[4], sizes[5], threads));
        Workspace workspace(memory.data(), memory.size());
        EXPECT_EQ(run(input, {.reduction = reduction, .executor = &pool, .workspace = &workspace}),
                  expected)
            << threads << " threads";
      }
    }
  }
}

// Each in its own last bits.
TYPED_TEST(SmallToLarge, InstructionSetsAgree) {
  using T = TypeParam;
  for (const Sizes& sizes : kShapes) {
    const Case<T> input(sizes, 77);
    const auto results =
        on_every_instruction_set([&] { return run(input, {.reduction = Reduction::none}); });
    for (const auto& [name, outcome] : results) {
      SCOPED_TRACE(name);
      EXPECT_EQ(outcome.matching, results[0].second.matching);
      for (std::size_t i = 0; i < outcome.loss.size(); ++i)
        EXPECT_NEAR(value(outcome.loss[i]), value(results[0].second.loss[i]), 2 * kTolerance<T>);
    }
  }
}

// Slots of every magnitude that the type has, some of them zero, and floors of the norm above and
// below.
template <typename T>
class SmallToLargeMagnitudes : public ::testing::Test {};
using WideTypes = ::testing::Types<double, float>;
TYPED_TEST_SUITE(SmallToLargeMagnitudes, WideTypes);

TYPED_TEST(SmallToLargeMagnitudes, SlotsOfAnyMagnitudeEqualTheOracle) {
  using T = TypeParam;
  constexpr int kLeast = std::numeric_limits<T>::min_exponent - std::numeric_limits<T>::digits,
                kMost = std::numeric_limits<T>::max_exponent - 4;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Case<T> input({2, 2, 3, 2, 4, 3 + static_cast<std::int64_t>(seed % 30)}, seed);
    std::mt19937_64 random(seed);
    const std::int64_t channels = input.sizes[5];
    for (std::vector<T>* const x : {&input.f, &input.p}) {
      for (std::int64_t slot = 0; slot < std::ssize(*x) / channels; ++slot) {
        const int kind = std::uniform_int_distribution<>(0, 9)(random),
                  exponent = std::uniform_int_distribution<>(kLeast, kMost)(random);
        for (std::int64_t c = 0; c < channels; ++c)
          (*x)[slot * channels + c] =
              kind == 0 ? T(0) : std::ldexp((*x)[slot * channels + c], exponent);
      }
    }
    const double eps = std::array{1e-10, 1e-30, 1e-300, 1e10}[seed % 4];
    const auto outcome = run(input, {.reduction = Reduction::none, .eps = eps});
    const auto f = plain(input.large()), p = plain(input.small());
    // Far below the floor, cosines are equal but for rounding; so the loss is that of the matching
    // that was found, and that is as good as the best of each slot.
    const Expected expected = expected_of(f, p, eps);
    for (std::size_t pair = 0; pair < expected.losses.size(); ++pair) {
      double sum = 0, count = 0;
      for (std::int64_t s = 0; s < 4; ++s) {
        const std::int64_t l = outcome.matching[pair * 4 + s];
        if (l < 0) continue;
        const auto& small = p[pair / 4][pair % 2];
        const auto& large = f[pair / 4][pair / 2 % 2];
        const double cosine = oracle::cosine(small[s], large[l], eps);
        for (const auto& other : large)
          EXPECT_LE(oracle::cosine(small[s], other, eps), cosine + 4 * kTolerance<T>);
        for (const auto& other : small)
          EXPECT_LE(oracle::cosine(other, large[l], eps), cosine + 4 * kTolerance<T>);
        sum += (1 - cosine) / 2;
        ++count;
      }
      EXPECT_NEAR(outcome.loss[pair], sum / count, 2 * kTolerance<T>);
    }
    const auto gradient = expected_gradient(f, p, outcome.matching,
                                            std::vector<double>(expected.losses.size(), 1.0), eps);
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      const double norm =
          oracle::largest(p[i / channels / 8][i / channels / 4 % 2][i / channels % 4]);
      const double size = norm > eps ? 1 / norm : 1 / eps;
      if (!(std::abs(gradient[i]) < 0.9 * static_cast<double>(std::numeric_limits<T>::max())))
        continue;
      EXPECT_NEAR(
          outcome.gradient[i], gradient[i],
          4 * kTolerance<T> * size + static_cast<double>(std::numeric_limits<T>::denorm_min()))
          << "element " << i;
    }
  }
}

TYPED_TEST(SmallToLargeMagnitudes, SmallIncomingGradientsAreNotLost) {
  using T = TypeParam;
  const Case<T> input({1, 2, 3, 2, 3, 9}, 5);
  const auto whole = run(input, {.reduction = Reduction::sum});
  const T incoming = sizeof(T) == 4 ? T(0x1p-110) : T(0x1p-900);
  Case<T> tiny = input;
  for (T& x : tiny.p) x *= incoming;  // their norm cancels what comes in
  const auto outcome = run(tiny, {.reduction = Reduction::sum, .eps = 1e-300}, &incoming);
  for (std::size_t i = 0; i < whole.gradient.size(); ++i)
    EXPECT_NEAR(outcome.gradient[i], whole.gradient[i], 8 * kTolerance<T>);
}

// Small slots and what comes in, both times a power of two, give the same gradient: down to slots
// of denormal numbers, and up to those whose norm is none. What comes in is a normal number.
TYPED_TEST(SmallToLargeMagnitudes, GradientsOfAnyIncoming) {
  using T = TypeParam;
  using Limits = std::numeric_limits<T>;
  Case<T> input({2, 2, 3, 2, 3, 9}, 6);
  for (T& x : input.p) x = std::round(x * 8) / 8;  // of few bits, so that scaling is exact
  const SmallToLargeOptions options{.eps = std::numeric_limits<double>::denorm_min()};
  const auto wanted = run(input, options);
  for (int exponent = Limits::min_exponent - Limits::digits + 3;
       exponent < Limits::max_exponent - 3; ++exponent) {
    Case<T> scaled = input;
    for (T& x : scaled.p) x = std::ldexp(x, exponent);
    const int of_incoming = std::max(exponent, Limits::min_exponent + 8);
    const T incoming = std::ldexp(T(1), of_incoming);
    const auto outcome = run(scaled, options, &incoming);
    double worst = 0;
    for (std::size_t i = 0; i < wanted.gradient.size(); ++i) {
      const T back = std::ldexp(outcome.gradient[i], exponent - of_incoming);
      worst = std::max(worst, std::abs(static_cast<double>(back - wanted.gradient[i])));
    }
    EXPECT_LE(worst, 8 * kTolerance<T>) << "2^" << exponent;
  }
}

// Exactly, also where slots are the same, or opposite.
TYPED_TEST(SmallToLarge, LossesAreBetweenZeroAndOne) {
  using T = TypeParam;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Case<T> input({1, 1, 1, 1, 1, 1 + static_cast<std::int64_t>(seed % 40)}, seed);
    for (std::size_t i = 0; i < input.p.size(); ++i)
      input.p[i] = element<T>(value(input.f[i]) * (seed % 2 == 0 ? 3.1 : -0.7));
    for (const Reduction reduction : {Reduction::none, Reduction::mean, Reduction::sum}) {
      const auto outcome = run(input, {.reduction = reduction});
      EXPECT_GE(value(outcome.loss[0]), 0) << "seed " << seed;
      EXPECT_LE(value(outcome.loss[0]), 1) << "seed " << seed;
    }
  }
}

TYPED_TEST(SmallToLarge, ZeroSlotsOnAnyFloor) {
  using T = TypeParam;
  Case<T> input({1, 2, 3, 2, 3, 5}, 1);
  std::fill(input.f.begin(), input.f.end(), T{});
  std::fill(input.p.begin(), input.p.end(), T{});
  for (const double eps : {1e-10, 1e-310, 1e300}) {
    const auto outcome = run(input, {.reduction = Reduction::none, .eps = eps});
    for (const T x : outcome.loss) EXPECT_EQ(value(x), 0.5);
    for (const T x : outcome.gradient) EXPECT_EQ(value(x), 0);
  }
}

// Each of the sizes none or one.
TYPED_TEST(SmallToLarge, SizesOfNoneAndOne) {
  using T = TypeParam;
  for (int bits = 0; bits < 64; ++bits) {
    Sizes sizes;
    for (int i = 0; i < 6; ++i) sizes[i] = bits >> i & 1;
    SCOPED_TRACE(::testing::PrintToString(sizes));
    Case<T> input(sizes, 1);
    for (T& x : input.f) x = element<T>(2);
    for (T& x : input.p) x = element<T>(-0.5);  // their cosine is -1
    const bool counts = bits == 63, counts_without_channels = bits == 31,
               has_pairs = input.pairs() > 0, has_slots = has_pairs && sizes[4] > 0;
    const double wanted = counts ? 1 : 0.5;
    const auto none = run(input, {.reduction = Reduction::none});
    const auto mean = run(input), sum = run(input, {.reduction = Reduction::sum});
    if (counts || counts_without_channels) {
      EXPECT_EQ(value(none.loss[0]), wanted);
      EXPECT_EQ(value(mean.loss[0]), wanted);
      EXPECT_EQ(value(sum.loss[0]), wanted);
      EXPECT_EQ(none.matching, Indices{0});
      EXPECT_EQ(none.ratio, 1);
    } else {
      if (has_pairs) {
        EXPECT_TRUE(std::isnan(value(none.loss[0])));
      }
      EXPECT_TRUE(std::isnan(value(mean.loss[0])));
      EXPECT_EQ(value(sum.loss[0]), 0);
      EXPECT_EQ(none.matching, Indices(has_slots ? 1 : 0, -1));
      EXPECT_TRUE(has_slots ? none.ratio == 0 : std::isnan(none.ratio));
    }
    for (const auto* const outcome : {&none, &mean, &sum}) {
      for (const T x : outcome->gradient)
        EXPECT_EQ(value(x), 0);  // in one dimension a direction has nowhere to turn
      EXPECT_EQ(outcome->statuses, std::vector<ImageStatus>(sizes[0], ImageStatus::ok));
    }
    std::vector<T> gradient(input.p.size(), element<T>(-7));
    matching_similarity_loss_small_to_large_backward(
        input.large(), input.small(), none.matching.data(), {}, {input.like_small(gradient)});
    EXPECT_TRUE(same_bits<T>(gradient, mean.gradient));
  }
}

// 16-bit slots give what the floats of the same value give, rounded once.
template <typename T>
class SmallToLargeOf16Bits : public ::testing::Test {};
using SixteenBitTypes = ::testing::Types<float16, bfloat16>;
TYPED_TEST_SUITE(SmallToLargeOf16Bits, SixteenBitTypes);

TYPED_TEST(SmallToLargeOf16Bits, GiveTheirFloatsResultsRounded) {
  using T = TypeParam;
  for (const Sizes& sizes : kShapes) {
    const Case<T> input(sizes, 9);
    Case<float> wide(sizes, 9);
    std::transform(input.f.begin(), input.f.end(), wide.f.begin(), [](T x) { return to_float(x); });
    std::transform(input.p.begin(), input.p.end(), wide.p.begin(), [](T x) { return to_float(x); });
    for (const Reduction reduction : {Reduction::none, Reduction::mean}) {
      const auto outcome = run(input, {.reduction = reduction});
      const auto expected = run(wide, {.reduction = reduction});
      EXPECT_EQ(outcome.matching, expected.matching);
      for (std::size_t i = 0; i < outcome.loss.size(); ++i)
        EXPECT_EQ(value(outcome.loss[i]), value(element<T>(expected.loss[i])));
      for (std::size_t i = 0; i < outcome.gradient.size(); ++i)
        EXPECT_EQ(value(outcome.gradient[i]), value(element<T>(expected.gradient[i])));
    }
  }
}

TYPED_TEST(SmallToLarge, BadInputIsAnErrorBeforeAnythingIsWritten) {
  using T = TypeParam;
  const Case<T> input({2, 1, 2, 2, 3, 4}, 1);
  std::vector<T> gradient(input.p.size(), element<T>(-7)), loss(4, element<T>(-7));
  Indices matching(12, -7);
  double ratio = -7;
  const auto text_of = [&](const SlotCrops<const T>& f, const SlotCrops<const T>& p,
                           const SlotCrops<T>& g, const SmallToLargeOptions& options) {
    const Status status =
        try_matching_similarity_loss_small_to_large(f, p, options,
                                                    {.loss = loss.data(),
                                                     .counted_ratio = &ratio,
                                                     .gradient = SmallToLargeGradient<T>{g},
                                                     .matching = matching.data()});
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    return std::string(status.text());
  };
  const auto f = input.large(), p = input.small();
  const auto g = input.like_small(gradient);
  const auto with = [](auto view, auto member, std::int64_t to) {
    view.*member = to;
    return view;
  };
  using Const = SlotCrops<const T>;
  EXPECT_EQ(text_of(with(f, &Const::images, 1), p, g, {}),
            "f_large [1, 1, 2, 4] and p_small [2, 2, 3, 4]: images and channels must be the same");
  EXPECT_EQ(text_of(f, with(p, &Const::channels, 3), g, {}),
            "f_large [2, 1, 2, 4] and p_small [2, 2, 3, 3]: images and channels must be the same");
  EXPECT_EQ(text_of(with(f, &Const::crops, -1), p, g, {}),
            "f_large [2, -1, 2, 4]: a size is negative");
  EXPECT_EQ(text_of(f, with(p, &Const::slots, std::int64_t{1} << 60), g, {}),
            "p_small [2, 2, 1152921504606846976, 4]: the product of the sizes overflows");
  EXPECT_EQ(
      text_of(f, with(p, &Const::slot_stride, std::int64_t{1} << 62), g, {}),
      "p_small [2, 2, 3, 4]: the strides [image 24, crop 12, slot 4611686018427387904] overflow");
  EXPECT_EQ(text_of({nullptr, 2, 1, 2, 4}, p, g, {}),
            "f_large [2, 1, 2, 4]: the data pointer is null");
  EXPECT_EQ(text_of(f, p, with(g, &SlotCrops<T>::slots, 2), {}),
            "p_small [2, 2, 3, 4] and its gradient [2, 2, 2, 4]: the sizes must be the same");
  const SlotCrops<const T> long_f{
      input.f.data(), 1, std::int64_t{1} << 25, std::int64_t{1} << 25, 1, 0, 0, 0},
      long_p{input.p.data(), 1, std::int64_t{1} << 5, std::int64_t{1} << 6, 1, 0, 0, 0};
  EXPECT_NE(text_of(long_f, long_p, with(g, &SlotCrops<T>::images, 0), {})
                .find("the product of the sizes overflows"),
            std::string::npos);
  for (const double eps : {0.0, -1.0, std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_NE(text_of(f, p, g, {.eps = eps}).find("it must be positive and finite"),
              std::string::npos);
  }
  EXPECT_THROW(matching_similarity_loss_small_to_large(f, p, {.reduction = Reduction::none}),
               InvalidArgument);
  EXPECT_THROW(contiguous_crops<T>(nullptr, 1, 1, 1, 1), InvalidArgument);
  EXPECT_THROW(contiguous_crops(gradient.data(), 1, std::int64_t{1} << 31, std::int64_t{1} << 31,
                                std::int64_t{1} << 31),
               InvalidArgument);
  char few[64];
  Workspace small(few, sizeof few);
  EXPECT_EQ(try_matching_similarity_loss_small_to_large(f, p, {.workspace = &small},
                                                        {.loss = loss.data()})
                .code(),
            StatusCode::out_of_memory);
  for (const T x : gradient) EXPECT_EQ(value(x), -7);
  for (const T x : loss) EXPECT_EQ(value(x), -7);
  EXPECT_EQ(matching, Indices(12, -7));
  EXPECT_EQ(ratio, -7);
  EXPECT_EQ(small_to_large_workspace<T>(-1, 1, 1, 1, 1, 1, 1), 0u);
}

}  // namespace
}  // namespace osc
