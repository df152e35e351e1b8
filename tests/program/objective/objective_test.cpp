#include "objective/objective.hpp"

#include <gtest/gtest.h>

#include "model/targets.hpp"

namespace osc::program {
namespace {

StepFeatures random_features() {
  StepFeatures features;
  features.images = torch::randn({4, 3, 8, 8});
  features.attention = torch::randn({4, 3, 16}).softmax(1);
  features.explanation = torch::randn({4, 3, 5}).requires_grad_();
  features.slots = {torch::randn({4, 3, 8}).requires_grad_()};
  return features;
}

TEST(Objective, IsTheWeightedSumOfItsTerms) {
  torch::manual_seed(0);
  TermWeights weights{};
  weights[kExplain] = 2;
  weights[kContrastive] = 0.5;
  Objective objective(weights, std::vector<std::int64_t>{8}, 0.1);
  const ObjectiveImpl::Value value = objective->forward(random_features());
  ASSERT_EQ(value.terms.size(), 2u);
  EXPECT_EQ(value.terms[0].first, "explain");
  EXPECT_EQ(value.terms[1].first, "contrastive");
  EXPECT_NEAR(value.total.item<double>(),
              2 * value.terms[0].second.item<double>() + 0.5 * value.terms[1].second.item<double>(),
              1e-4);
}

TEST(Explain, IsTheAttentionWeightedError) {
  torch::manual_seed(1);
  const StepFeatures features = random_features();
  const torch::Tensor error =
      explanation_error(token_targets(features.images), features.explanation);
  double expected = 0;
  for (int n = 0; n < 4; ++n) {
    for (int s = 0; s < 3; ++s) {
      for (int k = 0; k < 16; ++k)
        expected += features.attention[n][s][k].item<double>() * error[n][s][k].item<double>() /
                    (4 * 16 * 5);
    }
  }
  EXPECT_NEAR(make_explain_term()->loss(features).item<double>(), expected, 1e-4);
}

TEST(Similarity, LearnsTheHeadAndTheFeatureButNotTheTarget) {
  torch::manual_seed(2);
  const StepFeatures features = random_features();
  const std::shared_ptr<Term> term = make_similarity_term({8});
  const torch::Tensor loss = term->loss(features);
  EXPECT_GT(loss.item<double>(), 0);
  EXPECT_LT(loss.item<double>(), 1);
  loss.backward();
  EXPECT_TRUE(features.slots[0].grad().defined());
  for (const torch::Tensor& parameter : term->parameters()) EXPECT_TRUE(parameter.grad().defined());
}

TEST(Contrastive, UsesTheMatchingThatItIsGiven) {
  // Slot s of both views is the unit vector e_s: the optimal matching is the identity, and a wrong
  // one is the worst there is.
  StepFeatures features;
  features.slots = {torch::eye(3).unsqueeze(0).repeat({2, 1, 1})};
  const std::shared_ptr<Term> term = make_contrastive_term(1);
  const double same = std::log(std::exp(1.0) + 4) - 1;  // one equal candidate, four orthogonal ones
  EXPECT_NEAR(term->loss(features).item<double>(), same, 1e-5);
  features.matching = torch::tensor({{1, 2, 0}});
  EXPECT_NEAR(term->loss(features).item<double>(), same + 1, 1e-5);
}

TEST(Global, IsSmallestWhereViewsAgreeAndImagesDiffer) {
  torch::manual_seed(3);
  const std::shared_ptr<Term> term = make_global_term({8}, 0.1);
  StepFeatures features;
  const torch::Tensor images = torch::randn({8, 1, 8}).expand({8, 3, 8});
  features.slots = {torch::cat({images, images})};
  const double agreeing = term->loss(features).item<double>();
  features.slots = {torch::cat({images, images.roll(1, 0)})};
  EXPECT_LT(agreeing, term->loss(features).item<double>());
  features.slots = {torch::ones({16, 3, 8})};
  EXPECT_NEAR(term->loss(features).item<double>(), std::log(15.0),
              1e-4);  // all the same: every other row is as likely
}

}  // namespace
}  // namespace osc::program
