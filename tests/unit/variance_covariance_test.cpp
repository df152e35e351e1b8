// What is peculiar to the variance and covariance loss; conformance_test.cpp has the rest.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "call.hpp"
#include "random_call.hpp"

namespace osc {
namespace {

const osc_operator& kLoss = operator_named("variance_covariance_loss");

Call samples(std::int32_t dtype, std::int64_t g, std::int64_t n, std::int64_t d) {
  Call call(kLoss, dtype, {{"G", g}, {"N", n}, {"D", d}});
  RandomCall(1).fill(call, Kind::ordinary);
  call["grad_variance"].values = call["grad_covariance"].values = {1};
  return call;
}

// Samples (0, 0) and (2, 1), K = [2, 1; 1, 1/2].
TEST(VarianceCovarianceLoss, TwoSamplesByHand) {
  for (const std::int32_t dtype : kElementTypes) {
    Call call = samples(dtype, 1, 2, 2);
    call["x"].values = {0, 0, 2, 1};
    ASSERT_TRUE(call.run().ok());
    const double tolerance = dtype == OSC_FLOAT64   ? 1e-14
                             : dtype == OSC_FLOAT32 ? 1e-6
                             : dtype == OSC_FLOAT16 ? 1e-3
                                                    : 1e-2;
    EXPECT_NEAR(call["variance"].values[0], (1 - std::sqrt(0.5001)) / 2, tolerance);
    EXPECT_NEAR(call["covariance"].values[0], 1, tolerance);  // (1^2 + 1^2) / 2
    EXPECT_NEAR(call["grad_x"].values[0], -1, tolerance);     // 2 (2 K01 / 2) (-1/2)
    EXPECT_NEAR(call["grad_x"].values[3], 2 - 1 / (4 * std::sqrt(0.5001)),
                2 * tolerance);  // 2 (2 K01 / 2) 1 + 2 (-1 / (4 sqrt(K11 + 1e-4))) / 2
  }
}

TEST(VarianceCovarianceLoss, ALargeMeanCostsNoDigits) {
  for (const std::int32_t dtype : {OSC_FLOAT64, OSC_FLOAT32}) {
    const double mean = dtype == OSC_FLOAT32 ? 0x1p12 : 0x1p30;
    Call far = samples(dtype, 2, 300, 40);
    for (double& x : far["x"].values) x = rounded(dtype, x + mean);
    Call near = far;
    for (double& x : near["x"].values) x -= mean;  // exact
    ASSERT_TRUE(far.run().ok());
    ASSERT_TRUE(near.run().ok());
    const double tolerance = dtype == OSC_FLOAT32 ? 0x1p-18 : 0x1p-46;
    for (const char* const name : {"variance", "covariance", "grad_x"}) {
      for (std::size_t i = 0; i < far[name].values.size(); ++i)
        EXPECT_NEAR(far[name].values[i], near[name].values[i], tolerance) << name;
    }
  }
}

// Finite samples are no error, even if their covariances overflow.
TEST(VarianceCovarianceLoss, HugeAndTinySamples) {
  for (const std::int32_t dtype : kElementTypes) {
    Call call = samples(dtype, 1, 20, 40);
    for (const double most : {1e308, 3e38, 6e4}) {
      for (std::size_t i = 0; i < call["x"].values.size(); ++i)
        call["x"].values[i] = rounded(dtype, i % 2 == 0 ? most : -most);
      EXPECT_TRUE(call.run().ok());
    }
    call["x"].values.assign(800, dtype == OSC_FLOAT64 ? 5e-324 : rounded(dtype, 0x1p-149));
    call["x"].values[7] = 0;
    ASSERT_TRUE(call.run().ok());
    EXPECT_NEAR(call["variance"].values[0], 0.99, 0x1p-8);
    EXPECT_EQ(call["covariance"].values[0], 0);
  }
}

// A power of two: exact.
TEST(VarianceCovarianceLoss, SmallGradientsOfTheTermsAreNotLost) {
  for (const std::int32_t dtype : {OSC_FLOAT64, OSC_FLOAT32}) {
    const double tiny = dtype == OSC_FLOAT32 ? 0x1p-100 : 0x1p-900;
    Call call = samples(dtype, 1, 20, 40), small = call;
    small["grad_variance"].values = small["grad_covariance"].values = {tiny};
    ASSERT_TRUE(call.run().ok());
    ASSERT_TRUE(small.run().ok());
    for (std::size_t i = 0; i < 800; ++i)
      EXPECT_EQ(small["grad_x"].values[i], rounded(dtype, call["grad_x"].values[i] * tiny));
  }
}

}  // namespace
}  // namespace osc
