// What is peculiar to the loss of crops; conformance_test.cpp has the rest.
#include "osc/small_to_large_loss.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "call.hpp"
#include "random_call.hpp"

namespace osc {
namespace {

const osc_operator& kLoss = operator_named("matching_similarity_loss_small_to_large");

Call small_to_large(std::int32_t dtype, const Sizes& sizes, const Options& options = {},
                    std::uint64_t seed = 1) {
  Call call(kLoss, dtype, sizes, options);
  RandomCall(seed).fill(call, Kind::ordinary);
  for (double& g : call["grad_output"].values) g = 1;
  return call;
}

TEST(SmallToLargeLoss, TheFirstOfEqualSlotsCountsOnBothSides) {
  for (const std::int32_t dtype : kElementTypes) {
    Call call(kLoss, dtype, {{"B", 1}, {"Al", 1}, {"L", 4}, {"As", 1}, {"S", 5}, {"C", 3}});
    // Large slots 1 and 2 are the same, and so are small slots 0, 2 and 3, which resemble them
    // most: (0, 1) counts. Of the others none is the most similar.
    call["f_large"].values = {-2, 0, 1, 1, 2, 2, 1, 2, 2, -2, 0, 1};
    call["p_small"].values = {2, 4, 4, -1, 0, 0, 2, 4, 4, 2, 4, 4, -1, 0, 0};
    call["grad_output"].values = {1};
    ASSERT_TRUE(call.run().ok());
    EXPECT_EQ(call["matching"].values, (std::vector<double>{1, 0, -1, -1, -1}));
    // Slots that are zero have cosine 0 with all.
    call["p_small"].values.assign(15, 0);
    ASSERT_TRUE(call.run().ok());
    EXPECT_EQ(call["matching"].values, (std::vector<double>{0, -1, -1, -1, -1}));
    EXPECT_EQ(call["loss"].values[0], 0.5);
  }
}

TEST(SmallToLargeLoss, WhatDoesNotCountHasNoGradientWhateverGradOutputIs) {
  for (const std::int32_t dtype : kElementTypes) {
    Call call =
        small_to_large(dtype, {{"B", 1}, {"Al", 1}, {"L", 2}, {"As", 2}, {"S", 3}, {"C", 5}},
                       {{"reduction", OSC_NONE}});
    call["grad_output"].values = {NAN, NAN};
    call["given_matching"].is_given = true;
    call["given_matching"].values = {-1, -1, -1, 1, -1, 0};
    for (const bool alone : {false, true}) {
      if (alone)
        call["loss"].is_given = call["matching"].is_given = call["counted_ratio"].is_given = false;
      ASSERT_TRUE(call.run().ok());
      for (std::size_t i = 0; i < 30; ++i) {
        const double g = call["grad_p_small"].values[i];
        EXPECT_TRUE(call["given_matching"].values[i / 5] < 0 ? g == 0 : std::isnan(g)) << i;
      }
    }
  }
}

// The mean is NaN then; its gradient for the other images is that of the batch without this one.
TEST(SmallToLargeLoss, TheMeansGradientDoesNotCountAnImageThatIsNotFinite) {
  for (const std::int32_t dtype : kElementTypes) {
    for (const std::int64_t image : {0, 1, 2}) {
      for (const char* const input : {"f_large", "p_small"}) {
        Sizes sizes{{"B", 3}, {"Al", 2}, {"L", 3}, {"As", 2}, {"S", 4}, {"C", 9}};
        Call all = small_to_large(dtype, sizes);
        sizes["B"] = 2;
        Call rest = small_to_large(dtype, sizes);
        const auto without = [&](std::vector<double> x) {
          const auto size = std::ssize(x) / 3;
          x.erase(x.begin() + image * size, x.begin() + (image + 1) * size);
          return x;
        };
        for (const char* const name : {"f_large", "p_small"})
          rest[name].values = without(all[name].values);
        all[input].values[image * std::ssize(all[input].values) / 3 + 5] = INFINITY;
        ASSERT_TRUE(all.run().ok());
        ASSERT_TRUE(rest.run().ok());
        EXPECT_TRUE(std::isnan(all["loss"].values[0]));
        EXPECT_EQ(without(all["grad_p_small"].values), rest["grad_p_small"].values);
      }
    }
  }
}

TEST(SmallToLargeLoss, RefusesWhatMakesNoSense) {
  const Sizes sizes{{"B", 2}, {"Al", 1}, {"L", 5}, {"As", 2}, {"S", 3}, {"C", 4}};
  for (const double bad : {-2, 5}) {
    Call call = small_to_large(OSC_FLOAT32, sizes);
    call["given_matching"].is_given = true;
    call["given_matching"].values.assign(12, -1);
    call["given_matching"].values[7] = bad;
    const Status status = call.run();
    EXPECT_EQ(std::string(status.text()),
              "given_matching: " + std::to_string(static_cast<int>(bad)) +
                  ", of image 1, is neither -1 nor a slot of the 5 of a large crop");
    EXPECT_EQ(status.index(), 1);
    EXPECT_TRUE(is_untouched(call));
  }
  // The product of slots, by which memory goes, overflows; the sizes of the inputs do not.
  const float one = 1;
  const View<const float, 4> large{&one, {1, std::int64_t{1} << 25, std::int64_t{1} << 25, 1}, {}},
      small{&one, {1, std::int64_t{1} << 5, std::int64_t{1} << 6, 1}, {}};
  float loss = -7;
  const Status status =
      try_matching_similarity_loss_small_to_large(large, small, {}, {.loss = &loss});
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_NE(std::string(status.text()).find("their product overflows"), std::string::npos);
  EXPECT_EQ(loss, -7);
  EXPECT_THROW(matching_similarity_loss_small_to_large(contiguous(&one, {1, 1, 1, 1}),
                                                       contiguous(&one, {1, 1, 1, 1}),
                                                       {.reduction = Reduction::none}),
               InvalidArgument);
}

}  // namespace
}  // namespace osc
