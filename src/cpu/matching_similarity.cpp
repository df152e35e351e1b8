#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "cpu/matching.hpp"
#include "cpu/vector_math.hpp"
#include "osc/error.hpp"
#include "osc/loss_objects.hpp"

namespace osc {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

template <typename A, typename B>
void check_same_sizes(const char* a_name, const SlotPairs<A>& a, const char* b_name, const SlotPairs<B>& b) {
  if (a.images == b.images && a.slots == b.slots && a.channels == b.channels) return;
  const auto text = [](const auto& x) {
    return " [2*" + std::to_string(x.images) + ", " + std::to_string(x.slots) + ", " + std::to_string(x.channels) + "]";
  };
  throw InvalidArgument(a_name + text(a) + " and " + b_name + text(b) + ": the sizes must be the same");
}

// What a slot's incoming gradient is, before it is divided by anything that p or the target says.
template <typename T>
class IncomingGradient {
 public:
  IncomingGradient(const T* values, Reduction reduction, std::int64_t losses)
      : values_(values), per_slot_(reduction == Reduction::none), weight_(reduction == Reduction::mean ? 1.0 / static_cast<double>(losses) : 1.0) {}

  double operator()(std::int64_t index) const noexcept { return values_ ? static_cast<double>(values_[per_slot_ ? index : 0]) * weight_ : weight_; }

 private:
  const T* values_;
  bool per_slot_;
  double weight_;
};

// One slot of p against the unit of its target: its cosine, and its gradient where `gradient` is not null.
template <typename T>
double cosine_and_gradient(const T* p, const double* unit, std::int64_t channels, double eps, double incoming, T* gradient) {
  const cpu::Norm p_norm = cpu::norm(p, channels);
  const double length = p_norm.floored(eps);
  const double cosine = cpu::dot(p, p_norm.scale, unit, channels) / length;
  if (gradient) {
    const double half = -0.5 * incoming;
    if (p_norm.exceeds(eps)) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const double along = cosine * (static_cast<double>(p[c]) * p_norm.scale / length);
        gradient[c] = static_cast<T>(half * (unit[c] - along) / length * p_norm.scale);
      }
    } else {
      for (std::int64_t c = 0; c < channels; ++c) gradient[c] = static_cast<T>(half * unit[c] / eps);
    }
  }
  return cosine;
}

template <typename T>
void fill_gradient(const SlotPairs<T>& gradient, std::int64_t image, T value) {
  for (std::int64_t view = 0; view < 2; ++view) {
    for (std::int64_t slot = 0; slot < gradient.slots; ++slot) std::fill_n(gradient.at(view, image, slot), gradient.channels, value);
  }
}

template <typename T>
void forward(const SlotPairs<const T>& f, const SlotPairs<const T>& p, const MatchingSimilarityOptions& options,
             const MatchingSimilarityResults<T>& results) {
  check(f);
  check(p);
  check_same_sizes("f", f, "p", p);
  cpu::check_eps(options.eps);
  if (results.gradient) {
    check(results.gradient->p);
    check_same_sizes("p", p, "the gradient of p", results.gradient->p);
  }
  Executor& executor = cpu::executor_or_default(options.executor);
  if (options.on_nonfinite == NonFinite::raise) {
    cpu::require_finite(f, "f", executor);
    cpu::require_finite(p, "p", executor);
  }

  const std::int64_t slots = p.slots;
  const std::int64_t losses = 2 * p.images * slots;
  const bool keep_each = options.reduction == Reduction::none;
  const IncomingGradient<T> incoming(results.gradient ? results.gradient->incoming : nullptr, options.reduction, losses);
  const bool wants_sum = results.loss && !keep_each;
  std::vector<double> image_sums(wants_sum ? p.images : 0);  // added in the images' order, so that threads do not change the sum

  const auto s = static_cast<double>(slots);
  executor.parallel_for(losses == 0 ? 0 : p.images, cpu::grain(s * s * (static_cast<double>(p.channels) + s)), [&](std::int64_t begin, std::int64_t end) {
    cpu::SlotUnits units(slots, p.channels);
    cpu::SlotMatcher matcher(slots);
    for (std::int64_t image = begin; image < end; ++image) {
      const bool finite = units.load(f, image, options.eps) && cpu::image_is_finite(p, image);
      if (finite) matcher.match<T>(units);
      double image_sum = 0;
      for (std::int64_t view = 0; view < 2; ++view) {
        const std::int64_t* const target_slot = view == 0 ? matcher.matching() : matcher.inverse_matching();
        for (std::int64_t slot = 0; slot < slots; ++slot) {
          const std::int64_t index = (view * p.images + image) * slots + slot;
          double loss = kNaN;
          if (finite) {
            T* const gradient = results.gradient ? results.gradient->p.at(view, image, slot) : nullptr;
            const double* const target = units.at(1 - view, target_slot[slot]);
            loss = 0.5 - 0.5 * cosine_and_gradient(p.at(view, image, slot), target, p.channels, options.eps, incoming(index), gradient);
          }
          if (results.loss && keep_each) results.loss[index] = static_cast<T>(loss);
          image_sum += loss;
        }
      }
      if (!finite && results.gradient) fill_gradient(results.gradient->p, image, static_cast<T>(kNaN));
      if (wants_sum) image_sums[image] = image_sum;
      if (results.matching) {
        std::int64_t* const row = results.matching + image * slots;
        if (finite) {
          std::copy_n(matcher.matching(), slots, row);
        } else {
          std::fill_n(row, slots, -1);
        }
      }
    }
  });

  if (wants_sum) {
    const double sum = std::accumulate(image_sums.begin(), image_sums.end(), 0.0);
    *results.loss = static_cast<T>(options.reduction == Reduction::sum ? sum : losses == 0 ? kNaN : sum / static_cast<double>(losses));
  }
}

