#include "osc/variance_covariance_loss.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "batch.hpp"
#include "checked_size.hpp"
#include "cpu/kernels.hpp"
#include "cpu/similarity_in_double.hpp"
#include "cpu/vector_math.hpp"
#include "element_types.hpp"
#include "slot_checks.hpp"
#include "usual_arithmetic.hpp"

namespace osc {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t kElementBytes = 8;

template <typename T>
Status check_results(const Samples<const T>& x,
                     const VarianceCovarianceResults<T>& results) noexcept {
  if (!results.gradient) return {};
  const Samples<T>& gradient = results.gradient->x;
  const Status status = try_check(gradient, "the gradient of x");
  if (!status.ok() || (x.groups == gradient.groups && x.samples == gradient.samples &&
                       x.features == gradient.features))
    return status;
  return Status(
      StatusCode::invalid_argument, -1,
      "x [%lld, %lld, %lld] and its gradient [%lld, %lld, %lld]: the sizes must be the same",
      static_cast<long long>(x.groups), static_cast<long long>(x.samples),
      static_cast<long long>(x.features), static_cast<long long>(gradient.groups),
      static_cast<long long>(gradient.samples), static_cast<long long>(gradient.features));
}

template <typename T>
Status check_finite(const Samples<const T>& x, const VarianceCovarianceOptions& options) noexcept {
  const std::int64_t samples = x.groups * x.samples;
  std::int64_t first = 0;
  const Status status =
      find_first_bad(samples, static_cast<double>(x.features), options.executor, options.workspace,
                     &first, [&](std::int64_t i) {
                       return cpu::slot_is_finite(x.at(i / x.samples, i % x.samples), x.features);
                     });
  if (!status.ok() || first == samples) return status;
  return Status(StatusCode::nonfinite, first / x.samples,
                "x: group %lld of %lld holds a NaN or an infinity",
                static_cast<long long>(first / x.samples), static_cast<long long>(x.groups));
}

template <typename T>
void take_group(Arena& arena, bool has_gradient, cpu::VarianceCovarianceTask<T>& task) noexcept {
  using Task = cpu::VarianceCovarianceTask<T>;
  task.centred = arena.take<typename Task::A>(task.tiles() * task.rows() * Task::kTile);
  task.variances = arena.take<double>(task.features);
  task.squares = arena.take<double>(task.pairs());
  task.slopes = has_gradient
                    ? arena.take<typename Task::A>(task.tiles() * task.features * Task::kTile)
                    : nullptr;
}

// The two terms of a group.
struct Terms {
  double variance, covariance;
};

template <typename T>
Terms terms_of(const cpu::VarianceCovarianceTask<T>& task) noexcept {
  const auto features = static_cast<double>(task.features);
  Terms sums{0, 0};
  for (std::int64_t d = 0; d < task.features; ++d) {
    const double deviation = std::sqrt(task.variances[d] + cpu::kVarianceFloor);
    sums.variance += deviation >= 1 ? 0 : 1 - deviation;
  }
  for (std::int64_t pair = 0; pair < task.pairs(); ++pair) sums.covariance += task.squares[pair];
  return {sums.variance / features, sums.covariance / (features * (features - 1))};
}

template <typename T>
class Call {
 public:
  Call(const Samples<const T>& x, const VarianceCovarianceOptions& options,
       const VarianceCovarianceResults<T>& results, const cpu::KernelsOf<T>& kernels)
      : x_(x), options_(options), results_(results), kernels_(kernels) {
    task_.samples = x.samples;
    task_.features = x.features;
    task_.sample_stride = x.sample_stride;
    if (results.gradient) weigh(*results.gradient);
  }

  Status compute() {
    const double products = static_cast<double>(x_.samples) * static_cast<double>(x_.features) *
                            (static_cast<double>(x_.features) + 4);
    const Crew crew =
        crew_for(static_cast<double>(x_.groups) * products * (results_.gradient ? 1.5 : 0.5),
                 std::numeric_limits<std::int32_t>::max(), options_.executor);
    const bool by_group = crew.parts == 1 || x_.groups / 2 >= crew.parts;
    const std::int64_t kept = by_group ? crew.parts : 1;
    Workspace own_workspace;
    const Status status = lay_out_memory(options_.workspace, own_workspace,
                                         [&](Arena& arena) { lay_out(arena, crew.parts, kept); });
    if (!status.ok()) return status;

    if (by_group) {
      share_out(crew, x_.groups, [&](std::int64_t group, std::int64_t part) {
        compute_group(group, part, [&](std::int64_t count, auto step, const auto& task) {
          step(task, 0, count, scratch_of(part));
        });
      });
    } else {
      for (std::int64_t group = 0; group < x_.groups; ++group) {
        compute_group(group, 0, [&](std::int64_t count, auto step, const auto& task) {
          share_out(crew, count, [&](std::int64_t i, std::int64_t part) {
            step(task, i, i + 1, scratch_of(part));
          });
        });
      }
    }
    Terms sums{0, 0};
    for (std::int64_t group = 0; group < x_.groups; ++group) {
      sums.variance += terms_[group].variance;
      sums.covariance += terms_[group].covariance;
    }
    write(sums.variance / static_cast<double>(x_.groups),
          sums.covariance / static_cast<double>(x_.groups));
    return {};
  }

