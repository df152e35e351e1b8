// The loss, its gradient and its matching on slots of every kind, type, shape and layout, on every
// instruction set: against plain loops in double, and against themselves.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "expect.hpp"
#include "oracle.hpp"
#include "osc/loss_objects.hpp"
#include "palette.hpp"
#include "precision.hpp"

namespace osc {
namespace {

using oracle::Indices;

// 2B x S slots of C adjacent elements in memory of their own, which ends with the last element:
// AddressSanitizer sees a step beyond.
template <typename T>
struct Slots {
  std::vector<T> memory;
  std::int64_t images, slots, channels, view_stride, image_stride, slot_stride;

  Slots(FuzzedDataProvider& in, std::int64_t b, std::int64_t s, std::int64_t c, T fill)
      : images(b), slots(s), channels(c) {
    const std::int64_t gap = in.ConsumeIntegralInRange<std::int64_t>(0, 2),
                       row = slots * (channels + gap);
    const bool image_major = in.ConsumeBool();
    view_stride = image_major ? row : images * row;
    image_stride = image_major ? 2 * row : row;
    slot_stride = channels + gap;
    memory.assign(std::max<std::int64_t>(2 * images * row - gap, 0), fill);
  }

  SlotPairs<const T> view() const {
    return {memory.data(), images, slots, channels, view_stride, image_stride, slot_stride};
  }
  SlotPairs<T> view() {
    return {memory.data(), images, slots, channels, view_stride, image_stride, slot_stride};
  }

  // Calls action(view, image, slot, offset of its first element in memory).
  template <typename Action>
  void for_each_slot(const Action& action) const {
    for (std::int64_t v = 0; v < 2; ++v) {
      for (std::int64_t i = 0; i < images; ++i) {
        for (std::int64_t s = 0; s < slots; ++s)
          action(v, i, s, v * view_stride + i * image_stride + s * slot_stride);
      }
    }
  }

  void fill(FuzzedDataProvider& in) {
    Palette palette(in);
    const bool
        magnitudes = in.ConsumeBool(),
        repeats =
            in.ConsumeBool();  // slots of different magnitude; slots like the one before, or zero
    std::mt19937 random(in.ConsumeIntegral<std::uint8_t>());
    const T* previous = nullptr;
    for_each_slot([&](auto, auto, auto, std::int64_t offset) {
      T* const slot = memory.data() + offset;
      const double scale = magnitudes ? std::ldexp(1.0, static_cast<int>(random() % 400) - 200) : 1;
      const unsigned like = repeats ? random() % 4 : 3;
      for (std::int64_t c = 0; c < channels; ++c)
        slot[c] = like == 0               ? T()
                  : like == 1 && previous ? previous[c]
                                          : element<T>(palette.next() * scale);
      previous = slot;
    });
  }

  void spoil(FuzzedDataProvider& in) {
    if (images * slots * channels == 0) return;
    const auto v = in.ConsumeIntegralInRange<std::int64_t>(0, 1),
               i = in.ConsumeIntegralInRange<std::int64_t>(0, images - 1),
               s = in.ConsumeIntegralInRange<std::int64_t>(0, slots - 1),
               c = in.ConsumeIntegralInRange<std::int64_t>(0, channels - 1);
    memory[v * view_stride + i * image_stride + s * slot_stride + c] = special<T>(in);
  }

  oracle::Slots plain() const {
    oracle::Slots result(2,
                         std::vector<std::vector<oracle::Vector>>(
                             images, std::vector<oracle::Vector>(slots, oracle::Vector(channels))));
    for_each_slot([&](auto v, auto i, auto s, std::int64_t offset) {
      std::transform(memory.data() + offset, memory.data() + offset + channels,
                     result[v][i][s].begin(), value<T>);
    });
    return result;
  }
};

template <typename T>
struct Outcome {
  std::vector<T> loss, mean, sum;
  Slots<T> gradient;
  Indices matching;
  std::vector<ImageStatus> statuses;

