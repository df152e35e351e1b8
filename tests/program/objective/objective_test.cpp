#include "objective/objective.hpp"

#include <gtest/gtest.h>

#include "model/targets.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

StepFeatures random_features() {
  torch::manual_seed(0);
  StepFeatures features;
  features.images = torch::randn({4, 3, 8, 8});
  features.attention = torch::randn({4, 3, 16}).softmax(1);
  features.explanation = torch::randn({4, 3, 5}).requires_grad_();
  features.slots = {torch::randn({4, 3, 8}).requires_grad_()};
  return features;
}

// A term alone, of slots of 8 channels.
Objective term(const std::string& name, double temperature = 0.1) {
  return Objective(NumberValues{{name, 1}, {"temperature", temperature}},
                   std::vector<std::int64_t>{8});
}

double loss(Objective objective, const StepFeatures& features) {
  return objective->forward(features).total.item<double>();
}

TEST(Objective, IsTheWeightedSumOfItsTerms) {
  const StepFeatures features = random_features();
  Objective objective(NumberValues{{"contrastive", 0.5}, {"explain", 2}, {"similarity", 0}},
                      std::vector<std::int64_t>{8});
  const ObjectiveImpl::Value value = objective->forward(features);
  ASSERT_EQ(value.terms.size(), 2u);
  EXPECT_EQ(value.terms[0].first, "explain");
  EXPECT_EQ(value.terms[1].first, "contrastive");
  EXPECT_NEAR(value.total.item<double>(),
              2 * loss(term("explain"), features) + 0.5 * loss(term("contrastive"), features),
              1e-4);
  EXPECT_EQ(value.terms[0].second.item<double>(), loss(term("explain"), features));
}

TEST(Objective, RefusesAnUnknownTermAndNamesTheTerms) {
  EXPECT_EQ(user_error([] { term("similarty"); }),
            "the objective has no term or setting similarty; its terms are explain, similarity, "
            "contrastive, global");
}

TEST(Explain, IsTheAttentionWeightedError) {
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
  EXPECT_NEAR(loss(term("explain"), features), expected, 1e-4);
}

TEST(Similarity, LearnsTheHeadAndTheFeatureButNotTheTarget) {
  const StepFeatures features = random_features();
  Objective similarity = term("similarity");
  const torch::Tensor value = similarity->forward(features).total;
  EXPECT_TRUE(value.item<double>() > 0 && value.item<double>() < 1);
  value.backward();
  EXPECT_TRUE(features.slots[0].grad().defined());
  EXPECT_EQ(similarity->parameters().size(), 6u);  // two linear maps and a LayerNorm
  for (const torch::Tensor& parameter : similarity->parameters())
    EXPECT_TRUE(parameter.grad().defined());
}

TEST(Contrastive, UsesTheGivenMatching) {
  // Slot s of both views is the unit vector e_s: the optimal matching is the identity, and a wrong
  // one is the worst there is.
  StepFeatures features;
  features.slots = {torch::eye(3).unsqueeze(0).repeat({2, 1, 1})};
  const double same = std::log(std::exp(1.0) + 4) - 1;  // one equal candidate, four orthogonal ones
  EXPECT_NEAR(loss(term("contrastive", 1), features), same, 1e-5);
  features.matching = torch::tensor({{1, 2, 0}});
  EXPECT_NEAR(loss(term("contrastive", 1), features), same + 1, 1e-5);
  features.slots.push_back(features.slots[0]);
  EXPECT_NEAR(loss(term("contrastive", 1), features), 2 * (same + 1), 1e-5);
}

TEST(Global, IsSmallestWhereViewsAgreeAndImagesDiffer) {
  torch::manual_seed(3);
  Objective global = term("global");
  StepFeatures features;
  const torch::Tensor images = torch::randn({8, 1, 8}).expand({8, 3, 8});
  features.slots = {torch::cat({images, images})};
  const double agreeing = loss(global, features);
  features.slots = {torch::cat({images, images.roll(1, 0)})};
  EXPECT_LT(agreeing, loss(global, features));
  features.slots = {torch::ones({16, 3, 8})};
  EXPECT_NEAR(loss(global, features), std::log(15.0), 1e-4);  // all rows are equally likely
}

}  // namespace
}  // namespace osc::program
