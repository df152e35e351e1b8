// The contrastive loss, its gradient and its matching on slots of every kind, type and shape, among
// all slots and among those of an image, on every instruction set: against plain loops in double,
// and against themselves.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "contrastive_oracle.hpp"
#include "expect.hpp"
#include "osc/contrastive_loss.hpp"
#include "palette.hpp"
#include "precision.hpp"

namespace osc {
namespace {

using oracle::Indices;

template <typename T>
struct Outcome {
  std::vector<T> loss, mean, gradient;
  Indices matching;
  std::vector<double> log_sums, accuracy;
  std::vector<ImageStatus> statuses;

  bool operator==(const Outcome& other) const {
    return same_bits<T>(loss, other.loss) && same_bits<T>(mean, other.mean) &&
           same_bits<T>(gradient, other.gradient) && matching == other.matching &&
           same_bits<double>(log_sums, other.log_sums) &&
           same_bits<double>(accuracy, other.accuracy) && statuses == other.statuses;
  }
};

template <typename T>
void expect_near(const char* what, T given, double wanted, double tolerance) {
  const double number = value(given);
  if (std::isnan(wanted) || std::isnan(number)) {
    OSC_EXPECT(std::isnan(wanted) == std::isnan(number), "%s %g, wanted %g", what, number, wanted);
    return;
  }
  const bool overflows = std::abs(wanted) + tolerance >= 0.98 * kGreatest<T>;
  OSC_EXPECT(overflows || std::abs(number - wanted) <=
                              tolerance + 2 * kRounding<T> * std::abs(wanted) + kSmallest<T>,
             "%s %.17g, wanted %.17g up to %g", what, number, wanted, tolerance);
}

template <typename T>
void fuzz(FuzzedDataProvider& in) {
  const bool large = in.ConsumeIntegralInRange(0, 7) == 0;
  const auto images = in.ConsumeIntegralInRange<std::int64_t>(1, large ? 4 : 3),
             slots = in.ConsumeIntegralInRange<std::int64_t>(1, large ? 24 : 7),
             channels = in.ConsumeIntegralInRange<std::int64_t>(0, large ? 70 : 20);
  const double eps = in.PickValueInArray({1e-10, 1e-300, 1.0, 1e30}),
               temperature = in.PickValueInArray({1.0, 0.1, 0.04, 0.02, 1e-3, 50.0, 1e6});
  const Candidates candidates = in.ConsumeBool() ? Candidates::batch : Candidates::image;
  const std::int64_t losses = 2 * images * slots;
  Palette palette(in);
  std::vector<T> x(losses * channels), incoming(losses);
  const bool repeats = in.ConsumeBool();
  std::mt19937 random(in.ConsumeIntegral<std::uint8_t>());
  for (std::int64_t i = 0; i < losses; ++i) {
    const unsigned like = repeats ? random() % 4 : 3;
    for (std::int64_t c = 0; c < channels; ++c)
      x[i * channels + c] = like == 0            ? T()
                            : like == 1 && i > 0 ? x[(i - 1) * channels + c]
                                                 : element<T>(palette.next());
    incoming[i] = element<T>(static_cast<double>(i % 5) - 1.5);
  }
  while (in.remaining_bytes() > 2 && !x.empty())
    x[in.ConsumeIntegralInRange<std::size_t>(0, x.size() - 1)] = special<T>(in);

  const std::array<std::int64_t, 3> shape = {2 * images, slots, channels};
  const auto view = view_major_slots(std::as_const(x).data(), shape);
  const auto run = [&](Executor* executor) {
    Outcome<T> outcome{std::vector<T>(losses),          std::vector<T>(1),
                       std::vector<T>(x.size()),        Indices(images * slots, -7),
                       std::vector<double>(losses),     std::vector<double>(1),
                       std::vector<ImageStatus>(images)};
    MatchingContrastiveOptions options{.candidates = candidates,
                                       .temperature = temperature,
                                       .reduction = Reduction::none,
                                       .eps = eps,
                                       .executor = executor};
    const Status status = try_matching_contrastive_loss(
        view, options,
        {.loss = outcome.loss.data(),
         .gradient = ContrastiveGradient<T>{view_major_slots(outcome.gradient.data(), shape),
                                            incoming.data()},
         .matching = outcome.matching.data(),
         .log_sums = outcome.log_sums.data(),
         .accuracy = outcome.accuracy.data(),
         .statuses = outcome.statuses.data()});
    OSC_EXPECT(status.ok(), "%s", status.text());
    Outcome<T> again = outcome;
    std::fill(again.gradient.begin(), again.gradient.end(), element<T>(-7));
    const Status of_backward = try_matching_contrastive_loss_backward(
        view, outcome.matching.data(), outcome.log_sums.data(), options,
        {view_major_slots(again.gradient.data(), shape), incoming.data()});
    OSC_EXPECT(of_backward.ok(), "%s", of_backward.text());
    OSC_EXPECT(again == outcome, "the gradient from what was kept is another one");
    options.reduction = Reduction::mean;
    OSC_EXPECT(try_matching_contrastive_loss(view, options, {.loss = outcome.mean.data()}).ok(),
               "the mean fails");
    return outcome;
  };

  std::vector<oracle::Vector> rows(losses);
  oracle::Vector plain_incoming;
  for (std::int64_t i = 0; i < losses; ++i) {
    for (std::int64_t c = 0; c < channels; ++c) rows[i].push_back(value(x[i * channels + c]));
    plain_incoming.push_back(value(incoming[i]));
  }
  static ThreadPool one(1), three(3);
  for (const auto& [name, outcome] : on_every_instruction_set([&] {
         const auto outcome = run(&one);
         OSC_EXPECT(run(&three) == outcome, "three threads give other bits than one on %s",
                    instruction_set());
         return outcome;
       })) {
    for (std::int64_t image = 0; image < images; ++image) {
      bool finite = true;
      for (std::int64_t i = 0; i < losses; ++i) {
        if (i / slots % images == image)
          finite &= std::all_of(rows[i].begin(), rows[i].end(),
                                [](double element) { return std::isfinite(element); });
      }
      OSC_EXPECT((outcome.statuses[image] == ImageStatus::ok) == finite &&
                     (outcome.matching[image * slots] >= 0) == finite,
                 "status of image %lld on %s", static_cast<long long>(image), name);
    }
    const auto image_of = [&](std::int64_t row) { return row / slots % images; };
    const oracle::Contrast right = oracle::contrast(
        rows, images, slots, outcome.matching,
        [&](std::int64_t i, std::int64_t j) {
          return candidates == Candidates::batch || image_of(i) == image_of(j);
        },
        temperature, eps, plain_incoming);
    // Of a cosine, sums of `channels` products of numbers up to 1; of the exponentials' series and
    // sums.
    const double of_cosine = (8 + static_cast<double>(channels)) * kArithmetic<T>,
                 of_logit = 4 * of_cosine / temperature + 16 * kArithmetic<T>;
    const double of_share = std::min(1.0, 4 * of_logit);
    double sum = 0;
    for (std::int64_t i = 0; i < losses; ++i) {
      expect_near("loss", outcome.loss[i], right.losses[i], of_logit);
      sum += right.losses[i];
      const double scale = oracle::largest(rows[i]), norm = oracle::length(oracle::scaled(rows[i]));
      const double inverse = norm > eps / scale ? 1 / norm / scale : 1 / eps;
      const double slack = 3 * 2.5 * static_cast<double>(losses) * of_share / temperature * inverse;
      for (std::int64_t c = 0; c < channels; ++c)
        expect_near("gradient", outcome.gradient[i * channels + c], right.gradient[i][c], slack);
    }
    expect_near("mean", outcome.mean[0], sum / static_cast<double>(losses), of_logit);
  }
}

}  // namespace
}  // namespace osc

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider in(data, size);
  osc::with_element_type(in, [&](auto type) { osc::fuzz<decltype(type)>(in); });
  return 0;
}
