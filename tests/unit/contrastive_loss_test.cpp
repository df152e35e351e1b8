#include "osc/contrastive_loss.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "contrastive_oracle.hpp"
#include "elements.hpp"
#include "oracle.hpp"
#include "osc/assignment.hpp"

namespace osc {
namespace {

using oracle::Indices;
using oracle::Vector;

constexpr double kEps = 1e-10;
using Shape = std::array<std::int64_t, 3>;  // B, S, C

std::array<std::int64_t, 3> array_shape(const Shape& shape) {
  return {2 * shape[0], shape[1], shape[2]};
}
std::int64_t losses_of(const Shape& shape) { return 2 * shape[0] * shape[1]; }

// Slots of which those of view 1 resemble those of view 0, in another order, as those of a trained
// network do.
template <typename T>
std::vector<T> random_slots(const Shape& shape, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  const auto [images, slots, channels] = shape;
  std::vector<double> values(losses_of(shape) * channels);
  for (double& x : values) x = normal(random);
  const std::int64_t view = images * slots * channels;
  for (std::int64_t image = 0; image < images; ++image) {
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      for (std::int64_t c = 0; c < channels; ++c) {
        double& second = values[view + (image * slots + slot) * channels + c];
        second = values[(image * slots + (slot + 1) % slots) * channels + c] + 0.5 * second;
      }
    }
  }
  std::vector<T> result;
  for (const double x : values) result.push_back(element<T>(x));
  return result;
}

// The definition, slot by slot: all other slots of the batch, or of the image, are candidates.
// `matching` as match_slots gives it.
template <typename T>
oracle::Contrast expected(const std::vector<T>& x, const Shape& shape, const Indices& matching,
                          Candidates candidates, double temperature, const Vector& incoming) {
  const auto [images, slots, channels] = shape;
  std::vector<Vector> rows(losses_of(shape));
  for (std::int64_t i = 0; i < losses_of(shape); ++i) {
    for (std::int64_t c = 0; c < channels; ++c) rows[i].push_back(value(x[i * channels + c]));
  }
  const auto image_of = [slots = slots, images = images](std::int64_t row) {
    return row / slots % images;
  };
  return oracle::contrast(
      rows, images, slots, matching,
      [&](std::int64_t i, std::int64_t j) {
        return candidates == Candidates::batch || image_of(i) == image_of(j);
      },
      temperature, kEps, incoming);
}

template <typename T>
struct Outcome {
  std::vector<T> loss, gradient;
  Indices matching;
  std::vector<double> log_sums, accuracy;