  void write(double variance, double covariance) const noexcept {
    if (results_.variance) *results_.variance = cpu::from_double<T>(variance);
    if (results_.covariance) *results_.covariance = cpu::from_double<T>(covariance);
  }

  // The bytes of a call that asks for everything: whatever number of threads turns out to be
  // worthwhile, at most every second group is kept by a thread of its own.
  std::size_t bytes(std::int64_t threads) noexcept {
    Arena needed;
    lay_out(needed, threads, std::clamp<std::int64_t>(x_.groups / 2, 1, threads));
    return Arena::plus(needed.used(), kMemoryAlignment - 1);
  }

 private:
  // Gradients that come in are brought to magnitudes of 1 at most, so that none vanishes on the
  // way.
  void weigh(const VarianceCovarianceGradient<T>& gradient) noexcept {
    const double of_variance =
        gradient.incoming_variance ? cpu::to_double(*gradient.incoming_variance) : 1;
    const double of_covariance =
        gradient.incoming_covariance ? cpu::to_double(*gradient.incoming_covariance) : 1;
    const auto features = static_cast<double>(x_.features);
    double largest = std::max(std::abs(of_variance), std::abs(of_covariance));
    if (largest == 0) largest = 1;
    task_.variance_weight = -of_variance / largest / (2 * features);
    task_.covariance_weight = of_covariance / largest * 2 / (features * (features - 1));
    task_.factor =
        largest * 2 / (static_cast<double>(x_.samples - 1) * static_cast<double>(x_.groups));
    task_.gradient_stride = gradient.x.sample_stride;
  }

  void lay_out(Arena& arena, std::int64_t parts, std::int64_t kept) noexcept {
    Arena group;
    take_group(group, results_.gradient.has_value(), task_);
    group_bytes_ = group.used();
    terms_ = arena.take<Terms>(x_.groups);
    scratch_ = arena.take<char>(static_cast<std::int64_t>(cpu::kVarianceMemory) * parts);
    groups_ = arena.take<char>(static_cast<std::int64_t>(std::min<std::size_t>(
        Arena::aligned_product(group_bytes_, static_cast<std::size_t>(kept)), kMaxBytes)));
  }
  char* scratch_of(std::int64_t part) const noexcept {
    return scratch_ + part * static_cast<std::int64_t>(cpu::kVarianceMemory);
  }

  // Calls work(i, part) for all i in [0, count), each on the next part that is free.
  template <typename Work>
  static void share_out(const Crew& crew, std::int64_t count, const Work& work) {
    std::atomic<std::int64_t> next = 0;
    on_parts(crew, [&](std::int64_t part) {
      for (std::int64_t i = next.fetch_add(1, std::memory_order_relaxed); i < count;
           i = next.fetch_add(1, std::memory_order_relaxed))
        work(i, part);
    });
  }

  // In the memory of the kept-th group; each(count, step, task) takes a step.
  template <typename Each>
  void compute_group(std::int64_t group, std::int64_t kept, const Each& each) const {
    cpu::VarianceCovarianceTask<T> task = task_;
    Arena arena(groups_ + static_cast<std::size_t>(kept) * group_bytes_);
    take_group(arena, results_.gradient.has_value(), task);
    task.x = x_.at(group, 0);
    each(task.tiles(), kernels_.centre_features, task);
    each(task.pairs(), kernels_.covary_features, task);
    terms_[group] = terms_of(task);
    if (!results_.gradient) return;
    task.gradient = results_.gradient->x.at(group, 0);
    each(task.blocks(), kernels_.write_variance_gradient, task);
  }

  const Samples<const T>& x_;
  const VarianceCovarianceOptions& options_;
  const VarianceCovarianceResults<T>& results_;
  const cpu::KernelsOf<T>& kernels_;
  cpu::VarianceCovarianceTask<T> task_{};  // without what is a group's own
  std::size_t group_bytes_ = 0;
  Terms* terms_ = nullptr;   // [G]
  char* scratch_ = nullptr;  // of each part
  char* groups_ = nullptr;   // of each group that is kept at a time
};

}  // namespace

