// The losses and the solver on tensors. That the numbers are right is tests/unit's business; here
// they must come through unchanged, with their gradients.
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "osc/libtorch/assignment.hpp"
#include "osc/libtorch/loss_global.hpp"
#include "osc/libtorch/loss_objects.hpp"

namespace osc::libtorch {
namespace {

using torch::Tensor;

Tensor random_slots(std::int64_t images, std::int64_t slots, std::int64_t channels,
                    std::int64_t seed, torch::Dtype dtype = torch::kDouble) {
  torch::manual_seed(seed);
  return torch::randn({2 * images, slots, channels}, torch::kDouble).to(dtype);
}

// The loss as operations of libtorch, for a given matching.
Tensor plain_losses(const Tensor& f, const Tensor& p, const Tensor& matching) {
  const auto images = f.size(0) / 2;
  const auto pick = [&](const Tensor& view, const Tensor& index) {
    return view.gather(1, index.unsqueeze(2).expand_as(view));
  };
  const Tensor target =
      torch::cat({pick(f.slice(0, images), matching),
                  pick(f.slice(0, 0, images), matching.argsort(std::int64_t{1}))});
  const Tensor cosine = torch::nn::functional::cosine_similarity(
      p, target, torch::nn::functional::CosineSimilarityFuncOptions().dim(2).eps(1e-10));
  return ((1 - cosine) / 2).flatten();
}

// Whether the second derivative along `v` is the central difference of the first.
void expect_second_derivative(const std::function<Tensor(const Tensor&)>& loss, const Tensor& at) {
  const auto gradient = [&](const Tensor& x, bool create_graph) {
    return torch::autograd::grad({loss(x)}, {x}, {}, std::nullopt, create_graph)[0];
  };
  const Tensor x = at.clone().requires_grad_(), v = torch::randn_like(at);
  const Tensor product = torch::autograd::grad({gradient(x, true)}, {x}, {v})[0];
  constexpr double kStep = 1e-5;
  const Tensor up = gradient((at + kStep * v).requires_grad_(), false),
               down = gradient((at - kStep * v).requires_grad_(), false);
  EXPECT_TRUE(torch::allclose(product, (up - down) / (2 * kStep), 1e-6, 1e-8));
}

// The largest difference between the gradient of `loss` at `x` and central differences.
double gradient_error(const std::function<Tensor(const Tensor&)>& loss, const Tensor& at) {
  const Tensor x = at.clone().requires_grad_();
  loss(x).backward();
  const torch::NoGradGuard no_grad;
  double error = 0;
  const Tensor moved = at.clone().contiguous();
  double* const values = moved.mutable_data_ptr<double>();
  const Tensor gradient = x.grad().contiguous();
  for (std::int64_t i = 0; i < moved.numel(); ++i) {
    constexpr double kStep = 1e-6;
    const double value = values[i];
    values[i] = value + kStep;
    const double up = loss(moved).item<double>();
    values[i] = value - kStep;
    const double down = loss(moved).item<double>();
    values[i] = value;
    error =
        std::max(error, std::abs((up - down) / (2 * kStep) - gradient.const_data_ptr<double>()[i]));
  }
  return error;
}

TEST(SimilarityOnTensors, EqualsPlainOperationsWithTheirGradients) {
  for (const auto dtype : {torch::kDouble, torch::kFloat}) {
    for (const Reduction reduction : {Reduction::none, Reduction::mean, Reduction::sum}) {
      const Tensor f = random_slots(5, 6, 16, 1, dtype),
                   p = random_slots(5, 6, 16, 2, dtype).requires_grad_();
      const Tensor each = plain_losses(f, p, match_slots(f));
      const Tensor expected = reduction == Reduction::none   ? each
                              : reduction == Reduction::mean ? each.mean()
                                                             : each.sum();
      const Tensor loss = matching_similarity_loss_per_img(f, p, reduction);
      EXPECT_EQ(loss.sizes(), expected.sizes());
      EXPECT_EQ(loss.scalar_type(), dtype);
      const double tolerance = dtype == torch::kDouble ? 1e-13 : 1e-5;
      EXPECT_TRUE(torch::allclose(loss, expected, tolerance, tolerance));
      const Tensor weights = torch::rand_like(expected);
      const Tensor gradient = torch::autograd::grad({loss}, {p}, {weights})[0];
      EXPECT_TRUE(torch::allclose(gradient, torch::autograd::grad({expected}, {p}, {weights})[0],
                                  tolerance, tolerance));
    }
  }
}

TEST(SimilarityOnTensors, GradientEqualsCentralDifferences) {
  const Tensor f = random_slots(2, 3, 4, 3), weights = torch::linspace(0.5, 2, 12, torch::kDouble);
  EXPECT_LT(gradient_error([&](const Tensor& p) { return matching_similarity_loss_per_img(f, p); },
                           random_slots(2, 3, 4, 4)),
            1e-9);
  EXPECT_LT(gradient_error(
                [&](const Tensor& p) {
                  return (matching_similarity_loss_per_img(f, p, "none") * weights).sum();
                },
                random_slots(2, 3, 4, 5)),
            1e-9);
}

TEST(SimilarityOnTensors, FNeverReceivesAGradient) {
  const Tensor f = random_slots(2, 3, 4, 6).requires_grad_();
  EXPECT_FALSE(matching_similarity_loss_per_img(f, f.detach()).requires_grad());
  const Tensor loss = matching_similarity_loss_per_img(f, f);
  loss.backward();
  const Tensor p = f.detach().clone().requires_grad_();
  matching_similarity_loss_per_img(f.detach(), p).backward();
  EXPECT_TRUE(torch::equal(f.grad(), p.grad()));
}

TEST(SimilarityOnTensors, AnyLayoutGivesTheSameBitsAndItsOwnLayout) {
  const Tensor f = random_slots(3, 4, 5, 7, torch::kFloat),
               p = random_slots(3, 4, 5, 8, torch::kFloat);
  const auto run = [](const Tensor& f_any, const Tensor& p_any) {
    const Tensor leaf = p_any.detach().requires_grad_();
    const Tensor loss = matching_similarity_loss_per_img(f_any, leaf);
    loss.backward();
    return std::pair(loss.detach(), leaf.grad());
  };
  const auto [loss, gradient] = run(f, p);
  const Tensor transposed = p.transpose(0, 1).contiguous().transpose(0, 1);
  const Tensor sliced = torch::cat({p, p}, 2).slice(2, 0, 5);
  const Tensor gapped =
      p.transpose(1, 2).contiguous().transpose(1, 2);  // channels are not contiguous
  const Tensor batched =
      torch::stack({p.slice(0, 0, 3), p.slice(0, 3)}, 1).transpose(0, 1).reshape({6, 4, 5});
  for (const Tensor& layout : {transposed, sliced, gapped, batched}) {
    ASSERT_TRUE(torch::equal(layout, p));
    const auto [layout_loss, layout_gradient] = run(layout, layout);
    EXPECT_TRUE(torch::equal(layout_loss, run(p, p).first));
    EXPECT_TRUE(torch::equal(run(f, layout).second, gradient));
    EXPECT_EQ(layout_gradient.strides(), torch::empty_like(layout).strides());
  }
}

TEST(SimilarityOnTensors, SixteenBitsRunInFloat32) {
  for (const auto dtype : {torch::kHalf, torch::kBFloat16}) {
    const Tensor f = random_slots(3, 4, 8, 9, dtype),
                 p = random_slots(3, 4, 8, 10, dtype).requires_grad_();
    const Tensor wide = p.detach().to(torch::kFloat).requires_grad_();
    const Tensor loss = matching_similarity_loss_per_img(f, p),
                 wide_loss = matching_similarity_loss_per_img(f.to(torch::kFloat), wide);
    EXPECT_EQ(loss.scalar_type(), dtype);
    EXPECT_TRUE(torch::equal(loss, wide_loss.to(dtype)));
    loss.backward();
    wide_loss.backward();
    EXPECT_EQ(p.grad().scalar_type(), dtype);
    EXPECT_TRUE(torch::equal(p.grad(), wide.grad().to(dtype)));
    EXPECT_TRUE(torch::equal(match_slots(f), match_slots(f.to(torch::kFloat))));
  }
}

struct Autocast {
  Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, torch::kBFloat16);
  }
  ~Autocast() { at::autocast::set_autocast_enabled(at::kCPU, false); }
};