  bool operator==(const Outcome& other) const {
    return same_bits<T>(loss, other.loss) && same_bits<T>(gradient, other.gradient) &&
           matching == other.matching && same_bits<double>(log_sums, other.log_sums) &&
           same_bits<double>(accuracy, other.accuracy);
  }
};

template <typename T>
Outcome<T> run(const std::vector<T>& x, const Shape& shape,
               const MatchingContrastiveOptions& options = {}, const T* incoming = nullptr) {
  Outcome<T> outcome{
      std::vector<T>(options.reduction == Reduction::none ? losses_of(shape) : 1, element<T>(-7)),
      std::vector<T>(x.size(), element<T>(-7)), Indices(shape[0] * shape[1], -7),
      std::vector<double>(losses_of(shape), -7), std::vector<double>(1, -7)};
  matching_contrastive_loss(
      view_major_slots(x.data(), array_shape(shape)), options,
      {.loss = outcome.loss.data(),
       .gradient =
           ContrastiveGradient<T>{view_major_slots(outcome.gradient.data(), array_shape(shape)),
                                  incoming},
       .matching = outcome.matching.data(),
       .log_sums = outcome.log_sums.data(),
       .accuracy = outcome.accuracy.data()});
  return outcome;
}

template <typename T>
Indices matching_of(const std::vector<T>& x, const Shape& shape) {
  Indices matching(shape[0] * shape[1]);
  match_slots(view_major_slots(x.data(), array_shape(shape)), matching.data());
  return matching;
}

// Of a cosine: some roundings in the type that is computed in.
template <typename T>
constexpr double kCosine = std::is_same_v<T, double> ? 1e-14 : 2e-6;
template <typename T>
constexpr double kRounding = std::is_same_v<T, bfloat16>  ? 0x1p-8
                             : std::is_same_v<T, float16> ? 0x1p-10
                                                          : 0;

template <typename T>
class MatchingContrastive : public ::testing::Test {};
using Types = ::testing::Types<float, double, float16, bfloat16>;
TYPED_TEST_SUITE(MatchingContrastive, Types);

TYPED_TEST(MatchingContrastive, EqualsTheOracle) {
  using T = TypeParam;
  std::uint64_t seed = 0;
  for (const Shape& shape : {Shape{1, 1, 1},
                             {1, 2, 3},
                             {2, 1, 4},
                             {3, 4, 5},
                             {4, 7, 17},
                             {5, 11, 64},
                             {2, 40, 33},
                             {9, 16, 20},
                             {1, 70, 8}}) {
    for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
      for (const double temperature : {1.0, 0.1, 0.01, 1e-4}) {
        SCOPED_TRACE(::testing::Message() << shape[0] << ", " << shape[1] << ", " << shape[2]
                                          << (candidates == Candidates::batch ? " batch" : " image")
                                          << " at " << temperature);
        const auto x = random_slots<T>(shape, ++seed);
        std::mt19937_64 random(seed);
        std::vector<T> incoming;
        Vector plain_incoming;
        for (std::int64_t i = 0; i < losses_of(shape); ++i) {
          incoming.push_back(element<T>(std::normal_distribution<double>()(random)));
          plain_incoming.push_back(value(incoming.back()));
        }
        const auto outcome = run<T>(
            x, shape,
            {.candidates = candidates, .temperature = temperature, .reduction = Reduction::none},
            incoming.data());
        ASSERT_EQ(outcome.matching, matching_of(x, shape));
        const oracle::Contrast right =
            expected(x, shape, outcome.matching, candidates, temperature, plain_incoming);
        const double tolerance = kCosine<T> / temperature;     // of a logit
        const double of_share = std::min(1.0, 4 * tolerance);  // a share is the exponential of one
        for (std::int64_t i = 0; i < losses_of(shape); ++i) {
          ASSERT_NEAR(value(outcome.loss[i]), right.losses[i],
                      4 * tolerance + kRounding<T> * right.losses[i])
              << i;
          ASSERT_NEAR(outcome.log_sums[i], right.log_sums[i], 4 * tolerance) << i;
          double length = 0;
          for (std::int64_t c = 0; c < shape[2]; ++c)
            length += value(x[i * shape[2] + c]) * value(x[i * shape[2] + c]);
          for (std::int64_t c = 0; c < shape[2]; ++c) {
            const double wanted = right.gradient[i][c];
            ASSERT_NEAR(
                value(outcome.gradient[i * shape[2] + c]), wanted,
                of_share * 8 / temperature / std::sqrt(length) + kRounding<T> * std::abs(wanted))
                << i << ", " << c;
          }
        }
        if (std::is_same_v<T, double>) {
          EXPECT_NEAR(outcome.accuracy[0], right.accuracy, 1e-9);
        }
      }
    }
  }
}

TYPED_TEST(MatchingContrastive, MeanAndSumAreThoseOfTheLosses) {
  using T = TypeParam;
  const Shape shape{4, 5, 12};
  const auto x = random_slots<T>(shape, 3);
  for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
    const auto none = run<T>(x, shape, {.candidates = candidates, .reduction = Reduction::none});
    const auto sum = run<T>(x, shape, {.candidates = candidates, .reduction = Reduction::sum}),
               mean = run<T>(x, shape, {.candidates = candidates});
    double total = 0;
    for (const T loss : none.loss) total += value(loss);
    const double tolerance = 1e-6 + kRounding<T>;
    EXPECT_NEAR(value(sum.loss[0]), total, tolerance * total);
    EXPECT_NEAR(value(mean.loss[0]), total / static_cast<double>(losses_of(shape)),
                tolerance * total);
    EXPECT_TRUE(same_bits<T>(sum.gradient, none.gradient));
    for (std::size_t k = 0; k < x.size(); ++k)
      EXPECT_NEAR(value(mean.gradient[k]) * static_cast<double>(losses_of(shape)),
                  value(sum.gradient[k]), 4 * tolerance)
          << k;
  }
}

// The derivative along a direction is the slope of the loss.
TEST(MatchingContrastiveGradient, IsTheSlopeOfTheLoss) {
  std::uint64_t seed = 50;
  for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
    for (const double temperature : {1.0, 0.2, 0.02, 0.0005}) {
      const Shape shape{3, 4, 6};
      const auto x = random_slots<double>(shape, ++seed),
                 direction = random_slots<double>(shape, seed + 1000);
      const auto matching = matching_of(x, shape);
      const MatchingContrastiveOptions options{.candidates = candidates,
                                               .temperature = temperature,
                                               .reduction = Reduction::sum,
                                               .given_matching = matching.data()};
      const auto outcome = run<double>(x, shape, options);
      double along = 0;
      for (std::size_t k = 0; k < x.size(); ++k) along += outcome.gradient[k] * direction[k];
      const double step = 1e-6 * temperature;
      auto ahead = x, behind = x;
      for (std::size_t k = 0; k < x.size(); ++k) {
        ahead[k] += step * direction[k];
        behind[k] -= step * direction[k];
      }
      const double slope = (run<double>(ahead, shape, options).loss[0] -
                            run<double>(behind, shape, options).loss[0]) /
                           (2 * step);
      EXPECT_NEAR(along, slope, 1e-6 * std::max(1.0, std::abs(slope))) << temperature;
    }
  }
}