template <typename T>
Status try_check(const Samples<T>& samples, const char* name) noexcept {
  const auto fail = [&](const char* reason) {
    return Status(StatusCode::invalid_argument, -1, "%s [%lld, %lld, %lld]: %s", name,
                  static_cast<long long>(samples.groups), static_cast<long long>(samples.samples),
                  static_cast<long long>(samples.features), reason);
  };
  if (samples.groups < 0 || samples.samples < 0 || samples.features < 0)
    return fail("a size is negative");
  if (samples.groups == 0 || samples.samples == 0 || samples.features == 0) return {};
  constexpr std::int64_t kWhole = 64;  // samples and features are rounded up to whole tiles
  if (!product({samples.groups, samples.samples, samples.features, kElementBytes}) ||
      !product({samples.samples, kWhole, samples.features, kWhole, kElementBytes}) ||
      !product({samples.features, kWhole, samples.features, kWhole, kElementBytes})) {
    return fail("the product of the sizes overflows");
  }
  if (!samples.data) return fail("the data pointer is null");
  if (!spans_memory({{samples.groups, samples.group_stride},
                     {samples.samples, samples.sample_stride},
                     {samples.features, 1}},
                    sizeof(T))) {
    return Status(StatusCode::invalid_argument, -1,
                  "%s [%lld, %lld, %lld]: the strides [group %lld, sample %lld] overflow", name,
                  static_cast<long long>(samples.groups), static_cast<long long>(samples.samples),
                  static_cast<long long>(samples.features),
                  static_cast<long long>(samples.group_stride),
                  static_cast<long long>(samples.sample_stride));
  }
  return {};
}

template <typename T>
Samples<T> contiguous_samples(T* data, std::int64_t groups, std::int64_t samples,
                              std::int64_t features) {
  const Samples<T> sizes{data, groups, samples, features, 0, 0};
  raise_unless_ok(
      try_check(sizes, "samples"));  // before the strides are computed: they may overflow
  const bool is_empty = groups == 0 || samples == 0;
  return is_empty ? sizes
                  : Samples<T>{data, groups, samples, features, samples * features, features};
}

namespace detail {

template <typename T>
Status variance_covariance(const Samples<const T>& x, const VarianceCovarianceOptions& options,
                           const VarianceCovarianceResults<T>& results) noexcept {
  const UsualArithmetic usual;
  Status status =
      first_failure([&] { return try_check(x, "x"); }, [&] { return check_results(x, results); });
  const cpu::Kernels* const table = status.ok() ? cpu::kernels(status) : nullptr;
  if (!table) return status;
  const bool is_empty = x.groups == 0 || x.samples == 0 || x.features == 0;
  if (options.on_nonfinite == NonFinite::raise && !is_empty) status = check_finite(x, options);
  if (!status.ok()) return status;
  Call<T> call(x, options, results, cpu::kernels_of<T>(*table));
  if (!is_empty) return guarded([&] { return call.compute(); });
  call.write(kNaN, kNaN);
  return status;
}

}  // namespace detail

template <typename T>
std::size_t variance_covariance_workspace(std::int64_t groups, std::int64_t samples,
                                          std::int64_t features, int threads) noexcept {
  const T element{};
  const Samples<const T> sizes{
      &element, groups, samples,
      features, 0,      0};  // the sizes are what counts: there is no data to look at
  Status status = try_check(sizes, "x");
  const cpu::Kernels* const table = cpu::kernels(status);
  if (!status.ok() || groups == 0 || samples == 0 || features == 0) return 0;
  VarianceCovarianceResults<T> everything;
  everything.gradient.emplace();
  return Call<T>(sizes, {}, everything, cpu::kernels_of<T>(*table)).bytes(std::max(threads, 1));
}

#define OSC_INSTANTIATE(T)                                                                      \
  template OSC_API Status try_check(const Samples<T>&, const char*) noexcept;                   \
  template OSC_API Status try_check(const Samples<const T>&, const char*) noexcept;             \
  template OSC_API Samples<T> contiguous_samples(T*, std::int64_t, std::int64_t, std::int64_t); \
  template OSC_API Samples<const T> contiguous_samples(const T*, std::int64_t, std::int64_t,    \
                                                       std::int64_t);                           \
  template OSC_API Status detail::variance_covariance(                                          \
      const Samples<const T>&, const VarianceCovarianceOptions&,                                \
      const VarianceCovarianceResults<T>&) noexcept;                                            \
  template OSC_API std::size_t variance_covariance_workspace<T>(std::int64_t, std::int64_t,     \
                                                                std::int64_t, int) noexcept;
OSC_FOR_EACH_ELEMENT_TYPE(OSC_INSTANTIATE)
#undef OSC_INSTANTIATE

}  // namespace osc