TEST(SimilarityOnTensors, AutocastRunsInFloat32) {
  const Tensor f = random_slots(3, 4, 8, 11, torch::kBFloat16),
               p = random_slots(3, 4, 8, 12, torch::kFloat);
  const Tensor expected = matching_similarity_loss_per_img(f.to(torch::kFloat), p);
  const Tensor contrastive = matching_contrastive_loss(p);
  const Autocast autocast;
  EXPECT_TRUE(torch::equal(matching_similarity_loss_per_img(f, p), expected));
  EXPECT_EQ(matching_similarity_loss_per_img(f, f).scalar_type(), torch::kFloat);
  EXPECT_EQ(
      matching_similarity_loss_per_img(p.to(torch::kDouble), p.to(torch::kDouble)).scalar_type(),
      torch::kDouble);
  EXPECT_TRUE(torch::equal(matching_contrastive_loss(p), contrastive));
  EXPECT_EQ(matching_contrastive_loss(f).scalar_type(), torch::kFloat);
}

TEST(SimilarityOnTensors, NonFiniteStaysInItsImage) {
  Tensor p = random_slots(3, 4, 8, 13, torch::kFloat);
  const Tensor f = random_slots(3, 4, 8, 14, torch::kFloat),
               clean = matching_similarity_loss_per_img(f, p, "none");
  p[4][2][1] = std::numeric_limits<float>::infinity();  // view 1 of image 1
  p.requires_grad_();
  const Tensor loss = matching_similarity_loss_per_img(f, p, "none");
  loss.sum().backward();
  const Tensor nonfinite = torch::tensor({0, 1, 0, 0, 1, 0}, torch::kBool);
  EXPECT_TRUE(torch::equal(loss.isnan().view({6, 4}), nonfinite.unsqueeze(1).expand({6, 4})));
  EXPECT_TRUE(torch::equal(p.grad().isnan().view({6, 32}), nonfinite.unsqueeze(1).expand({6, 32})));
  EXPECT_TRUE(torch::equal(loss.detach().view({6, 4}).index({nonfinite.logical_not()}),
                           clean.view({6, 4}).index({nonfinite.logical_not()})));
  EXPECT_THROW(matching_similarity_loss_per_img(f, p, Reduction::mean, 1e-10, NonFinite::raise),
               c10::ValueError);
}

