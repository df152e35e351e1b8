// What is peculiar to the similarity loss and to the matching; conformance_test.cpp has the rest.
#include "osc/similarity_loss.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "call.hpp"
#include "random_call.hpp"

namespace osc {
namespace {

const osc_operator& kLoss = operator_named("matching_similarity_loss_per_img");

// p has norm 0.5 under a floor of 2: unit(p) = p / 2, loss = (1 - <p/2, u>) / 2, gradient = -u / 4.
TEST(SimilarityLoss, ShortSlotsFollowTheFloorOfTheNorm) {
  for (const std::int32_t dtype : kElementTypes) {
    Call call(kLoss, dtype, {{"B", 1}, {"S", 1}, {"C", 2}}, {{"reduction", OSC_NONE}, {"eps", 2}});
    call["f"].values = {3, 4, 3, 4};
    call["p"].values = {0.5, 0, 0, 0};
    call["grad_output"].values = {1, 1};
    ASSERT_TRUE(call.run().ok());
    const double tolerance = dtype == OSC_FLOAT64 ? 1e-15 : dtype == OSC_FLOAT32 ? 1e-7 : 1e-3;
    EXPECT_NEAR(call["loss"].values[0], (1 - 0.25 * 0.6) / 2, tolerance);
    EXPECT_EQ(call["loss"].values[1], 0.5);  // a zero slot
    EXPECT_NEAR(call["grad_p"].values[0], -0.6 / 4, tolerance);
    EXPECT_NEAR(call["grad_p"].values[1], -0.8 / 4, tolerance);
    EXPECT_NEAR(call["grad_p"].values[2], -0.6 / 4, tolerance);
  }
}

// The factors of the gradient's terms are below the least float, the gradient is not: -g (u - c
// p/n) / (2n). p[0] = 3e10 (.8, .6) and its target points to (1, 0): c = .8.
TEST(SimilarityLoss, SmallGradientsOfTheLossAreNotLost) {
  Call call(kLoss, OSC_FLOAT32, {{"B", 1}, {"S", 1}, {"C", 2}}, {{"reduction", OSC_SUM}});
  call["f"].values = {1.8e10f, 2.4e10f, 3e10f, 0};
  call["p"].values = {2.4e10f, 1.8e10f, 1.8e10f, -2.4e10f};
  call["grad_output"].values = {1e-24f};
  ASSERT_TRUE(call.run().ok());
  EXPECT_NEAR(call["grad_p"].values[0], -1e-24 * 0.36 / 6e10, 1e-41);
  EXPECT_NEAR(call["grad_p"].values[1], 1e-24 * 0.48 / 6e10, 1e-41);
}

// If the call says that the gradient scales, multiplying it afterwards is as exact as grad_output.
// The call says so for ordinary slots, but not if the gradient for grad_output 1 has lost bits.
TEST(SimilarityLoss, SaysWhetherTheGradientScales) {
  for (const std::int32_t dtype : {OSC_FLOAT64, OSC_FLOAT32}) {
    const int most = dtype == OSC_FLOAT64 ? 1024 : 128;
    for (int exponent = 3 - most; exponent < most - 4; ++exponent) {
      SCOPED_TRACE(::testing::Message() << "dtype " << dtype << ", 2^" << exponent);
      Call call(kLoss, dtype, {{"B", 40}, {"S", 5}, {"C", 8}}, {{"eps", std::ldexp(1, 2 - most)}});
      RandomCall(3).fill(call, Kind::ordinary);
      for (double& x : call["p"].values) x = std::ldexp(x, exponent);
      Call scaled = call;
      call["grad_output"].values = {1};
      scaled["grad_output"].values = {std::ldexp(1.375, exponent)};
      ASSERT_TRUE(call.run().ok());
      const bool scales = call["gradient_scales"].values[0] != 0;
      // The gradient is of some 2^-exponent / 800.
      const bool is_ordinary = std::abs(exponent) < (dtype == OSC_FLOAT32 ? 80 : 900);
      EXPECT_TRUE(scales || !is_ordinary);
      EXPECT_FALSE(scales && exponent > most - 10);
      if (!scales) continue;
      ASSERT_TRUE(scaled.run().ok());
      double worst = 0;
      for (std::size_t i = 0; i < call["grad_p"].values.size(); ++i)
        worst = std::max(worst, std::abs(rounded(dtype, call["grad_p"].values[i] *
                                                            scaled["grad_output"].values[0]) -
                                         scaled["grad_p"].values[i]));
      EXPECT_LE(worst, dtype == OSC_FLOAT32 ? 1e-8 : 2e-17);
    }
  }
}

// Cosines that are nearly tied, and slots of p that are computed in double: the matching depends on
// f alone.
TEST(SimilarityLoss, TheMatchingDoesNotDependOnP) {
  for (const std::int32_t dtype : kElementTypes) {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
      SCOPED_TRACE(::testing::Message() << "dtype " << dtype << ", seed " << seed);
      const Sizes sizes{{"B", 1}, {"S", 6}, {"C", 3}};
      Call loss(kLoss, dtype, sizes), alone(operator_named("match_slots"), dtype, sizes);
      RandomCall random(seed);
      random.fill(loss, Kind::ordinary);
      for (std::int64_t row = 0; row < 12; ++row) {  // of three directions, each several times
        const double factor = 0.5 + static_cast<double>(random.pick(0, 1000)) / 1000;
        for (std::int64_t c = 0; c < 3; ++c)
          loss["f"].values[row * 3 + c] =
              rounded(dtype, factor * static_cast<double>(1 + (row % 3) * c));
      }
      for (std::int64_t c = 0; c < 3 && dtype != OSC_FLOAT16; ++c) loss["p"].values[c] *= 0x1p40;
      alone["slots"].values = loss["f"].values;
      ASSERT_TRUE(loss.run().ok());
      ASSERT_TRUE(alone.run().ok());
      EXPECT_EQ(loss["matching"].values, alone["matching"].values);
    }
  }
}

// Also of the contrastive loss: a row is a permutation, or -1 throughout.
TEST(GivenMatching, ThatIsNoneIsAnError) {
  for (const char* const name : {"matching_similarity_loss_per_img", "matching_contrastive_loss",
                                 "matching_contrastive_loss_gathered"}) {
    Call call(operator_named(name), OSC_FLOAT32, {{"B", 2}, {"S", 3}, {"C", 4}, {"R", 1}});
    RandomCall(1).fill(call, Kind::ordinary);
    if (RandomCall::is_gathered(call.row())) call["grad_slots"].is_given = false;
    call["given_matching"].is_given = true;
    for (const std::vector<double>& bad : {std::vector<double>{0, 1, 2, 1, 0, 3},
                                           {0, 1, 2, 1, 0, 1},
                                           {0, 1, 2, 1, -1, 2},
                                           {0, 1, 2, -1, -1, 2},
                                           {0, 1, 2, -2, -2, -2}}) {
      Call refused = call;
      refused["given_matching"].values = bad;
      const Status status = refused.run();
      EXPECT_EQ(status.code(), StatusCode::invalid_argument);
      EXPECT_EQ(status.index(), 1);
      EXPECT_EQ(std::string(status.text()).find("given_matching: "), 0u) << status.text();
      EXPECT_TRUE(is_untouched(refused));
    }
    call["given_matching"].values = {2, 0, 1, -1, -1, -1};
    EXPECT_TRUE(call.run().ok());
    EXPECT_EQ(call["matching"].values, call["given_matching"].values);
  }
}

template <typename T>
class SimilarityMemory : public ::testing::Test {};
using Types = ::testing::Types<double, float, float16, bfloat16>;
TYPED_TEST_SUITE(SimilarityMemory, Types);

template <typename T>
std::vector<T> random_elements(std::int64_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<T> result(count);
  for (T& x : result) x = element<T>(normal(random));
  return result;
}

template <typename T>
std::vector<T> gradient_of(const View<const T, 4>& f, const View<const T, 4>& p) {
  const auto [views, images, slots, channels] = f.sizes;
  std::vector<T> gradient(2 * images * slots * channels);
  matching_similarity_loss_per_img(
      f, p, {.reduction = Reduction::sum},
      {.grad_p = view_major(gradient.data(), {2 * images, slots, channels})});
  return gradient;
}

// A gradient too large for the caches is written past them, if its address allows that. f and p are
// one image again and again, by a stride of zero.
TYPED_TEST(SimilarityMemory, ALargeGradientAtAnyAddress) {
  using T = TypeParam;
  constexpr std::int64_t kS = 7, kC = 32, kImages = 8 * (1 << 20) / (2 * kS * kC * sizeof(T)) + 1;
  const auto f = random_elements<T>(2 * kS * kC, 1), p = random_elements<T>(2 * kS * kC, 2);
  const auto expected =
      gradient_of<T>(view_major(f.data(), {2, kS, kC}), view_major(p.data(), {2, kS, kC}));
  const auto many = [&](const std::vector<T>& x) {
    return View<const T, 4>{x.data(), {2, kImages, kS, kC}, {kS * kC, 0, kC, 1}};
  };
  std::vector<T> memory(2 * kImages * kS * kC + 32);
  for (const std::int64_t offset : {0, 1, 2, 3, 8, 31}) {
    T* const gradient = memory.data() + offset;
    matching_similarity_loss_per_img(many(f), many(p), {.reduction = Reduction::sum},
                                     {.grad_p = view_major(gradient, {2 * kImages, kS, kC})});
    for (const std::int64_t image : {std::int64_t{0}, kImages / 2, kImages - 1}) {
      EXPECT_TRUE(same_bits<T>(std::span(gradient + image * kS * kC, kS * kC),
                               std::span(expected).first(kS * kC)))
          << offset << ", image " << image;
    }
  }
}

TYPED_TEST(SimilarityMemory, FAndPMayOverlap) {
  using T = TypeParam;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const auto images = static_cast<std::int64_t>(1 + seed % 3),
               slots = static_cast<std::int64_t>(1 + seed % 10),
               channels = static_cast<std::int64_t>(1 + seed % 37),
               elements = 2 * images * slots * channels,
               shift = static_cast<std::int64_t>(seed % 5);
    const auto view = [&](const T* x) { return view_major(x, {2 * images, slots, channels}); };
    const auto memory = random_elements<T>(elements + shift, seed);
    const std::vector<T> f(memory.begin(), memory.begin() + elements),
        p(memory.begin() + shift, memory.end());
    EXPECT_TRUE(same_bits<T>(gradient_of<T>(view(memory.data()), view(memory.data() + shift)),
                             gradient_of<T>(view(f.data()), view(p.data()))))
        << "seed " << seed;
  }
}

TEST(SimilarityLoss, AloneIsAScalar) {
  const auto x = random_elements<float>(24, 1);
  const auto slots = view_major(x.data(), {4, 2, 3});
  float loss = -7;
  matching_similarity_loss_per_img(slots, slots, {}, {.loss = &loss});
  EXPECT_EQ(matching_similarity_loss_per_img(slots, slots), loss);
  EXPECT_THROW(matching_similarity_loss_per_img(slots, slots, {.reduction = Reduction::none}),
               InvalidArgument);
}

TEST(Reduction, HasANameEach) {
  EXPECT_EQ(reduction_from_name("none"), Reduction::none);
  EXPECT_EQ(reduction_from_name("mean"), Reduction::mean);
  EXPECT_EQ(reduction_from_name("sum"), Reduction::sum);
  EXPECT_THROW(reduction_from_name("Mean"), InvalidArgument);
  EXPECT_THROW(reduction_from_name(""), InvalidArgument);
}

}  // namespace
}  // namespace osc
