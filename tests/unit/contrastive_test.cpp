// What is peculiar to the contrastive loss; conformance_test.cpp has the rest.
#include "osc/contrastive_loss.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "call.hpp"
#include "expected.hpp"
#include "random_call.hpp"

namespace osc {
namespace {

const osc_operator& kLoss = operator_named("matching_contrastive_loss");
const osc_operator& kGathered = operator_named("matching_contrastive_loss_gathered");

Call contrastive(std::int32_t dtype, const Sizes& sizes, const Options& options,
                 std::uint64_t seed = 1) {
  Call call(kLoss, dtype, sizes, options);
  RandomCall(seed).fill(call, Kind::ordinary);
  for (double& g : call["grad_output"].values) g = 1;
  return call;
}

// The joined batch has the ranks' images one after another.
TEST(ContrastiveLoss, OfGatheredRanksIsThatOfTheJoinedBatch) {
  constexpr std::int64_t kB = 3, kS = 5, kC = 14, kView = kB * kS * kC;
  for (const std::int32_t dtype : kElementTypes) {
    for (const std::int64_t ranks : {1, 2, 3}) {
      SCOPED_TRACE(::testing::Message() << "dtype " << dtype << ", " << ranks << " ranks");
      const Options options{{"reduction", OSC_NONE}, {"temperature", 0.4}};
      Call joined = contrastive(dtype, {{"B", ranks * kB}, {"S", kS}, {"C", kC}}, options);
      Call rank_0(kGathered, dtype, {{"R", ranks}, {"B", kB}, {"S", kS}, {"C", kC}}, options);
      RandomCall(2).fill(joined, Kind::ordinary);
      // Views outside the ranks become ranks outside the views.
      const auto gather = [&](const Array& from, Array& to, std::int64_t view) {
        for (std::int64_t i = 0; i < 2 * ranks; ++i)
          std::copy_n(from.values.begin() + i * view, view,
                      to.values.begin() + (i % ranks * 2 + i / ranks) * view);
      };
      gather(joined["slots"], rank_0["slots"], kView);
      gather(joined["grad_output"], rank_0["grad_output"], kB * kS);
      rank_0["grad_slots"].is_given = false;
      ASSERT_TRUE(joined.run().ok());
      std::string problem;
      const Expected expected = expect(joined, problem);
      ASSERT_EQ(problem, "");
      const auto expect_near = [&](const char* name, const Call& of_rank, std::int64_t rank,
                                   std::int64_t view) {
        for (std::int64_t i = 0; i < 2 * view; ++i) {
          const Bound& wanted = expected.at(name)[(i / view * ranks + rank) * view + i % view];
          ASSERT_TRUE(is_near(of_rank[name].dtype, of_rank[name].values[i], wanted))
              << name << "[" << i << "]";
        }
      };
      std::vector<Call> forward(ranks, rank_0);
      std::vector<double> log_sum_exp;
      for (std::int64_t rank = 0; rank < ranks; ++rank) {
        forward[rank].set_option("rank", static_cast<double>(rank));
        ASSERT_TRUE(forward[rank].run().ok());
        expect_near("loss", forward[rank], rank, kB * kS);
        const auto& of_rank = forward[rank]["log_sum_exp"].values;
        log_sum_exp.insert(log_sum_exp.end(), of_rank.begin(), of_rank.end());
      }
      for (std::int64_t rank = 0; rank < ranks; ++rank) {
        Call backward = forward[rank].backward();
        backward["given_log_sum_exp"].values = log_sum_exp;
        backward["grad_slots"].is_given = true;
        const Status status = backward.run();
        ASSERT_TRUE(status.ok()) << status.text();
        expect_near("grad_slots", backward, rank, kView);
      }
    }
  }
}

TEST(ContrastiveLoss, OfTheOtherImagesIsThatOfTheBatchWithoutAnImageThatIsNotFinite) {
  constexpr std::int64_t kB = 6, kS = 4, kC = 10, kSpoilt = 2;
  for (const std::int32_t dtype : kElementTypes) {
    for (const int candidates : {OSC_CANDIDATES_BATCH, OSC_CANDIDATES_IMAGE}) {
      const Options options{{"reduction", OSC_NONE},
                            {"candidates", static_cast<double>(candidates)}};
      Call all = contrastive(dtype, {{"B", kB}, {"S", kS}, {"C", kC}}, options),
           rest = contrastive(dtype, {{"B", kB - 1}, {"S", kS}, {"C", kC}}, options);
      const auto without = [&](std::vector<double> x, std::int64_t of_image) {
        for (const std::int64_t image : {kB + kSpoilt, kSpoilt})
          x.erase(x.begin() + image * of_image, x.begin() + (image + 1) * of_image);
        return x;
      };
      rest["slots"].values = without(all["slots"].values, kS * kC);
      all["slots"].values[((kB + kSpoilt) * kS + 1) * kC + 3] = NAN;
      ASSERT_TRUE(all.run().ok());
      ASSERT_TRUE(rest.run().ok());
      EXPECT_EQ(without(all["loss"].values, kS), rest["loss"].values);
      EXPECT_EQ(without(all["grad_slots"].values, kS * kC), rest["grad_slots"].values);
      EXPECT_EQ(all["accuracy"].values, rest["accuracy"].values);
    }
  }
}

// Enough slots for blocks of two and of four tiles: the images of a small batch, `times` copies of
// each. Their losses are those of the small batch with each exponential counted `times` times.
TEST(ContrastiveLoss, OfManySlots) {
  constexpr std::int64_t kB = 7, kS = 5, kC = 6, kRows = 2 * kB * kS;
  for (const std::int64_t times : {60, 236}) {
    Call call = contrastive(OSC_FLOAT32, {{"B", kB * times}, {"S", kS}, {"C", kC}},
                            {{"reduction", OSC_NONE}, {"temperature", 0.5}});
    std::vector<double>& x = call["slots"].values;
    const auto like = [&](std::int64_t row) {  // the first that row is a copy of
      return row / (kB * times * kS) * kB * times * kS + row % (kB * kS);
    };
    for (std::int64_t i = 0; i < std::ssize(x); ++i) x[i] = x[like(i / kC) * kC + i % kC];
    ASSERT_TRUE(call.run().ok());
    std::vector<Row> units;
    for (std::int64_t row = 0; row < kRows; ++row) {
      const auto first = x.begin() + like(row / (kB * kS) * kB * times * kS + row % (kB * kS)) * kC;
      units.push_back(unit(Row(first, first + kC), 1e-10L));
    }
    for (std::int64_t row = 0; row < kRows * times; ++row) {
      const std::int64_t view = row / (kB * times * kS), of_view = row % (kB * kS);
      const Row& own = units[view * kB * kS + of_view];
      Real sum = -std::exp(2.0L), positive = -1;  // without the slot itself
      for (const Row& other : units)
        sum += static_cast<Real>(times) * std::exp(2 * dot(own, other));
      for (std::int64_t s = 0; s < kS; ++s) {
        const auto& matching = call["matching"].values;
        const std::int64_t image = of_view / kS, slot = of_view % kS;
        const bool is_match = view == 0 ? matching[image * kS + slot] == static_cast<double>(s)
                                        : matching[image * kS + s] == static_cast<double>(slot);
        if (is_match) positive = dot(own, units[(1 - view) * kB * kS + image * kS + s]);
      }
      ASSERT_NEAR(call["loss"].values[row], static_cast<double>(std::log(sum) - 2 * positive), 1e-5)
          << "slot " << row;
      for (std::int64_t c = 0; c < kC; ++c)
        ASSERT_NEAR(call["grad_slots"].values[row * kC + c],
                    call["grad_slots"].values[like(row) * kC + c], 1e-5)
            << "slot " << row;
    }
  }
}

// Matched slots equal and all others orthogonal; and all slots equal.
TEST(ContrastiveLoss, BestAndWorst) {
  constexpr std::int64_t kB = 4, kS = 3, kC = 12, kRows = 2 * kB * kS;
  for (const std::int32_t dtype : kElementTypes) {
    for (const double temperature : {1.0, 0.2, 0.01}) {
      for (const int candidates : {OSC_CANDIDATES_BATCH, OSC_CANDIDATES_IMAGE}) {
        SCOPED_TRACE(::testing::Message() << "dtype " << dtype << " at " << temperature);
        Call orthogonal = contrastive(
            dtype, {{"B", kB}, {"S", kS}, {"C", kC}},
            {{"temperature", temperature}, {"candidates", static_cast<double>(candidates)}});
        Call equal = orthogonal;
        for (std::int64_t i = 0; i < kRows * kC; ++i) {
          orthogonal["slots"].values[i] = i % kC == i / kC % (kB * kS) ? 2 : 0;
          equal["slots"].values[i] = static_cast<double>(i % kC + 1);
        }
        ASSERT_TRUE(orthogonal.run().ok());
        ASSERT_TRUE(equal.run().ok());
        const auto [best, worst] = matching_contrastive_loss_best_worst(
            candidates == OSC_CANDIDATES_BATCH ? kB : 1, kS, temperature);
        EXPECT_TRUE(is_near(dtype, orthogonal["loss"].values[0], {best, 1e-6L}));
        EXPECT_TRUE(is_near(dtype, equal["loss"].values[0], {worst, 1e-6L}));
        EXPECT_EQ(equal["accuracy"].values[0], 0);
        EXPECT_EQ(orthogonal["accuracy"].values[0], 1);
        for (const double g : equal["grad_slots"].values) EXPECT_TRUE(std::isfinite(g));
      }
    }
  }
  EXPECT_NEAR(matching_contrastive_loss_best_worst(2, 3, 0.5).first,
              std::log(std::exp(2.0) + 10) - 2, 1e-12);
  EXPECT_NEAR(matching_contrastive_loss_best_worst(2, 3, 0.5).second, std::log(11.0), 1e-12);
  EXPECT_EQ(matching_contrastive_loss_best_worst(2, 3, 1e-5).first, 0.0);
  EXPECT_THROW(matching_contrastive_loss_best_worst(0, 3), InvalidArgument);
  EXPECT_THROW(matching_contrastive_loss_best_worst(2, 0), InvalidArgument);
  EXPECT_THROW(matching_contrastive_loss_best_worst(2, 3, -1), InvalidArgument);
  EXPECT_THROW(matching_contrastive_loss_best_worst(2, 3, NAN), InvalidArgument);
}

// If the match is far nearer than all negatives, the loss and the gradient are small and as exact
// as large ones; the gradient within the precision of log_sum_exp, a double.
TEST(ContrastiveLoss, SmallLossesAndTheirGradientsAreExact) {
  constexpr std::int64_t kView = 4 * 3 * 64;
  for (const int candidates : {OSC_CANDIDATES_BATCH, OSC_CANDIDATES_IMAGE}) {
    for (const double temperature : {0.1, 0.05, 0.03, 0.02}) {
      SCOPED_TRACE(temperature);
      Call call = contrastive(OSC_FLOAT32, {{"B", 4}, {"S", 3}, {"C", 64}},
                              {{"reduction", OSC_NONE},
                               {"temperature", temperature},
                               {"candidates", static_cast<double>(candidates)}});
      auto& x = call["slots"].values;
      for (std::int64_t i = 0; i < kView; ++i)
        x[kView + i] = rounded(OSC_FLOAT32, x[i] + 0.01 * x[kView + i]);
      ASSERT_TRUE(call.run().ok());
      std::string problem;
      const Expected expected = expect(call, problem);
      const double relative = 3.2e-5 / temperature;
      double largest = 0;  // a slot's gradient is of all losses
      for (const Bound& loss : expected.at("loss"))
        largest = std::max(largest, static_cast<double>(loss.value));
      for (std::size_t i = 0; i < x.size(); ++i) {
        const auto loss = static_cast<double>(expected.at("loss")[i / 64].value),
                   gradient = static_cast<double>(expected.at("grad_slots")[i].value);
        EXPECT_NEAR(call["loss"].values[i / 64], loss, relative * loss);
        EXPECT_NEAR(call["grad_slots"].values[i], gradient,
                    (relative * largest * 2 + 1e-15) / temperature);
      }
    }
  }
}

// Matched slots are equal and all others orthogonal: no gradient, however large 1 / temperature and
// grad_output are together.
TEST(ContrastiveLoss, ThatIsZeroHasNoGradient) {
  for (const double temperature : {1e-3, 1e-100, 1e-300}) {
    Call call = contrastive(OSC_FLOAT64, {{"B", 2}, {"S", 3}, {"C", 8}},
                            {{"temperature", temperature}, {"reduction", OSC_SUM}});
    for (std::int64_t i = 0; i < 2 * 6 * 8; ++i)
      call["slots"].values[i] = i % 8 == i / 8 % 6 ? 1 : 0;
    call["grad_output"].values = {1e100};
    ASSERT_TRUE(call.run().ok());
    EXPECT_EQ(call["loss"].values[0], 0);
    for (const double g : call["grad_slots"].values) EXPECT_EQ(g, 0) << temperature;
  }
}

// Far above every cosine all candidates are alike, and the temperature only divides the gradient.
TEST(ContrastiveLoss, TheTemperatureMayBeAnyLargeNumber) {
  std::vector<double> wanted;
  for (const int exponent : {40, 60, 100, 120, 140, 200, 1000}) {
    SCOPED_TRACE(exponent);
    const Options options{{"temperature", std::ldexp(1.0, exponent)}, {"reduction", OSC_SUM}};
    const int of_grad = std::min(exponent, 120);
    Call call = contrastive(OSC_FLOAT32, {{"B", 2}, {"S", 3}, {"C", 8}}, options);
    call["grad_output"].values = {std::ldexp(1.0, of_grad)};
    ASSERT_TRUE(call.run().ok());
    EXPECT_NEAR(call["loss"].values[0], 12 * std::log(11.0), 1e-4);
    const auto& gradient = call["grad_slots"].values;
    if (wanted.empty()) wanted = gradient;
    for (std::size_t i = 0; i < wanted.size(); ++i)
      EXPECT_NEAR(gradient[i], std::ldexp(wanted[i], of_grad - exponent), 1e-5);
    // A slot whose only candidate is its match.
    Call alone = contrastive(OSC_FLOAT32, {{"B", 1}, {"S", 1}, {"C", 2}}, options);
    ASSERT_TRUE(alone.run().ok());
    EXPECT_EQ(alone["loss"].values[0], 0);
    for (const double g : alone["grad_slots"].values) EXPECT_EQ(g, 0);
  }
}

TEST(ContrastiveLoss, RefusesWhatMakesNoSense) {
  const auto refused = [](Call call) {
    const Status status = call.run();
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    EXPECT_TRUE(is_untouched(call));
    return std::string(status.text());
  };
  const Sizes sizes{{"R", 2}, {"B", 2}, {"S", 3}, {"C", 4}};
  // Its inverse must be a number of the type that is computed in.
  EXPECT_EQ(refused(contrastive(OSC_FLOAT32, sizes, {{"temperature", 1e-60}}))
                .find("temperature is 1e-60"),
            0u);
  EXPECT_TRUE(contrastive(OSC_FLOAT64, sizes, {{"temperature", 1e-60}}).run().ok());
  Call gathered(kGathered, OSC_FLOAT32, sizes);
  RandomCall(1).fill(gathered, Kind::ordinary);
  EXPECT_EQ(refused(gathered),
            "given_log_sum_exp is not given; wanted that of all ranks for the gradient");
  gathered["grad_slots"].is_given = false;
  EXPECT_TRUE(gathered.run().ok());
  // Other ranks would not know that a finite image is left out.
  gathered["given_matching"].is_given = true;
  gathered["given_matching"].values = {2, 0, 1, -1, -1, -1};
  for (const char* const name : {"loss", "log_sum_exp", "matching", "accuracy", "statuses"})
    gathered[name].values.assign(gathered[name].values.size(), kUntouched);
  EXPECT_EQ(refused(gathered).find("given_matching"), 0u);
  Call no_ranks(kGathered, OSC_FLOAT32, {{"R", 0}, {"B", 2}, {"S", 3}, {"C", 4}});
  no_ranks["grad_slots"].is_given = false;
  EXPECT_NE(refused(no_ranks), "");

  const std::vector<float> x(48, 1);
  EXPECT_EQ(try_matching_contrastive_loss_gathered(contiguous(x.data(), {1, 2, 2, 3, 4}), 0,
                                                   {.candidates = Candidates::image}, {})
                .code(),
            StatusCode::invalid_argument);
  EXPECT_THROW(
      matching_contrastive_loss(view_major(x.data(), {4, 3, 4}), {.reduction = Reduction::none}),
      InvalidArgument);
}

}  // namespace
}  // namespace osc