TEST(SimilarityOnTensors, EmptySizes) {
  for (const auto& shape : std::vector<std::vector<std::int64_t>>{{0, 3, 4}, {4, 0, 4}}) {
    const Tensor empty = torch::zeros(shape).requires_grad_();
    EXPECT_TRUE(std::isnan(matching_similarity_loss_per_img(empty, empty).item<float>()));
    EXPECT_EQ(matching_similarity_loss_per_img(empty, empty, "sum").item<float>(), 0);
    EXPECT_EQ(matching_similarity_loss_per_img(empty, empty, "none").numel(), 0);
    matching_similarity_loss_per_img(empty, empty).backward();
    EXPECT_EQ(empty.grad().sizes(), empty.sizes());
    EXPECT_TRUE(std::isnan(matching_contrastive_loss(empty).item<float>()));
    EXPECT_EQ(matching_contrastive_loss(empty, 1, Reduction::sum).item<float>(), 0);
    EXPECT_EQ(matching_contrastive_loss(empty, 1, Reduction::none).numel(), 0);
  }
  EXPECT_EQ(matching_similarity_loss_per_img(torch::zeros({4, 3, 0}), torch::zeros({4, 3, 0}))
                .item<float>(),
            0.5f);
}

TEST(SimilarityOnTensors, AnyNumberOfThreadsGivesTheSameBits) {
  const int threads = torch::get_num_threads();
  const Tensor f = random_slots(300, 7, 24, 15, torch::kFloat),
               p = random_slots(300, 7, 24, 16, torch::kFloat).requires_grad_();
  std::vector<std::pair<Tensor, Tensor>> results;
  for (const int count : {1, 2, 5}) {
    torch::set_num_threads(count);
    const Tensor loss = matching_similarity_loss_per_img(f, p);
    results.emplace_back(loss, torch::autograd::grad({loss}, {p})[0]);
  }
  torch::set_num_threads(threads);
  for (const auto& [loss, gradient] : results) {
    EXPECT_TRUE(torch::equal(loss, results[0].first));
    EXPECT_TRUE(torch::equal(gradient, results[0].second));
  }
}