TYPED_TEST(MatchingContrastive, HasTheSameBitsOnAnyNumberOfThreads) {
  using T = TypeParam;
  for (const Shape& shape : {Shape{1, 3, 8}, {20, 11, 24}, {40, 5, 64}, {64, 11, 16}}) {
    const auto x = random_slots<T>(shape, 7);
    for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
      for (const double temperature : {0.5, 0.01}) {
        ThreadPool one(1);
        const auto wanted = run<T>(
            x, shape, {.candidates = candidates, .temperature = temperature, .executor = &one});
        for (const int threads : {2, 3, 7}) {
          ThreadPool pool(threads);
          for (int repeat = 0; repeat < 3; ++repeat) {
            EXPECT_TRUE((
                run<T>(x, shape,
                       {.candidates = candidates, .temperature = temperature, .executor = &pool}) ==
                wanted))
                << threads;
          }
        }
      }
    }
  }
}

TYPED_TEST(MatchingContrastive, BackwardHasTheBitsOfOneCall) {
  using T = TypeParam;
  const Shape shape{7, 11, 20};
  const auto x = random_slots<T>(shape, 11);
  for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
    for (const Reduction reduction : {Reduction::none, Reduction::mean, Reduction::sum}) {
      const MatchingContrastiveOptions options{
          .candidates = candidates, .temperature = 0.3, .reduction = reduction};
      const std::vector<T> incoming(losses_of(shape), element<T>(0.75));
      const auto whole = run<T>(x, shape, options, incoming.data());
      std::vector<T> gradient(x.size(), element<T>(-7));
      matching_contrastive_loss_backward(
          view_major_slots(x.data(), array_shape(shape)), whole.matching.data(),
          whole.log_sums.data(), options,
          {view_major_slots(gradient.data(), array_shape(shape)), incoming.data()});
      EXPECT_TRUE((same_bits<T>(gradient, whole.gradient)));
    }
  }
}

// Of every layout: views together or apart, gaps, reversed.
TEST(MatchingContrastiveLayout, StridesEqualCopies) {
  const Shape shape{5, 4, 9};
  const auto [images, slots, channels] = shape;
  const auto x = random_slots<float>(shape, 13);
  for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
    const MatchingContrastiveOptions options{.candidates = candidates};
    const auto wanted = run<float>(x, shape, options);
    const std::int64_t gap = 3, slot_stride = channels + gap, view_stride = slots * slot_stride,
                       image_stride = -2 * view_stride;
    std::vector<float> memory(-image_stride * images, std::numeric_limits<float>::quiet_NaN()),
        gradient(memory.size(), -7.0f);
    const SlotPairs<float> strided{memory.data() - (images - 1) * image_stride,
                                   images,
                                   slots,
                                   channels,
                                   view_stride,
                                   image_stride,
                                   slot_stride};
    SlotPairs<float> strided_gradient = strided;
    strided_gradient.data = gradient.data() - (images - 1) * image_stride;
    const SlotPairs<const float> plain = view_major_slots(x.data(), array_shape(shape));
    for (std::int64_t view = 0; view < 2; ++view) {
      for (std::int64_t image = 0; image < images; ++image) {
        for (std::int64_t slot = 0; slot < slots; ++slot)
          std::copy_n(plain.at(view, image, slot), channels, strided.at(view, image, slot));
      }
    }
    float loss = -7;
    matching_contrastive_loss(
        strided, options,
        {.loss = &loss, .gradient = ContrastiveGradient<float>{strided_gradient}});
    EXPECT_EQ(loss, wanted.loss[0]);
    for (std::int64_t view = 0; view < 2; ++view) {
      for (std::int64_t image = 0; image < images; ++image) {
        for (std::int64_t slot = 0; slot < slots; ++slot) {
          const float* const right =
              wanted.gradient.data() + ((view * images + image) * slots + slot) * channels;
          EXPECT_TRUE((same_bits<float>(
              {strided_gradient.at(view, image, slot), static_cast<std::size_t>(channels)},
              {right, static_cast<std::size_t>(channels)})));
          for (std::int64_t c = channels; c < slot_stride; ++c)
            EXPECT_EQ(strided_gradient.at(view, image, slot)[c], -7.0f);
        }
      }
    }
  }
}