// Whether each of `matching` is a slot, once; or all are -1, in which case `unmatched` is set.
bool is_matching(const std::int64_t* matching, std::int64_t slots, std::vector<std::int64_t>& inverse, bool& unmatched) {
  unmatched = std::all_of(matching, matching + slots, [](std::int64_t slot) { return slot == -1; });
  if (unmatched) return true;
  std::fill(inverse.begin(), inverse.end(), -1);
  for (std::int64_t s = 0; s < slots; ++s) {
    if (matching[s] < 0 || matching[s] >= slots || inverse[matching[s]] != -1) return false;
    inverse[matching[s]] = s;
  }
  return true;
}

template <typename T>
void backward(const SlotPairs<const T>& f, const SlotPairs<const T>& p, const std::int64_t* matching, const MatchingSimilarityOptions& options,
              const SimilarityGradient<T>& gradient) {
  check(f);
  check(p);
  check_same_sizes("f", f, "p", p);
  check(gradient.p);
  check_same_sizes("p", p, "the gradient of p", gradient.p);
  cpu::check_eps(options.eps);
  const std::int64_t slots = p.slots;
  const std::int64_t losses = 2 * p.images * slots;
  if (losses == 0) return;
  if (!matching) throw InvalidArgument("matching_similarity_loss_per_img_backward: the pointer to the matching is null");
  std::vector<std::int64_t> inverse(slots);
  bool unmatched = false;
  for (std::int64_t image = 0; image < p.images; ++image) {
    if (!is_matching(matching + image * slots, slots, inverse, unmatched)) {
      throw InvalidArgument("matching: row " + std::to_string(image) + " is neither a permutation of 0 … " + std::to_string(slots - 1) + " nor all -1");
    }
  }
  Executor& executor = cpu::executor_or_default(options.executor);
  if (options.on_nonfinite == NonFinite::raise) {
    cpu::require_finite(f, "f", executor);
    cpu::require_finite(p, "p", executor);
  }

  const IncomingGradient<T> incoming(gradient.incoming, options.reduction, losses);
  executor.parallel_for(p.images, cpu::grain(8.0 * static_cast<double>(slots) * static_cast<double>(p.channels)), [&](std::int64_t begin, std::int64_t end) {
    cpu::SlotUnits units(slots, p.channels);
    std::vector<std::int64_t> inverse_matching(slots);
    for (std::int64_t image = begin; image < end; ++image) {
      const std::int64_t* const row = matching + image * slots;
      bool image_unmatched = false;
      is_matching(row, slots, inverse_matching, image_unmatched);
      if (image_unmatched || !units.load(f, image, options.eps) || !cpu::image_is_finite(p, image)) {
        fill_gradient(gradient.p, image, static_cast<T>(kNaN));
        continue;
      }
      for (std::int64_t view = 0; view < 2; ++view) {
        const std::int64_t* const target_slot = view == 0 ? row : inverse_matching.data();
        for (std::int64_t slot = 0; slot < slots; ++slot) {
          const double* const target = units.at(1 - view, target_slot[slot]);
          cosine_and_gradient(p.at(view, image, slot), target, p.channels, options.eps, incoming((view * p.images + image) * slots + slot),
                              gradient.p.at(view, image, slot));
        }
      }
    }
  });
}

template <typename T>
T loss_alone(const SlotPairs<const T>& f, const SlotPairs<const T>& p, const MatchingSimilarityOptions& options) {
  if (options.reduction == Reduction::none) throw InvalidArgument("reduction \"none\" has 2BS losses: give memory for them in MatchingSimilarityResults");
  T loss = 0;
  forward<T>(f, p, options, {.loss = &loss});
  return loss;
}

}  // namespace

Reduction reduction_from_name(std::string_view name) {
  if (name == "none") return Reduction::none;
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  throw InvalidArgument("unknown reduction \"" + std::string(name) + "\": it must be \"none\", \"mean\" or \"sum\"");
}

void matching_similarity_loss_per_img(const SlotPairs<const float>& f, const SlotPairs<const float>& p, const MatchingSimilarityOptions& options,
                                      const MatchingSimilarityResults<float>& results) {
  forward(f, p, options, results);
}
void matching_similarity_loss_per_img(const SlotPairs<const double>& f, const SlotPairs<const double>& p, const MatchingSimilarityOptions& options,
                                      const MatchingSimilarityResults<double>& results) {
  forward(f, p, options, results);
}

float matching_similarity_loss_per_img(const SlotPairs<const float>& f, const SlotPairs<const float>& p, const MatchingSimilarityOptions& options) {
  return loss_alone(f, p, options);
}
double matching_similarity_loss_per_img(const SlotPairs<const double>& f, const SlotPairs<const double>& p, const MatchingSimilarityOptions& options) {
  return loss_alone(f, p, options);
}

void matching_similarity_loss_per_img_backward(const SlotPairs<const float>& f, const SlotPairs<const float>& p, const std::int64_t* matching,
                                               const MatchingSimilarityOptions& options, const SimilarityGradient<float>& gradient) {
  backward(f, p, matching, options, gradient);
}
void matching_similarity_loss_per_img_backward(const SlotPairs<const double>& f, const SlotPairs<const double>& p, const std::int64_t* matching,
                                               const MatchingSimilarityOptions& options, const SimilarityGradient<double>& gradient) {
  backward(f, p, matching, options, gradient);
}

}  // namespace osc