TEST(LossesOnTensors, SecondDerivativesEqualDifferencesOfTheFirst) {
  const Tensor f = random_slots(2, 3, 4, 17), p = random_slots(2, 3, 4, 18);
  expect_second_derivative([&](const Tensor& x) { return matching_similarity_loss_per_img(f, x); },
                           p);
  expect_second_derivative(
      [&](const Tensor& x) {
        return matching_similarity_loss_per_img(f, x, "none").square().sum();
      },
      p);
  expect_second_derivative([&](const Tensor& x) { return matching_contrastive_loss(x, 0.5); }, p);
  expect_second_derivative(
      [&](const Tensor& x) { return matching_contrastive_loss_per_img(x, 0.5); }, p);
  expect_second_derivative(
      [&](const Tensor& x) {
        return std::get<0>(
            matching_similarity_loss_small_to_large(f.view({2, 2, 3, 4}), x.view({2, 2, 3, 4})));
      },
      p);
  expect_second_derivative(
      [&](const Tensor& x) {
        const auto [variance, covariance] = variance_covariance_loss(x);
        return variance + covariance;
      },
      p);
}

TEST(SimilarityOnTensors, BadInput) {
  const Tensor good = random_slots(2, 3, 4, 19);
  const auto loss = [](const Tensor& f, const Tensor& p) {
    return matching_similarity_loss_per_img(f, p);
  };
  EXPECT_THROW(loss(good, good.slice(1, 0, 2)), c10::ValueError);
  EXPECT_THROW(loss(good.slice(0, 0, 3), good.slice(0, 0, 3)), c10::ValueError);
  EXPECT_THROW(loss(good[0], good[0]), c10::ValueError);
  EXPECT_THROW(loss(good, Tensor()), c10::ValueError);
  EXPECT_THROW(loss(good, good.to(torch::kFloat)), c10::TypeError);
  EXPECT_THROW(loss(good.to(torch::kLong), good.to(torch::kLong)), c10::TypeError);
  EXPECT_THROW(loss(good.to(torch::kMeta), good.to(torch::kMeta)), c10::ValueError);
  EXPECT_THROW(matching_similarity_loss_per_img(good, good, Reduction::mean, 0), c10::ValueError);
  EXPECT_THROW(matching_similarity_loss_per_img(good, good, "average"), std::exception);
  EXPECT_THROW(match_slots(good[0]), c10::ValueError);
}

TEST(AssignmentOnTensors, AnyBatchShapeDtypeAndLayout) {
  torch::manual_seed(20);
  const Tensor cost = torch::randn({2, 3, 4, 6}, torch::kDouble);
  const auto [columns, rows] = linear_sum_assignment(cost);
  EXPECT_EQ(columns.sizes(), (std::vector<std::int64_t>{2, 3, 4}));
  EXPECT_EQ(rows.sizes(), (std::vector<std::int64_t>{2, 3, 6}));
  EXPECT_TRUE(
      torch::equal(rows.gather(2, columns), torch::arange(4, torch::kLong).expand({2, 3, 4})));
  const auto [transposed_columns, transposed_rows] = linear_sum_assignment(cost.transpose(2, 3));
  EXPECT_TRUE(torch::equal(transposed_rows, columns));
  EXPECT_TRUE(torch::equal(transposed_columns, rows));
  EXPECT_TRUE(torch::equal(std::get<0>(linear_sum_assignment(-cost, true)), columns));
  EXPECT_TRUE(torch::equal(std::get<0>(linear_sum_assignment(cost[1][2])), columns[1][2]));
  EXPECT_TRUE(torch::equal(std::get<0>(linear_sum_assignment(cost.permute({1, 0, 2, 3}))),
                           columns.transpose(0, 1)));
  const Tensor whole = torch::randint(0, 9, {5, 4, 4}, torch::kLong);
  EXPECT_TRUE(torch::equal(std::get<0>(linear_sum_assignment(whole)),
                           std::get<0>(linear_sum_assignment(whole.to(torch::kFloat)))));
  EXPECT_EQ(std::get<0>(linear_sum_assignment(torch::zeros({0, 2, 3}))).numel(), 0);
  EXPECT_TRUE(torch::equal(std::get<0>(linear_sum_assignment(torch::zeros({2, 0}))),
                           torch::full({2}, -1, torch::kLong)));
}