TYPED_TEST(MatchingContrastive, GatheredRanksAreTheJoinedBatch) {
  using T = TypeParam;
  const Shape shape{3, 5, 14};
  const auto [images, slots, channels] = shape;
  for (const std::int64_t ranks : {1, 2, 3}) {
    for (const double temperature : {0.4, 0.004}) {
      // The joined batch has the ranks' images one after another.
      const Shape joined_shape{ranks * images, slots, channels};
      std::vector<T> gathered, joined(losses_of(joined_shape) * channels);
      for (std::int64_t rank = 0; rank < ranks; ++rank) {
        const auto x = random_slots<T>(shape, 20 + rank);
        gathered.insert(gathered.end(), x.begin(), x.end());
        const std::int64_t view = images * slots * channels;
        for (std::int64_t v = 0; v < 2; ++v)
          std::copy_n(x.begin() + v * view, view, joined.begin() + (v * ranks + rank) * view);
      }
      const auto wanted =
          run<T>(joined, joined_shape, {.temperature = temperature, .reduction = Reduction::none});
      std::vector<double> log_sums;
      std::vector<Indices> matchings;
      const double tolerance = 8 * kCosine<T> / temperature + 2 * kRounding<T>;
      for (std::int64_t rank = 0; rank < ranks; ++rank) {
        std::vector<T> losses(losses_of(shape));
        std::vector<double> of_rank(losses.size());
        Indices matching(images * slots);
        const GatheredSlots<T> all{gathered.data(), ranks, rank, images, slots, channels};
        matching_contrastive_loss(
            all, {.temperature = temperature, .reduction = Reduction::none},
            {.loss = losses.data(), .matching = matching.data(), .log_sums = of_rank.data()});
        for (std::int64_t v = 0; v < 2; ++v) {
          for (std::int64_t i = 0; i < images * slots; ++i) {
            const double right = value(wanted.loss[(v * ranks + rank) * images * slots + i]);
            EXPECT_NEAR(value(losses[v * images * slots + i]), right,
                        tolerance * std::max(1.0, right));
          }
        }
        log_sums.insert(log_sums.end(), of_rank.begin(), of_rank.end());
        matchings.push_back(matching);
      }
      for (std::int64_t rank = 0; rank < ranks; ++rank) {
        std::vector<T> gradient(losses_of(shape) * channels);
        const GatheredSlots<T> all{gathered.data(), ranks, rank, images, slots, channels};
        const std::vector<T> ones(ranks, element<T>(1));
        matching_contrastive_loss_backward(
            all, matchings[rank].data(), log_sums.data(),
            {.temperature = temperature, .reduction = Reduction::sum},
            {view_major_slots(gradient.data(), array_shape(shape)), ones.data()});
        for (std::int64_t v = 0; v < 2; ++v) {
          for (std::int64_t k = 0; k < images * slots * channels; ++k) {
            const double right =
                value(wanted.gradient[(v * ranks + rank) * images * slots * channels + k]);
            EXPECT_NEAR(value(gradient[v * images * slots * channels + k]), right,
                        tolerance * 8 / temperature + 2 * kRounding<T> * std::abs(right));
          }
        }
      }
    }
  }
}

TYPED_TEST(MatchingContrastive, LeavesImagesOutThatAreNotFinite) {
  using T = TypeParam;
  const Shape shape{6, 4, 10}, rest{5, 4, 10};
  const auto [images, slots, channels] = shape;
  auto x = random_slots<T>(shape, 31);
  constexpr std::int64_t kSpoilt = 2;
  std::vector<T> without;
  for (std::int64_t view = 0; view < 2; ++view) {
    for (std::int64_t image = 0; image < images; ++image) {
      const auto from = x.begin() + (view * images + image) * slots * channels;
      if (image != kSpoilt) without.insert(without.end(), from, from + slots * channels);
    }
  }
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    x[((images + kSpoilt) * slots + 1) * channels + 3] = element<T>(bad);
    for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
      const MatchingContrastiveOptions options{.candidates = candidates,
                                               .reduction = Reduction::none};
      const auto outcome = run<T>(x, shape, options), wanted = run<T>(without, rest, options);
      std::int64_t good = 0;
      for (std::int64_t i = 0; i < losses_of(shape); ++i) {
        const bool is_spoilt = i / slots % images == kSpoilt;
        EXPECT_EQ(std::isnan(value(outcome.loss[i])), is_spoilt);
        for (std::int64_t c = 0; c < channels; ++c) {
          const double g = value(outcome.gradient[i * channels + c]);
          EXPECT_EQ(std::isnan(g), is_spoilt);
          if (!is_spoilt) {
            EXPECT_EQ(g, value(wanted.gradient[good * channels + c]));
          }
        }
        if (!is_spoilt) {
          EXPECT_EQ(value(outcome.loss[i]), value(wanted.loss[good++]));
        }
      }
      for (std::int64_t s = 0; s < slots; ++s) EXPECT_EQ(outcome.matching[kSpoilt * slots + s], -1);
      EXPECT_TRUE(std::isnan(value(run<T>(x, shape, {.candidates = candidates}).loss[0])));
      MatchingContrastiveOptions strict = options;
      strict.on_nonfinite = NonFinite::raise;
      EXPECT_THROW(run<T>(x, shape, strict), NonFiniteError);
    }
  }
}

