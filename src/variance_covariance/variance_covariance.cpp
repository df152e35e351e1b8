#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/call.hpp"
#include "runtime/finite.hpp"
#include "runtime/plan.hpp"
#include "runtime/sizes.hpp"
#include "simd/vector_math.hpp"
#include "variance_covariance/task.hpp"

namespace osc::cpu {
namespace {

Index whole(Index count, Index of) { return (count + of - 1) / of; }

// The two terms.
struct Terms {
  double variance = 0, covariance = 0;
};

// The terms of a group.
template <typename T>
Terms terms_of(const VarianceCovarianceTask<T>& task) {
  const auto features = static_cast<double>(task.features);
  Terms sums;
  for (Index d = 0; d < task.features; ++d) {
    const double deviation = std::sqrt(task.variances[d] + kVarianceFloor);
    sums.variance += deviation >= 1 ? 0 : 1 - deviation;
  }
  for (Index pair = 0; pair < task.pairs; ++pair) sums.covariance += task.squares[pair];
  return {sums.variance / features, sums.covariance / (features * (features - 1))};
}

template <typename T>
class Computation {
  using Task = VarianceCovarianceTask<T>;

 public:
  Computation(const osc_variance_covariance& call, const View<const T, 3>& x,
              const VarianceCovarianceKernels<T>& kernels)
      : x_(x), grad_x_(gradient_view<T, 3>(call.grad_x, x)), kernels_(kernels) {
    task_.samples = x.sizes[1];
    task_.features = x.sizes[2];
    task_.tiles = whole(task_.features, Task::kTile);
    task_.pairs = task_.tiles % 2 == 0 ? task_.tiles / 2 * (task_.tiles + 1)
                                       : (task_.tiles + 1) / 2 * task_.tiles;
    task_.blocks = whole(task_.samples, Task::kBlock);
    task_.rows = whole(task_.samples, Task::kWholeRows) * Task::kWholeRows;
    task_.sample_stride = x.strides[1];
    task_.grad_x_stride = grad_x_.strides[1];
    if (grad_x_.data)
      weigh(elements<const T>(call.grad_variance), elements<const T>(call.grad_covariance));
  }

  // The mean over groups.
  Status run(const osc_variance_covariance& call, Terms* mean) {
    const Index groups = x_.sizes[0];
    const double products = product({groups, task_.samples, task_.features, task_.features + 4});
    plan_ = plan_for(products * (grad_x_.data ? 1.5 : 0.5),
                     std::numeric_limits<std::int32_t>::max(), call.executor);
    const bool by_group = plan_.parts == 1 || groups / 2 >= plan_.parts;
    CallMemory memory(call.workspace);
    const Status status =
        memory.lay_out([&](Arena& arena) { lay_out(arena, by_group ? plan_.parts : 1); });
    if (!status.ok()) return status;

    if (by_group) {
      for_each_by_turns(plan_, groups, [&](Index group, Index part) {
        compute_group(group, part, [&](Index count, auto step, const Task& task) {
          step(task, 0, count, scratch_of(part));
        });
      });
    } else {
      for (Index group = 0; group < groups; ++group) {
        compute_group(group, 0, [&](Index count, auto step, const Task& task) {
          for_each_by_turns(plan_, count,
                            [&](Index i, Index part) { step(task, i, i + 1, scratch_of(part)); });
        });
      }
    }
    for (Index group = 0; group < groups; ++group) {
      mean->variance += terms_[group].variance;
      mean->covariance += terms_[group].covariance;
    }
    mean->variance /= static_cast<double>(groups);
    mean->covariance /= static_cast<double>(groups);
    return {};
  }

 private:
  // grad_outputs are brought to magnitudes of 1 at most, so that none vanishes on the way.
  void weigh(const T* grad_variance, const T* grad_covariance) {
    const double of_variance = grad_variance ? to_double(*grad_variance) : 1,
                 of_covariance = grad_covariance ? to_double(*grad_covariance) : 1;
    const auto features = static_cast<double>(task_.features);
    double largest = std::max(std::abs(of_variance), std::abs(of_covariance));
    if (largest == 0) largest = 1;
    task_.variance_weight = -of_variance / largest / (2 * features);
    task_.covariance_weight = of_covariance / largest * 2 / (features * (features - 1));
    task_.factor =
        largest * 2 / (static_cast<double>(task_.samples - 1) * static_cast<double>(x_.sizes[0]));
  }