  bool operator==(const Outcome& other) const {
    return same_bits<T>(loss, other.loss) && same_bits<T>(mean, other.mean) &&
           same_bits<T>(sum, other.sum) && same_bits<T>(gradient.memory, other.gradient.memory) &&
           matching == other.matching && statuses == other.statuses;
  }
};

template <typename T>
bool near(T given, double wanted, double tolerance) {
  if (std::abs(wanted) >= kGreatest<T> * 0.99 &&
      (std::isinf(value(given)) || std::abs(value(given)) >= kGreatest<T> * 0.98))
    return std::signbit(value(given)) == std::signbit(wanted);
  return std::abs(value(given) - wanted) <=
         tolerance + kRounding<T> * std::abs(wanted) + kSmallest<T>;
}

template <typename T>
void check(const Slots<T>& f, const Slots<T>& p, double eps, const std::vector<T>& incoming,
           T untouched, const Outcome<T>& outcome) {
  const std::int64_t images = f.images, slots = f.slots, channels = f.channels;
  const auto f_plain = f.plain(), p_plain = p.plain();
  // Sums of `channels` products of numbers up to 1 are off by this much at most, and what is
  // computed from them by a few times that.
  const double tolerance = (8 + static_cast<double>(channels)) * kArithmetic<T>;
  double sum = 0;
  std::vector<Indices> matching;
  for (std::int64_t image = 0; image < images; ++image) {
    bool finite = true;
    for (const auto* const x : {&f_plain, &p_plain}) {
      for (const auto& view : *x) {
        for (const auto& slot : view[image])
          finite &= std::all_of(slot.begin(), slot.end(),
                                [](double element) { return std::isfinite(element); });
      }
    }
    matching.emplace_back(outcome.matching.begin() + image * slots,
                          outcome.matching.begin() + (image + 1) * slots);
    const Indices& row = matching.back();
    OSC_EXPECT(outcome.statuses[image] == (finite ? ImageStatus::ok : ImageStatus::nonfinite),
               "image %lld", static_cast<long long>(image));
    if (!finite) {
      OSC_EXPECT(std::all_of(row.begin(), row.end(), [](auto t) { return t == -1; }),
                 "image %lld is not finite and matched", static_cast<long long>(image));
      if (slots > 0) sum = std::numeric_limits<double>::quiet_NaN();
    } else if (slots > 0) {
      Indices sorted = row;
      std::sort(sorted.begin(), sorted.end());
      for (std::int64_t s = 0; s < slots; ++s)
        OSC_EXPECT(sorted[s] == s, "image %lld's matching is no permutation",
                   static_cast<long long>(image));
      OSC_EXPECT(oracle::is_optimal(oracle::costs(f_plain, image, eps), row, 2 * tolerance),
                 "image %lld's matching is not optimal", static_cast<long long>(image));
    }
  }
  outcome.gradient.for_each_slot([&](auto v, auto i, auto s, std::int64_t offset) {
    const T* const gradient = outcome.gradient.memory.data() + offset;
    const auto index = (v * images + i) * slots + s;
    const double loss = value(outcome.loss[index]);
    if (outcome.statuses[i] == ImageStatus::nonfinite) {
      OSC_EXPECT(std::isnan(loss), "loss %g of an image that is not finite", loss);
      for (std::int64_t c = 0; c < channels; ++c)
        OSC_EXPECT(std::isnan(value(gradient[c])), "gradient %g of an image that is not finite",
                   value(gradient[c]));
      return;
    }
    const oracle::Vector &slot = p_plain[v][i][s],
                         &target = f_plain[1 - v][i][oracle::target_of(matching, v, i, s)];
    const double wanted = (1 - oracle::cosine(slot, target, eps)) / 2;
    OSC_EXPECT(near(outcome.loss[index], wanted, tolerance), "loss %.17g, wanted %.17g", loss,
               wanted);
    sum += wanted;
    const double g = incoming.empty() ? 1 : value(incoming[index]);
    const oracle::Vector expected = oracle::gradient(slot, target, g, eps);
    // |u| and |p/n| are at most 1: an error of `tolerance` in them is one of this size in the
    // gradient.
    const double scale =
        std::abs(g) / 2 /
        std::max(oracle::length(oracle::scaled(slot)), eps / oracle::largest(slot)) /
        oracle::largest(slot);
    const bool is_far_below_eps =
        oracle::largest(slot) == 0 || std::isinf(eps / oracle::largest(slot));
    const double slack = is_far_below_eps ? std::abs(g) / 2 / eps : scale;
    for (std::int64_t c = 0; c < channels; ++c) {
      OSC_EXPECT(near(gradient[c], expected[c], 4 * tolerance * slack),
                 "gradient %.17g, wanted %.17g, of |p| %g", value(gradient[c]), expected[c],
                 oracle::largest(slot));
    }
  });
  std::vector<bool> is_gradient(outcome.gradient.memory.size(), false);
  outcome.gradient.for_each_slot([&](auto, auto, auto, std::int64_t offset) {
    std::fill_n(is_gradient.begin() + offset, channels, true);
  });
  for (std::size_t i = 0; i < is_gradient.size(); ++i)
    OSC_EXPECT(is_gradient[i] || same_bits<T>(std::span(&outcome.gradient.memory[i], 1),
                                              std::span(&untouched, 1)),
               "a gap of the gradient is written");
  const auto losses = static_cast<double>(2 * images * slots);
  if (losses == 0) {
    OSC_EXPECT(value(outcome.sum[0]) == 0 && std::isnan(value(outcome.mean[0])),
               "no losses have sum %g and mean %g", value(outcome.sum[0]), value(outcome.mean[0]));
  } else if (std::isnan(sum)) {
    OSC_EXPECT(std::isnan(value(outcome.sum[0])) && std::isnan(value(outcome.mean[0])),
               "sum %g and mean %g of NaN", value(outcome.sum[0]), value(outcome.mean[0]));
  } else {
    OSC_EXPECT(near(outcome.sum[0], sum, losses * tolerance), "sum %.17g, wanted %.17g",
               value(outcome.sum[0]), sum);
    OSC_EXPECT(near(outcome.mean[0], sum / losses, tolerance), "mean %.17g, wanted %.17g",
               value(outcome.mean[0]), sum / losses);
  }
}

template <typename T>
void fuzz(FuzzedDataProvider& in) {
  const bool large = in.ConsumeIntegralInRange(0, 7) == 0;
  const auto images = in.ConsumeIntegralInRange<std::int64_t>(0, large ? 1 : 3),
             slots = in.ConsumeIntegralInRange<std::int64_t>(0, large ? 40 : 9),
             channels = in.ConsumeIntegralInRange<std::int64_t>(0, large ? 140 : 20);
  const double eps = in.PickValueInArray({1e-10, 1e-300, 1e-310, 1.0, 1e300});
  const T untouched = element<T>(-7);
  Slots<T> f(in, images, slots, channels, element<T>(std::numeric_limits<double>::quiet_NaN())),
      other(in, images, slots, channels, element<T>(std::numeric_limits<double>::quiet_NaN()));
  const Slots<T> gradient(in, images, slots, channels, untouched);
  const bool aliased = in.ConsumeBool(), has_incoming = in.ConsumeBool();
  f.fill(in);
  other.fill(in);
  std::vector<T> incoming(has_incoming ? 2 * images * slots : 0);
  for (std::size_t i = 0; i < incoming.size(); ++i)
    incoming[i] = element<T>(static_cast<double>(i % 5) - 1.5);
  while (in.remaining_bytes() > 2) (in.ConsumeBool() ? f : other).spoil(in);
  const Slots<T>& p = aliased ? f : other;

  const SlotPairs<const T> f_view = std::as_const(f).view(), p_view = p.view();
  const auto run = [&](Executor* executor) {
    Outcome<T> outcome{std::vector<T>(2 * images * slots),
                       std::vector<T>(1),
                       std::vector<T>(1),
                       gradient,
                       Indices(images * slots, -7),
                       std::vector<ImageStatus>(images)};
    const auto call = [&](Reduction reduction, const MatchingSimilarityResults<T>& results) {
      const Status status = try_matching_similarity_loss_per_img(
          f_view, p_view, {.reduction = reduction, .eps = eps, .executor = executor}, results);
      OSC_EXPECT(status.ok(), "%s", status.text());
    };
    call(Reduction::none,
         {.loss = outcome.loss.data(),
          .gradient = SimilarityGradient<T>{outcome.gradient.view(),
                                            has_incoming ? incoming.data() : nullptr},
          .matching = outcome.matching.data(),
          .statuses = outcome.statuses.data()});
    call(Reduction::mean, {.loss = outcome.mean.data()});
    call(Reduction::sum, {.loss = outcome.sum.data()});

    // The gradient alone, from the matching.
    Outcome<T> again = outcome;
    again.gradient = gradient;
    const Status status = try_matching_similarity_loss_per_img_backward(
        f_view, p_view, outcome.matching.data(),
        {.reduction = Reduction::none, .eps = eps, .executor = executor},
        {again.gradient.view(), has_incoming ? incoming.data() : nullptr});
    OSC_EXPECT(status.ok(), "%s", status.text());
    OSC_EXPECT(again == outcome, "the gradient with the saved matching is another one");
    return outcome;
  };
  static ThreadPool one(1), three(3);
  for (const auto& [name, outcome] : on_every_instruction_set([&] {
         const auto outcome = run(&one);
         OSC_EXPECT(run(&three) == outcome, "three threads give other bits than one on %s",
                    instruction_set());
         return outcome;
       })) {
    check(f, p, eps, incoming, untouched, outcome);
  }
}

}  // namespace
}  // namespace osc

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider in(data, size);
  osc::with_element_type(in, [&](auto type) { osc::fuzz<decltype(type)>(in); });
  return 0;
}