// Matched slots equal and all others orthogonal; and all slots equal.
TYPED_TEST(MatchingContrastive, BestAndWorst) {
  using T = TypeParam;
  const Shape shape{4, 3, 12};
  const auto [images, slots, channels] = shape;
  std::vector<T> orthogonal(losses_of(shape) * channels, element<T>(0)), equal(orthogonal.size());
  for (std::int64_t i = 0; i < losses_of(shape); ++i) {
    orthogonal[i * channels + i % (images * slots)] = element<T>(2);
    for (std::int64_t c = 0; c < channels; ++c)
      equal[i * channels + c] = element<T>(static_cast<double>(c + 1));
  }
  for (const double temperature : {1.0, 0.2, 0.01}) {
    for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
      const auto [best, worst] = matching_contrastive_loss_best_worst(
          candidates == Candidates::batch ? images : 1, slots, temperature);
      const double tolerance = std::is_same_v<T, double> ? 1e-12 : 1e-6 + kRounding<T> * worst;
      EXPECT_NEAR(
          value(run<T>(orthogonal, shape, {.candidates = candidates, .temperature = temperature})
                    .loss[0]),
          best, tolerance);
      const auto collapsed = run<T>(
          equal, shape,
          {.candidates = candidates, .temperature = temperature, .reduction = Reduction::sum});
      EXPECT_NEAR(value(collapsed.loss[0]) / static_cast<double>(losses_of(shape)), worst,
                  tolerance);
      EXPECT_EQ(collapsed.accuracy[0], 0.0);
      for (std::int64_t i = 0; i < losses_of(shape); ++i) {
        double along = 0;
        for (std::int64_t c = 0; c < channels; ++c) {
          ASSERT_TRUE(std::isfinite(value(collapsed.gradient[i * channels + c])));
          along += value(collapsed.gradient[i * channels + c]) * value(equal[i * channels + c]);
        }
        EXPECT_NEAR(along, 0, 100 * kCosine<T> / temperature);
      }
    }
  }
  EXPECT_NEAR(matching_contrastive_loss_best_worst(2, 3, 0.5).first,
              std::log(std::exp(2.0) + 10) - 2, 1e-12);
  EXPECT_NEAR(matching_contrastive_loss_best_worst(2, 3, 0.5).second, std::log(11.0), 1e-12);
  EXPECT_EQ(matching_contrastive_loss_best_worst(2, 3, 1e-5).first, 0.0);
  EXPECT_THROW(matching_contrastive_loss_best_worst(0, 3), InvalidArgument);
  EXPECT_THROW(matching_contrastive_loss_best_worst(2, 3, -1), InvalidArgument);
}

// Where a match leaves all others far behind, what is left of the loss, and of its gradient, is as
// exact as where it does not.
TEST(MatchingContrastiveSaturation, LeavesSmallLossesExact) {
  const Shape shape{4, 3, 64};
  const std::int64_t view = 4 * 3 * 64;
  auto x = random_slots<float>(shape, 61);
  for (std::int64_t k = 0; k < view; ++k) x[view + k] = x[k] + 0.01f * x[view + k];
  const auto matching = matching_of(x, shape);
  for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
    for (const double temperature : {0.1, 0.05, 0.03, 0.02}) {
      const auto outcome = run<float>(
          x, shape,
          {.candidates = candidates, .temperature = temperature, .reduction = Reduction::none});
      const oracle::Contrast right =
          expected(x, shape, matching, candidates, temperature, Vector(losses_of(shape), 1.0));
      const double relative = 16 * kCosine<float> / temperature;
      for (std::int64_t i = 0; i < losses_of(shape); ++i) {
        // The oracle's own sum has the match in it, which rounds at 1e-16.
        EXPECT_NEAR(outcome.loss[i], right.losses[i], relative * right.losses[i] + 1e-14)
            << temperature;
        EXPECT_GE(outcome.loss[i], 0.0f);
        for (std::int64_t c = 0; c < shape[2]; ++c)
          EXPECT_NEAR(outcome.gradient[i * shape[2] + c], right.gradient[i][c],
                      relative * right.losses[i] * 2 / temperature + 1e-13 / temperature);
      }
    }
  }
}