  // `groups` are computed at the same time.
  void lay_out(Arena& arena, Index groups) {
    Task task = task_;
    Arena of_group;
    take_group(of_group, task);
    group_bytes_ = of_group.used();
    terms_ = arena.take<Terms>(x_.sizes[0]);
    scratch_ = arena.take<char>(kVarianceMemory, plan_.parts);
    groups_ = arena.take<char>(static_cast<Index>(group_bytes_), groups);
  }
  void take_group(Arena& arena, Task& task) const {
    using A = typename Task::A;
    task.centred = arena.take<A>(task.tiles * task.rows * Task::kTile);
    task.variances = arena.take<double>(task.features);
    task.squares = arena.take<double>(task.pairs);
    if (grad_x_.data)
      task.covariance_gradients = arena.take<A>(task.tiles * task.features * Task::kTile);
  }
  void* scratch_of(Index part) const {
    return scratch_ + static_cast<std::size_t>(part) * kVarianceMemory;
  }

  // Computes a group in the place-th memory; each(count, step, task) takes a step.
  template <typename Each>
  void compute_group(Index group, Index place, const Each& each) const {
    Task task = task_;
    Arena arena(groups_ + static_cast<std::size_t>(place) * group_bytes_);
    take_group(arena, task);
    task.x = x_.data + group * x_.strides[0];
    each(task.tiles, kernels_.centre, task);
    each(task.pairs, kernels_.covary, task);
    terms_[group] = terms_of(task);
    if (!grad_x_.data) return;
    task.grad_x = grad_x_.data + group * grad_x_.strides[0];
    each(task.blocks, kernels_.write_gradient, task);
  }

  const View<const T, 3> x_;
  const View<T, 3> grad_x_;
  const VarianceCovarianceKernels<T>& kernels_;
  Task task_;  // without what is a group's own
  Plan plan_;
  std::size_t group_bytes_ = 0;
  Terms* terms_ = nullptr;   // [G]
  char* scratch_ = nullptr;  // of each part
  char* groups_ = nullptr;
};

template <typename T>
Status variance_covariance_loss(const osc_variance_covariance& call,
                                const VarianceCovarianceKernels<T>& kernels) {
  const View<const T, 3> x = view<const T, 3>(call.x);
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  Terms terms{kNaN, kNaN};
  if (x.sizes[0] > 0 && x.sizes[1] > 0 && x.sizes[2] > 0) {
    constexpr Index kWhole = 64, kBytes = 8;  // sizes are rounded up to whole tiles
    if (!product_fits({x.sizes[1], kWhole, x.sizes[2], kWhole, kBytes}) ||
        !product_fits({x.sizes[2], kWhole, x.sizes[2], kWhole, kBytes}))
      return failure(StatusCode::invalid_argument, -1,
                     "x has %lld samples of %lld features; their product overflows",
                     static_cast<long long>(x.sizes[1]), static_cast<long long>(x.sizes[2]));
    Status status;
    if (call.on_nonfinite == OSC_RAISE) status = check_finite("x", "group", x, 0, call.executor);
    terms = {};
    if (status.ok()) status = Computation<T>(call, x, kernels).run(call, &terms);
    if (!status.ok()) return status;
  }
  if (T* const variance = elements<T>(call.variance)) *variance = from_double<T>(terms.variance);
  if (T* const covariance = elements<T>(call.covariance))
    *covariance = from_double<T>(terms.covariance);
  return {};
}

}  // namespace
}  // namespace osc::cpu

osc_status osc_variance_covariance_loss(const osc_variance_covariance* call) {
  using namespace osc::cpu;
  return run_call<osc_variance_covariance_loss>(
      call, [](const auto&... arguments) { return variance_covariance_loss(arguments...); },
      variance_covariance_kernels);
}
