#include "osc/loss_objects.hpp"

#include <algorithm>
#include <atomic>
#include <limits>

#include "batch.hpp"
#include "cpu/kernels.hpp"
#include "cpu/vector_math.hpp"
#include "element_types.hpp"
#include "matching.hpp"
#include "slot_checks.hpp"
#include "usual_arithmetic.hpp"

namespace osc {
namespace {

// A gradient of more bytes than this is written past the caches: a core's own could not keep it,
// and need not read what will be overwritten.
constexpr std::int64_t kStreamBytes = std::int64_t{4} << 20;
// From here on f and p are taken to come from memory, too slowly for a processor that waits until
// it needs them.
constexpr std::int64_t kFetchBytes = std::int64_t{16} << 20;

template <typename T>
cpu::SimilarityTask<T> matching_task(const SlotPairs<const T>& f, double eps,
                                     const MatchResults& results) noexcept {
  cpu::SimilarityTask<T> task{};
  task.images = f.images;
  task.slots = f.slots;
  task.channels = f.channels;
  task.eps = eps;
  task.f = rows_of(f);
  task.matching = results.matching;
  task.statuses = results.statuses;
  return task;
}

// What remains of a task that compares p: what its reduction means for the gradient.
template <typename T>
void add_gradient(const SimilarityGradient<T>& gradient, Reduction reduction,
                  cpu::SimilarityTask<T>& task) noexcept {
  task.has_gradient = true;
  task.gradient = rows_of(gradient.p);
  task.incoming = gradient.incoming;
  task.incoming_per_slot = reduction == Reduction::none;
  const std::int64_t losses = 2 * task.images * task.slots;
  if (reduction == Reduction::mean) task.weight = 1 / static_cast<double>(losses);
  const std::int64_t bytes = losses * task.channels * static_cast<std::int64_t>(sizeof(T));
  task.stream = bytes > kStreamBytes;
  task.fetch = bytes > kFetchBytes;
}

template <typename T>
Batch batch_of(std::int64_t images, std::int64_t slots, std::int64_t channels, bool matches,
               const cpu::KernelsOf<T>& kernels) noexcept {
  const auto s = static_cast<double>(slots), c = static_cast<double>(channels);
  return {images, (matches ? s * s * (c + s) : 0) + 8 * s * c,
          static_cast<std::size_t>(images) * sizeof(double),
          kernels.similarity_memory(slots, channels)};
}

// Runs the task; where it computes image_sums, their sum in the images' order, so that threads do
// not change it, goes to *sum. Threads: an Executor*, or a Crew.
template <typename T, typename Threads>
Status run(cpu::SimilarityTask<T> task, const cpu::KernelsOf<T>& kernels, const Threads& threads,
           Workspace* workspace, double* sum) noexcept {
  Workspace own_workspace;
  Status status = for_each_range(
      batch_of(task.images, task.slots, task.channels, !task.given_matching, kernels), threads,
      workspace ? workspace : &own_workspace,
      [&](void* memory) {
        if (sum) task.image_sums = static_cast<double*>(memory);
        return task;
      },
      [&](const auto& ready, std::int64_t begin, std::int64_t end, void* memory) {
        kernels.similarity(ready, begin, end, memory);
      });
  if (status.ok() && sum) {
    *sum = 0;
    for (std::int64_t image = 0; image < task.images; ++image) *sum += task.image_sums[image];
  }
  return status;
}

}  // namespace

template <typename T>
Batch matching_batch(std::int64_t images, std::int64_t slots, std::int64_t channels,
                     const cpu::KernelsOf<T>& kernels) noexcept {
  return batch_of(images, slots, channels, true, kernels);
}

template <typename T>
Status match_checked_slots(const SlotPairs<const T>& slots, double eps,
                           const cpu::KernelsOf<T>& kernels, const Crew& crew, Workspace* workspace,
                           const MatchResults& results) noexcept {
  return run(matching_task(slots, eps, results), kernels, crew, workspace, nullptr);
}

template <typename T>
Status try_match_slots(const SlotPairs<const T>& slots, const MatchResults& results,
                       const MatchOptions& options) noexcept {
  const UsualArithmetic usual;
  Status status = first_failure([&] { return try_check(slots, "slots"); },
                                [&] { return check_eps(options.eps); });
  const cpu::Kernels* const table = status.ok() ? cpu::kernels(status) : nullptr;
  if (!table || slots.images == 0) return status;
  if (slots.slots == 0) {
    if (results.statuses) std::fill_n(results.statuses, slots.images, ImageStatus::ok);
    return status;
  }
  if (!results.matching)
    return Status(StatusCode::invalid_argument, -1,
                  "match_slots: the pointer to the matching is null");
  if (options.on_nonfinite == NonFinite::raise)
    status = check_finite(slots, "slots", static_cast<const SlotPairs<const T>*>(nullptr),
                          options.executor, options.workspace);
  if (!status.ok()) return status;
  return run(matching_task(slots, options.eps, results), cpu::kernels_of<T>(*table),
             options.executor, options.workspace, nullptr);
}

namespace detail {

template <typename T>
Status similarity_loss(const SlotPairs<const T>& f, const SlotPairs<const T>& p,
                       const MatchingSimilarityOptions& options,
                       const MatchingSimilarityResults<T>& results) noexcept {
  const UsualArithmetic usual;
  Status status = first_failure(
      [&] { return try_check(f, "f"); }, [&] { return try_check(p, "p"); },
      [&] { return check_same_sizes("f", f, "p", p); }, [&] { return check_eps(options.eps); });
  if (status.ok() && results.gradient) {
    status = first_failure(
        [&] { return try_check(results.gradient->p, "the gradient of p"); },
        [&] { return check_same_sizes("p", p, "the gradient of p", results.gradient->p); });
  }
  const cpu::Kernels* const table = status.ok() ? cpu::kernels(status) : nullptr;
  if (!table) return status;
  const std::int64_t losses = 2 * p.images * p.slots;
  double sum = 0;
  std::atomic<bool> gradient_scales = sizeof(T) >= 4;
  const bool wants_sum = results.loss && options.reduction != Reduction::none;
  if (losses > 0) {
    if (options.on_nonfinite == NonFinite::raise)
      status = check_finite(f, "f", &p, options.executor, options.workspace);
    if (!status.ok()) return status;
    cpu::SimilarityTask<T> task =
        matching_task(f, options.eps, {results.matching, results.statuses});
    task.has_p = true;
    task.p = rows_of(p);
    if (options.reduction == Reduction::none) task.losses = results.loss;
    if (results.gradient) add_gradient(*results.gradient, options.reduction, task);
    task.gradient_scales = &gradient_scales;
    status = run(task, cpu::kernels_of<T>(*table), options.executor, options.workspace,
                 wants_sum ? &sum : nullptr);
    if (!status.ok()) return status;
  } else if (results.statuses) {
    std::fill_n(results.statuses, p.images, ImageStatus::ok);
  }
  if (results.gradient_scales) *results.gradient_scales = gradient_scales;
  if (wants_sum) {
    constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
    *results.loss = cpu::from_double<T>(options.reduction == Reduction::sum ? sum
                                        : losses == 0 ? kNaN
                                                      : sum / static_cast<double>(losses));
  }
  return status;
}

template <typename T>
Status similarity_gradient(const SlotPairs<const T>& f, const SlotPairs<const T>& p,
                           const std::int64_t* matching, const MatchingSimilarityOptions& options,
                           const SimilarityGradient<T>& gradient) noexcept {
  const UsualArithmetic usual;
  Status status =
      first_failure([&] { return try_check(f, "f"); }, [&] { return try_check(p, "p"); },
                    [&] { return check_same_sizes("f", f, "p", p); },
                    [&] { return try_check(gradient.p, "the gradient of p"); },
                    [&] { return check_same_sizes("p", p, "the gradient of p", gradient.p); },
                    [&] { return check_eps(options.eps); });
  const cpu::Kernels* const table = status.ok() ? cpu::kernels(status) : nullptr;
  if (!table || p.images == 0 || p.slots == 0) return status;
  status = check_matching(matching, p.images, p.slots, options.workspace);
  if (status.ok() && options.on_nonfinite == NonFinite::raise)
    status = check_finite(f, "f", &p, options.executor, options.workspace);
  if (!status.ok()) return status;
  cpu::SimilarityTask<T> task = matching_task(f, options.eps, {});
  task.given_matching = matching;
  task.has_p = true;
  task.p = rows_of(p);
  add_gradient(gradient, options.reduction, task);
  return run(task, cpu::kernels_of<T>(*table), options.executor, options.workspace, nullptr);
}

}  // namespace detail

template <typename T>
std::size_t matching_similarity_workspace(std::int64_t images, std::int64_t slots,
                                          std::int64_t channels, int threads) noexcept {
  const SlotPairs<const T> sizes{nullptr, images, slots, 0, 0, 0, 0};
  Status status = try_check(sizes, "slots");
  const cpu::Kernels* const table = cpu::kernels(status);
  if (!status.ok() || images == 0 || slots == 0 || channels < 0) return 0;
  return batch_bytes(matching_batch(images, slots, channels, cpu::kernels_of<T>(*table)), threads) +
         kMemoryAlignment - 1;
}

#define OSC_INSTANTIATE(T)                                                                         \
  template Batch matching_batch(std::int64_t, std::int64_t, std::int64_t,                          \
                                const cpu::KernelsOf<T>&) noexcept;                                \
  template Status match_checked_slots(const SlotPairs<const T>&, double, const cpu::KernelsOf<T>&, \
                                      const Crew&, Workspace*, const MatchResults&) noexcept;      \
  template OSC_API Status try_match_slots(const SlotPairs<const T>&, const MatchResults&,          \
                                          const MatchOptions&) noexcept;                           \
  template OSC_API Status detail::similarity_loss(                                                 \
      const SlotPairs<const T>&, const SlotPairs<const T>&, const MatchingSimilarityOptions&,      \
      const MatchingSimilarityResults<T>&) noexcept;                                               \
  template OSC_API Status detail::similarity_gradient(                                             \
      const SlotPairs<const T>&, const SlotPairs<const T>&, const std::int64_t*,                   \
      const MatchingSimilarityOptions&, const SimilarityGradient<T>&) noexcept;                    \
  template OSC_API std::size_t matching_similarity_workspace<T>(std::int64_t, std::int64_t,        \
                                                                std::int64_t, int) noexcept;
OSC_FOR_EACH_ELEMENT_TYPE(OSC_INSTANTIATE)
#undef OSC_INSTANTIATE

}  // namespace osc