// A share is not above 1, so that a gradient is not above 2 / (temperature * |x|) and a few times
// as many others.
TEST(MatchingContrastiveTemperature, MayBeAsLowAsItsInverseFits) {
  const Shape shape{4, 6, 16};
  const auto x = random_slots<float>(shape, 67), noise = random_slots<float>(shape, 71);
  auto unrelated = x;
  std::copy(noise.begin() + 4 * 6 * 16, noise.end(), unrelated.begin() + 4 * 6 * 16);
  for (const double temperature : {1e-3, 1e-7, 1e-8, 1e-10, 1e-20, 1e-30}) {
    for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
      const auto outcome = run<float>(
          unrelated, shape,
          {.candidates = candidates, .temperature = temperature, .reduction = Reduction::sum});
      EXPECT_TRUE(outcome.loss[0] >= 0 && std::isfinite(outcome.loss[0])) << temperature;
      for (std::int64_t i = 0; i < losses_of(shape); ++i) {
        double gradient = 0, length = 0;
        for (std::int64_t c = 0; c < shape[2]; ++c) {
          gradient += std::pow(outcome.gradient[i * shape[2] + c] * temperature, 2);
          length += std::pow(unrelated[i * shape[2] + c], 2);
        }
        EXPECT_LT(std::sqrt(gradient * length), 2.0 * static_cast<double>(losses_of(shape)))
            << temperature;
      }
    }
  }
}

// A norm neither overflows nor vanishes: the loss does not see it, and the gradient falls as it
// grows.
TYPED_TEST(MatchingContrastive, SlotsOfAnyMagnitude) {
  using T = TypeParam;
  if (sizeof(T) == 2 && !std::is_same_v<T, bfloat16>) return;  // float16 has no such range
  const Shape shape{3, 4, 8};
  const double huge = std::is_same_v<T, double> ? 0x1p900 : 0x1p90,
               tiny = std::is_same_v<T, double> ? 0x1p-900 : 0x1p-90;
  const auto x = random_slots<T>(shape, 41);
  const auto matching = matching_of(x, shape);
  for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
    const MatchingContrastiveOptions options{.candidates = candidates,
                                             .reduction = Reduction::sum,
                                             .eps = std::numeric_limits<double>::min(),
                                             .given_matching = matching.data()};
    const auto wanted = run<T>(x, shape, options);
    auto scaled = x;
    for (std::size_t k = 0; k < x.size(); ++k) {
      const std::size_t slot = k / 8;
      scaled[k] = element<T>(value(x[k]) * (slot % 3 == 0 ? huge : slot % 3 == 1 ? tiny : 1));
    }
    const auto outcome = run<T>(scaled, shape, options);
    EXPECT_NEAR(value(outcome.loss[0]), value(wanted.loss[0]), (kCosine<T> + kRounding<T>)*100);
    for (std::size_t k = 0; k < x.size(); ++k) {
      const std::size_t slot = k / 8;
      const double factor = slot % 3 == 0 ? huge : slot % 3 == 1 ? tiny : 1;
      EXPECT_NEAR(value(outcome.gradient[k]) * factor, value(wanted.gradient[k]),
                  100 * kCosine<T> + 2 * kRounding<T> * std::abs(value(wanted.gradient[k])))
          << k;
    }
  }
}

// Slots and what comes in, both times a power of two, give the same gradient: down to slots of
// denormal numbers, and up to those whose norm is none.
template <typename T>
void expect_gradients_of_scaled_slots() {
  using Limits = std::numeric_limits<T>;
  const Shape shape{3, 4, 9};
  auto x = random_slots<T>(shape, 43);
  for (T& value : x) value = std::round(value * 8) / 8;  // of few bits, so that scaling is exact
  const auto matching = matching_of(x, shape);
  for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
    const MatchingContrastiveOptions options{.candidates = candidates,
                                             .temperature = 0.2,
                                             .reduction = Reduction::sum,
                                             .eps = std::numeric_limits<double>::denorm_min(),
                                             .given_matching = matching.data()};
    const auto wanted = run<T>(x, shape, options);
    for (int exponent = Limits::min_exponent - Limits::digits + 3;
         exponent < Limits::max_exponent - 3; ++exponent) {
      auto scaled = x;
      for (T& value : scaled) value = std::ldexp(value, exponent);
      const T incoming = std::ldexp(T(1), exponent);
      const auto outcome = run<T>(scaled, shape, options, &incoming);
      double worst = 0;
      for (std::size_t k = 0; k < x.size(); ++k)
        worst = std::max(worst,
                         std::abs(static_cast<double>(outcome.gradient[k] - wanted.gradient[k])));
      EXPECT_LE(worst, 100 * kCosine<T>) << "2^" << exponent;
    }
  }
}

TEST(MatchingContrastiveGradient, OfSlotsOfAnyMagnitudeAndOfAnythingThatComesIn) {
  expect_gradients_of_scaled_slots<float>();
  expect_gradients_of_scaled_slots<double>();
}