TEST(AssignmentOnTensors, ProblemsWithoutAnAnswer) {
  Tensor cost = torch::eye(2).repeat({3, 1, 1});
  cost[1][0][0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(linear_sum_assignment(cost), c10::ValueError);
  EXPECT_TRUE(torch::equal(std::get<0>(linear_sum_assignment(cost, false, OnUnsolvable::unmatched)),
                           torch::tensor({{1, 0}, {-1, -1}, {1, 0}}, torch::kLong)));
  EXPECT_THROW(linear_sum_assignment(torch::zeros({3})), c10::ValueError);
  EXPECT_THROW(linear_sum_assignment(torch::zeros({2, 2}, torch::kComplexFloat)), c10::TypeError);
}

TEST(ContrastiveOnTensors, EqualsPlainLoops) {
  const std::int64_t images = 2, slots = 3;
  const Tensor x = random_slots(images, slots, 5, 21), matching = match_slots(x);
  const double temperature = 0.3;
  const Tensor rows =
      torch::nn::functional::normalize(x, torch::nn::functional::NormalizeFuncOptions().dim(2))
          .reshape({12, 5});
  const Tensor losses = matching_contrastive_loss(x, temperature, Reduction::none);
  const auto cosine = [&](std::int64_t a, std::int64_t b) {
    return rows[a].dot(rows[b]).item<double>();
  };
  for (std::int64_t view = 0; view < 2; ++view) {
    for (std::int64_t image = 0; image < images; ++image) {
      for (std::int64_t slot = 0; slot < slots; ++slot) {
        const auto row = (view * images + image) * slots + slot;
        std::int64_t target = 0;
        for (std::int64_t s = 0; s < slots; ++s) {
          const auto matched = matching[image][s].item<std::int64_t>();
          if (view == 0 && s == slot) target = (images + image) * slots + matched;
          if (view == 1 && matched == slot) target = image * slots + s;
        }
        double sum = 0;
        for (std::int64_t other = 0; other < 12; ++other) {
          if (other != row) sum += std::exp(cosine(row, other) / temperature);
        }
        EXPECT_NEAR(losses[row].item<double>(), std::log(sum) - cosine(row, target) / temperature,
                    1e-12);
      }
    }
  }
  EXPECT_NEAR(matching_contrastive_loss(x, temperature).item<double>(),
              losses.mean().item<double>(), 1e-14);
  EXPECT_NEAR(matching_contrastive_loss(x, temperature, Reduction::sum).item<double>(),
              losses.sum().item<double>(), 1e-13);
}

TEST(ContrastiveOnTensors, KnownValues) {
  EXPECT_NEAR(matching_contrastive_loss(torch::ones({6, 4, 5}, torch::kDouble), 0.5).item<double>(),
              std::log(23.0), 1e-12);
  // Slots of two views equal, all others orthogonal: log(exp(1/τ) + 2BS − 2) − 1/τ.
  const Tensor orthogonal = torch::eye(6, torch::kDouble).reshape({2, 3, 6}).repeat({2, 1, 1});
  EXPECT_NEAR(matching_contrastive_loss(orthogonal, 0.5).item<double>(),
              std::log(std::exp(2.0) + 10) - 2, 1e-12);
  EXPECT_NEAR(matching_contrastive_loss(orthogonal * 1e300, 0.5).item<double>(),
              std::log(std::exp(2.0) + 10) - 2, 1e-12);
  EXPECT_NEAR(matching_contrastive_loss(torch::zeros({2, 1, 4}, torch::kDouble)).item<double>(), 0,
              1e-15);
}

TEST(ContrastiveOnTensors, GradientEqualsCentralDifferences) {
  const Tensor x = random_slots(2, 3, 4, 22), matching = match_slots(x);
  EXPECT_LT(
      gradient_error(
          [&](const Tensor& slots) { return matching_contrastive_loss(slots, matching, 0.7); }, x),
      1e-8);
  const Tensor zeros = torch::zeros({2, 2, 3}, torch::kFloat).requires_grad_();
  matching_contrastive_loss(zeros).backward();
  EXPECT_TRUE(zeros.grad().isfinite().all().item<bool>());
}

TEST(ContrastiveOnTensors, TakesAMatchingFromElsewhere) {
  const Tensor x = random_slots(2, 3, 4, 23), matching = match_slots(x);
  EXPECT_TRUE(
      torch::equal(matching_contrastive_loss(x, matching, 0.5), matching_contrastive_loss(x, 0.5)));
  EXPECT_GT(matching_contrastive_loss(x, matching.roll(1, 1), 0.5).item<double>(),
            matching_contrastive_loss(x, 0.5).item<double>());
  Tensor wrong = matching.clone();
  wrong[1][0] = wrong[1][1];
  EXPECT_THROW(matching_contrastive_loss(x, wrong), c10::ValueError);
  EXPECT_THROW(matching_contrastive_loss(x, matching + 1), c10::ValueError);
  EXPECT_THROW(matching_contrastive_loss(x, matching[0]), c10::ValueError);
  EXPECT_THROW(matching_contrastive_loss(x, matching.to(torch::kInt)), c10::TypeError);
  EXPECT_THROW(matching_contrastive_loss(x, 0.0), c10::ValueError);
}

TEST(ContrastiveOnTensors, NonFiniteStaysInItsImage) {
  const Tensor whole = random_slots(3, 2, 4, 24, torch::kFloat);
  Tensor x = whole.clone();
  x[1][0][0] = std::numeric_limits<float>::quiet_NaN();  // view 0 of image 1
  x.requires_grad_();
  const Tensor losses = matching_contrastive_loss(x, 1, Reduction::none),
               without = matching_contrastive_loss(whole.index({torch::tensor({0, 2, 3, 5})}), 1,
                                                   Reduction::none);
  losses.sum().backward();
  const Tensor nonfinite = torch::tensor({0, 1, 0, 0, 1, 0}, torch::kBool);
  EXPECT_TRUE(torch::equal(losses.isnan().view({6, 2}), nonfinite.unsqueeze(1).expand({6, 2})));
  EXPECT_TRUE(torch::equal(x.grad().isnan().view({6, 8}), nonfinite.unsqueeze(1).expand({6, 8})));
  EXPECT_TRUE(torch::equal(losses.detach().view({6, 2}).index({nonfinite.logical_not()}),
                           without.view({4, 2})));
}

TEST(ContrastiveOnTensors, AnyNumberOfThreadsGivesTheSameBits) {
  const int threads = torch::get_num_threads();
  const Tensor x = random_slots(60, 7, 24, 25, torch::kFloat).requires_grad_();
  std::vector<std::pair<Tensor, Tensor>> results;
  for (const int count : {1, 2, 5}) {
    torch::set_num_threads(count);
    const Tensor loss = matching_contrastive_loss(x, 0.2);
    results.emplace_back(loss, torch::autograd::grad({loss}, {x})[0]);
  }
  torch::set_num_threads(threads);
  for (const auto& [loss, gradient] : results) {
    EXPECT_TRUE(torch::equal(loss, results[0].first));
    EXPECT_TRUE(torch::equal(gradient, results[0].second));
  }
}

TEST(ContrastiveOnTensors, OfAnImageIsThatOfABatchOfOne) {
  const Tensor x = random_slots(3, 4, 6, 26);
  std::vector<Tensor> alone;
  for (std::int64_t image = 0; image < 3; ++image)
    alone.push_back(matching_contrastive_loss(x.index({torch::tensor({image, image + 3})}), 0.3));
  EXPECT_NEAR(matching_contrastive_loss_per_img(x, 0.3).item<double>(),
              torch::stack(alone).mean().item<double>(), 1e-14);
  EXPECT_LT(
      gradient_error(
          [](const Tensor& slots) { return matching_contrastive_loss_per_img(slots, 0.3); }, x),
      1e-8);
}

TEST(GlobalOnTensors, AreTheLossesOfOneSlotAnImage) {
  const Tensor feats = random_slots(5, 1, 6, 28).squeeze(1),
               projs = random_slots(5, 1, 6, 29).squeeze(1);
  const Tensor other = feats.roll(5, 0);
  const Tensor expected = (1 - torch::cosine_similarity(projs, other, 1)) / 2;
  EXPECT_TRUE(torch::allclose(cosine_sim_loss(feats, projs, Reduction::none), expected, 0, 1e-14));
  EXPECT_NEAR(cosine_sim_loss(feats, projs).item<double>(), expected.mean().item<double>(), 1e-14);

  const Tensor unit = torch::nn::functional::normalize(projs);
  const Tensor logits = (unit.mm(unit.t()) / 0.4).fill_diagonal_(-INFINITY),
               partner = torch::arange(10).roll(5);
  const auto [loss, accuracy] = contrastive_loss(projs, 0.4);
  EXPECT_NEAR(loss.item<double>(),
              torch::nn::functional::cross_entropy(logits, partner).item<double>(), 1e-13);
  EXPECT_NEAR(accuracy.item<double>(),
              (logits.argmax(1) == partner).to(torch::kDouble).mean().item<double>(), 1e-7);
  EXPECT_LT(
      gradient_error([](const Tensor& x) { return std::get<0>(contrastive_loss(x, 0.4)); }, projs),
      1e-8);
  EXPECT_THROW(contrastive_loss(projs.slice(0, 0, 9)), c10::ValueError);
  EXPECT_THROW(contrastive_loss(projs.unsqueeze(0)), c10::ValueError);
  EXPECT_THROW(cosine_sim_loss(feats, projs.slice(1, 0, 3)), c10::ValueError);
}

// The slots of a small crop that are the best of their best, one after another.
TEST(CropsOnTensors, AreTheMutualBest) {
  const Tensor large = random_slots(3, 2, 5, 30).view({3, 2, 2, 5}),
               small = random_slots(3, 6, 5, 31).view({3, 4, 3, 5});
  const Tensor unit_large = torch::nn::functional::normalize(
                   large, torch::nn::functional::NormalizeFuncOptions().dim(-1)),
               unit_small = torch::nn::functional::normalize(
                   small, torch::nn::functional::NormalizeFuncOptions().dim(-1));
  const auto [losses, ratio] =
      matching_similarity_loss_small_to_large(large, small, Reduction::none);
  double counted = 0, sum = 0, pairs = 0;
  for (std::int64_t i = 0; i < 3; ++i) {
    for (std::int64_t a = 0; a < 2; ++a) {
      for (std::int64_t b = 0; b < 4; ++b) {
        const Tensor cosines = unit_small[i][b].mm(unit_large[i][a].t());
        double of_pair = 0, count = 0;
        for (std::int64_t s = 0; s < 3; ++s) {
          const auto best = cosines[s].argmax().item<std::int64_t>();
          if (cosines.select(1, best).argmax().item<std::int64_t>() != s) continue;
          ++count;
          of_pair += (1 - cosines[s][best].item<double>()) / 2;
        }
        EXPECT_NEAR(losses[i][a][b].item<double>(), of_pair / count, 1e-14);
        counted += count;
        sum += of_pair / count;
        ++pairs;
      }
    }
  }
  EXPECT_NEAR(ratio.item<double>(), counted / (3 * 2 * 4 * 3), 1e-7);
  EXPECT_NEAR(std::get<0>(matching_similarity_loss_small_to_large(large, small)).item<double>(),
              sum / pairs, 1e-14);
  EXPECT_LT(gradient_error(
                [&](const Tensor& p) {
                  return std::get<0>(matching_similarity_loss_small_to_large(large, p));
                },
                small),
            1e-8);
  EXPECT_THROW(matching_similarity_loss_small_to_large(large, small.slice(0, 0, 2)),
               c10::ValueError);
  EXPECT_THROW(matching_similarity_loss_small_to_large(large, small[0]), c10::ValueError);
  EXPECT_THROW(matching_similarity_loss_small_to_large(large, small.to(torch::kFloat)),
               c10::TypeError);
}

TEST(CovarianceOnTensors, IsThatOfTheFormula) {
  const Tensor x = random_slots(3, 7, 4, 32).view({2, 3, 7, 4}) * 0.5;
  Tensor variance = torch::zeros({}, torch::kDouble), covariance = variance.clone();
  for (const Tensor& group : x.view({6, 7, 4}).unbind()) {
    const Tensor k = group.t().cov();
    variance += (1 - (k.diagonal() + 1e-4).sqrt()).relu().mean() / 6;
    covariance += (k.square().sum() - k.diagonal().square().sum()) / 12 / 6;
  }
  const auto [ours_variance, ours_covariance] = variance_covariance_loss(x);
  EXPECT_NEAR(ours_variance.item<double>(), variance.item<double>(), 1e-13);
  EXPECT_NEAR(ours_covariance.item<double>(), covariance.item<double>(), 1e-13);
  EXPECT_LT(gradient_error(
                [](const Tensor& y) {
                  const auto [v, c] = variance_covariance_loss(y);
                  return 0.7 * v + 0.3 * c;
                },
                x),
            1e-8);
  EXPECT_LT(
      gradient_error([](const Tensor& y) { return std::get<1>(variance_covariance_loss(y)); }, x),
      1e-8);
  EXPECT_THROW(variance_covariance_loss(x[0][0][0]), c10::ValueError);
}

}  // namespace
}  // namespace osc::libtorch