// A match that leaves the others behind has no gradient, however large 1 / temperature and what
// comes in are together.
TEST(MatchingContrastiveTemperature, ThatLeavesNoGradientLeavesItZero) {
  const Shape shape{2, 3, 8};
  std::vector<double> x(losses_of(shape) * 8, 0.0);  // matched slots equal, others orthogonal
  for (std::int64_t slot = 0; slot < losses_of(shape); ++slot) x[slot * 8 + slot % 6] = 1;
  const double incoming = 1e100;
  for (const double temperature : {1e-3, 1e-100, 1e-300}) {
    const auto outcome =
        run<double>(x, shape, {.temperature = temperature, .reduction = Reduction::sum}, &incoming);
    EXPECT_EQ(outcome.loss[0], 0);
    for (const double value : outcome.gradient) EXPECT_EQ(value, 0) << temperature;
  }
}

// Far above every cosine the temperature only divides the gradient.
TEST(MatchingContrastiveTemperature, MayBeAnyLargeNumber) {
  const Shape shape{2, 3, 8};
  const auto x = random_slots<float>(shape, 44);
  const auto gradient = [&](int exponent) {
    const float incoming = std::ldexp(1.0f, std::min(exponent, 120));
    return run<float>(x, shape,
                      {.temperature = std::ldexp(1.0, exponent), .reduction = Reduction::sum},
                      &incoming)
        .gradient;
  };
  const auto wanted = gradient(40);
  for (const int exponent : {60, 100, 120, 140, 200, 1000}) {
    const auto outcome = gradient(exponent);
    for (std::size_t k = 0; k < x.size(); ++k)
      EXPECT_NEAR(outcome[k], std::ldexp(wanted[k], std::min(0, 120 - exponent)), 1e-5) << exponent;
  }
}

TEST(MatchingContrastiveZero, ResemblesNobody) {
  const Shape shape{2, 2, 4};
  auto x = random_slots<double>(shape, 43);
  std::fill_n(x.begin() + 4, 4, 0.0);
  const auto outcome = run<double>(x, shape, {.reduction = Reduction::none});
  const oracle::Contrast right =
      expected(x, shape, outcome.matching, Candidates::batch, 1, Vector(losses_of(shape), 1.0));
  for (std::int64_t i = 0; i < losses_of(shape); ++i) {
    EXPECT_NEAR(outcome.loss[i], right.losses[i], 1e-12);
    for (std::int64_t c = 0; c < 4; ++c)
      EXPECT_NEAR(outcome.gradient[i * 4 + c], right.gradient[i][c],
                  1e-12 * std::max(1.0, std::abs(right.gradient[i][c])));
  }
}

TEST(MatchingContrastiveSizes, NoneAndOne) {
  for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
    for (const Shape& shape : {Shape{0, 3, 4}, {2, 0, 4}, {0, 0, 0}}) {
      const std::vector<float> nothing;
      EXPECT_TRUE(std::isnan(run<float>(nothing, shape, {.candidates = candidates}).loss[0]));
      EXPECT_EQ(run<float>(nothing, shape, {.candidates = candidates, .reduction = Reduction::sum})
                    .loss[0],
                0.0f);
      EXPECT_TRUE(std::isnan(run<float>(nothing, shape, {.candidates = candidates}).accuracy[0]));
    }
    // No channels: all cosines are 0.
    const auto none = run<float>({}, {3, 2, 0}, {.candidates = candidates});
    EXPECT_FLOAT_EQ(none.loss[0], std::log(candidates == Candidates::batch ? 11.0f : 3.0f));
    // A slot and its match, and nobody else.
    const auto alone = run<float>({1, 2, 2, 1}, {1, 1, 2}, {.candidates = candidates});
    EXPECT_EQ(alone.loss[0], 0.0f);
    EXPECT_EQ(alone.accuracy[0], 1.0);
    for (const float g : alone.gradient) EXPECT_EQ(g, 0.0f);
  }
}

TEST(MatchingContrastiveMatching, IsTheCallersWhereItIsGiven) {
  const Shape shape{2, 3, 5};
  const auto x = random_slots<double>(shape, 47);
  const Indices given{2, 0, 1, 1, 0, 2};
  const auto outcome =
      run<double>(x, shape, {.reduction = Reduction::none, .given_matching = given.data()});
  EXPECT_EQ(outcome.matching, given);
  const oracle::Contrast right =
      expected(x, shape, given, Candidates::batch, 1, Vector(losses_of(shape), 1.0));
  for (std::int64_t i = 0; i < losses_of(shape); ++i)
    EXPECT_NEAR(outcome.loss[i], right.losses[i], 1e-12);

  const Indices left_out{2, 0, 1, -1, -1, -1};
  const auto partly =
      run<double>(x, shape, {.reduction = Reduction::none, .given_matching = left_out.data()});
  EXPECT_EQ(partly.matching, left_out);
  for (std::int64_t i = 0; i < losses_of(shape); ++i)
    EXPECT_EQ(std::isnan(partly.loss[i]), i / 3 % 2 == 1);
  for (const Indices& bad : {Indices{0, 0, 1, 1, 0, 2}, {2, 0, 1, 1, 0, 3}, {2, 0, 1, -1, 0, -1}}) {
    EXPECT_THROW(run<double>(x, shape, {.given_matching = bad.data()}), InvalidArgument);
  }
}

TEST(MatchingContrastiveErrors, NameWhatWasGivenAndWrittenNothing) {
  const Shape shape{2, 3, 4};
  const auto x = random_slots<float>(shape, 53);
  const auto slots = view_major_slots(x.data(), array_shape(shape));
  float loss = -7;
  const auto text = [&](const MatchingContrastiveOptions& options) {
    const Status status = try_matching_contrastive_loss(slots, options, {.loss = &loss});
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    return std::string(status.text());
  };
  for (const double bad : {0.0, -1.0, std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN(), 1e-60}) {
    EXPECT_NE(text({.temperature = bad}).find("temperature is"), std::string::npos);
  }
  EXPECT_NE(text({.eps = 0}).find("eps is 0"), std::string::npos);
  std::vector<float> gradient(x.size());
  auto other = view_major_slots(gradient.data(), {4, 2, 6});
  EXPECT_EQ(
      try_matching_contrastive_loss(slots, {}, {.gradient = ContrastiveGradient<float>{other}})
          .code(),
      StatusCode::invalid_argument);
  EXPECT_EQ(
      try_matching_contrastive_loss_backward(
          slots, nullptr, nullptr, {}, {view_major_slots(gradient.data(), array_shape(shape))})
          .code(),
      StatusCode::invalid_argument);
  for (const GatheredSlots<float>& bad : {GatheredSlots<float>{x.data(), 0, 0, 2, 3, 4},
                                          {x.data(), 1, 1, 2, 3, 4},
                                          {x.data(), 1, -1, 2, 3, 4},
                                          {nullptr, 1, 0, 2, 3, 4},
                                          {x.data(), std::int64_t{1} << 62, 0, 2, 3, 4}}) {
    EXPECT_EQ(try_matching_contrastive_loss(bad, {}, {.loss = &loss}).code(),
              StatusCode::invalid_argument);
  }
  const GatheredSlots<float> gathered{x.data(), 1, 0, 2, 3, 4};
  EXPECT_EQ(
      try_matching_contrastive_loss(gathered, {.candidates = Candidates::image}, {.loss = &loss})
          .code(),
      StatusCode::invalid_argument);
  EXPECT_EQ(try_matching_contrastive_loss(gathered, {},
                                          {.gradient = ContrastiveGradient<float>{view_major_slots(
                                               gradient.data(), array_shape(shape))}})
                .code(),
            StatusCode::invalid_argument);
  // Other ranks would not know that a finite image is left out.
  const Indices left_out{2, 0, 1, -1, -1, -1};
  const std::vector<float> two_ranks(2 * x.size(), 1);
  EXPECT_EQ(try_matching_contrastive_loss(GatheredSlots<float>{two_ranks.data(), 2, 0, 2, 3, 4},
                                          {.given_matching = left_out.data()}, {.loss = &loss})
                .code(),
            StatusCode::invalid_argument);
  EXPECT_EQ(loss, -7);
  constexpr std::int64_t kHuge = std::int64_t{1} << 61;
  for (const auto& [images, slots_an_image, channels, ranks] :
       {std::array<std::int64_t, 4>{kHuge, 1, 1, 1},
        {1, kHuge, 1, 1},
        {1, 1, kHuge, 1},
        {1, 1, 1, kHuge},
        {1, 1 << 31, 1, 1},
        {-1, 1, 1, 1},
        {1, 1, 1, -1}}) {
    EXPECT_EQ(matching_contrastive_workspace<float>(images, slots_an_image, channels, ranks,
                                                    Candidates::batch, 2),
              0u);
  }
}

TEST(MatchingContrastiveMemory, IsTheCallersWhereItIsGiven) {
  for (const Candidates candidates : {Candidates::batch, Candidates::image}) {
    for (const int threads : {1, 3}) {
      const Shape shape{12, 11, 40};
      const auto x = random_slots<float>(shape, 59);
      ThreadPool pool(threads);
      const auto wanted = run<float>(x, shape, {.candidates = candidates, .executor = &pool});
      std::vector<char> memory(matching_contrastive_workspace<float>(shape[0], shape[1], shape[2],
                                                                     1, candidates, threads),
                               7);
      Workspace workspace(memory.data(), memory.size());
      EXPECT_TRUE(
          (run<float>(x, shape,
                      {.candidates = candidates, .executor = &pool, .workspace = &workspace}) ==
           wanted));
      Workspace small(memory.data(), 100);
      const Status status =
          try_matching_contrastive_loss(view_major_slots(x.data(), array_shape(shape)),
                                        {.candidates = candidates, .workspace = &small}, {});
      EXPECT_EQ(status.code(), StatusCode::out_of_memory);
    }
  }
}

}  // namespace
}  // namespace osc
