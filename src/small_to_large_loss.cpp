#include "osc/small_to_large_loss.hpp"

#include <algorithm>
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

constexpr std::int64_t kElementBytes = 8;

template <typename A, typename B>
Status check_same_sizes(const SlotCrops<A>& p, const SlotCrops<B>& gradient) noexcept {
  if (p.images == gradient.images && p.crops == gradient.crops && p.slots == gradient.slots &&
      p.channels == gradient.channels)
    return {};
  return Status(StatusCode::invalid_argument, -1,
                "p_small [%lld, %lld, %lld, %lld] and its gradient [%lld, %lld, %lld, %lld]: the "
                "sizes must be the same",
                static_cast<long long>(p.images), static_cast<long long>(p.crops),
                static_cast<long long>(p.slots), static_cast<long long>(p.channels),
                static_cast<long long>(gradient.images), static_cast<long long>(gradient.crops),
                static_cast<long long>(gradient.slots), static_cast<long long>(gradient.channels));
}

// Of two that are good each: whether they are of the same images, and of no more slots and pairs
// than can be counted, also in whole vectors.
template <typename T>
Status check_together(const SlotCrops<const T>& f, const SlotCrops<const T>& p) noexcept {
  const bool fit = f.images == p.images && f.channels == p.channels;
  constexpr std::int64_t kWhole = 64;
  const std::int64_t channels = std::max<std::int64_t>(p.channels, 1),
                     slots = std::max<std::int64_t>(p.slots, 1);
  if (fit && product({p.images, f.crops, p.crops, slots, kElementBytes}) &&
      product({f.crops, f.slots, channels, kWhole, kElementBytes}) &&
      product({p.crops, p.slots, channels, kWhole, kElementBytes}) &&
      product({f.crops, f.slots, kWhole, p.crops, p.slots, kWhole, kElementBytes})) {
    return {};
  }
  return Status(
      StatusCode::invalid_argument, -1,
      "f_large [%lld, %lld, %lld, %lld] and p_small [%lld, %lld, %lld, %lld]: %s",
      static_cast<long long>(f.images), static_cast<long long>(f.crops),
      static_cast<long long>(f.slots), static_cast<long long>(f.channels),
      static_cast<long long>(p.images), static_cast<long long>(p.crops),
      static_cast<long long>(p.slots), static_cast<long long>(p.channels),
      fit ? "the product of the sizes overflows" : "images and channels must be the same");
}

template <typename T>
Status check_inputs(const SlotCrops<const T>& f, const SlotCrops<const T>& p,
                    const SmallToLargeOptions& options,
                    const SmallToLargeGradient<T>* gradient) noexcept {
  Status status = first_failure(
      [&] { return try_check(f, "f_large"); }, [&] { return try_check(p, "p_small"); },
      [&] { return check_together(f, p); }, [&] { return check_eps(options.eps); });
  if (!status.ok() || !gradient) return status;
  return first_failure([&] { return try_check(gradient->p, "the gradient of p_small"); },
                       [&] { return check_same_sizes(p, gradient->p); });
}

template <typename T>
bool image_is_finite(const SlotCrops<const T>& slots, std::int64_t image) noexcept {
  for (std::int64_t row = 0; row < slots.crops * slots.slots; ++row) {
    if (!cpu::slot_is_finite(slots.at(image, row / slots.slots, row % slots.slots), slots.channels))
      return false;
  }
  return true;
}

template <typename T>
Status check_finite(const SlotCrops<const T>& f, const SlotCrops<const T>& p,
                    const SmallToLargeOptions& options) noexcept {
  std::int64_t first = 0;  // image of f, or images + image of p
  const double operations =
      static_cast<double>(f.crops * f.slots + p.crops * p.slots) * static_cast<double>(p.channels);
  const Status status = find_first_bad(
      2 * p.images, operations, options.executor, options.workspace, &first, [&](std::int64_t i) {
        return i < f.images ? image_is_finite(f, i) : image_is_finite(p, i - f.images);
      });
  if (!status.ok() || first == 2 * p.images) return status;
  return Status(StatusCode::nonfinite, first % p.images,
                "%s: image %lld of %lld holds a NaN or an infinity",
                first < p.images ? "f_large" : "p_small", static_cast<long long>(first % p.images),
                static_cast<long long>(p.images));
}

// Whether each entry is -1 or a slot of a large crop; and the number of pairs in which a slot
// counts.
template <typename T>
Status check_matching(const std::int64_t* matching, const cpu::SmallToLargeTask<T>& task,
                      std::int64_t* pairs) noexcept {
  *pairs = 0;
  const std::int64_t all = task.images * task.large_crops * task.small_crops;
  if (all > 0 && task.small_slots > 0 && !matching)
    return Status(StatusCode::invalid_argument, -1, "the pointer to the matching is null");
  for (std::int64_t pair = 0; pair < all; ++pair) {
    bool counts = false;
    for (std::int64_t s = 0; s < task.small_slots; ++s) {
      const std::int64_t slot = matching[pair * task.small_slots + s];
      if (slot < -1 || slot >= task.large_slots) {
        const std::int64_t image = pair / (task.large_crops * task.small_crops);
        return Status(
            StatusCode::invalid_argument, image,
            "matching: %lld, of image %lld, is neither -1 nor a slot of the %lld of a large crop",
            static_cast<long long>(slot), static_cast<long long>(image),
            static_cast<long long>(task.large_slots));
      }
      counts |= slot >= 0;
    }
    *pairs += counts;
  }
  return {};
}

template <typename T>
cpu::SlotRows<T> rows_of(const SlotCrops<T>& slots) noexcept {
  if (slots.channels == 0) return {};  // the pointer may be null, and the strides anything
  return {slots.data, slots.crop_stride, slots.image_stride, slots.slot_stride};
}

template <typename T>
cpu::SmallToLargeTask<T> task_of(const SlotCrops<const T>& f, const SlotCrops<const T>& p,
                                 double eps) noexcept {
  cpu::SmallToLargeTask<T> task{};
  task.images = p.images;
  task.large_crops = f.crops;
  task.large_slots = f.slots;
  task.small_crops = p.crops;
  task.small_slots = p.slots;
  task.channels = p.channels;
  task.eps = eps;
  task.f = rows_of(f);
  task.p = rows_of(p);
  return task;
}

// `pairs` count; of the mean each has its share.
template <typename T>
void add_gradient(const SmallToLargeGradient<T>& gradient, Reduction reduction, std::int64_t pairs,
                  cpu::SmallToLargeTask<T>& task) noexcept {
  task.has_gradient = true;
  task.gradient = rows_of(gradient.p);
  task.incoming = gradient.incoming;
  task.incoming_per_pair = reduction == Reduction::none;
  if (reduction == Reduction::mean)
    task.weight = 1 / static_cast<double>(std::max<std::int64_t>(pairs, 1));
}

template <typename T>
Batch batch_of(const cpu::SmallToLargeTask<T>& task, const cpu::KernelsOf<T>& kernels) noexcept {
  const double large =
                   static_cast<double>(task.large_crops) * static_cast<double>(task.large_slots),
               small =
                   static_cast<double>(task.small_crops) * static_cast<double>(task.small_slots);
  return {task.images,
          (large * small + 4 * (large + small)) * (static_cast<double>(task.channels) + 1), 0,
          kernels.small_to_large_memory(task)};
}

// Threads: an Executor*, or a Crew.
template <typename T, typename Threads>
Status run(const cpu::SmallToLargeTask<T>& task, const cpu::KernelsOf<T>& kernels,
           const Threads& threads, Workspace* workspace) noexcept {
  return for_each_range(
      batch_of(task, kernels), threads, workspace, [](void*) { return 0; },
      [&](int, std::int64_t begin, std::int64_t end, void* memory) {
        kernels.small_to_large(task, begin, end, memory);
      });
}

// What a call keeps of all images: their totals, and the matching where the caller does not.
template <typename T>
void take_kept(Arena& arena, bool keeps_matching, cpu::SmallToLargeTask<T>& task) noexcept {
  task.totals = arena.take<typename cpu::SmallToLargeTask<T>::Totals>(task.images);
  if (keeps_matching)
    task.matching = arena.take<std::int64_t>(task.images * task.large_crops * task.small_crops *
                                             task.small_slots);
}

template <typename T>
Status compute(cpu::SmallToLargeTask<T> task, const cpu::KernelsOf<T>& kernels,
               const SmallToLargeOptions& options, const SmallToLargeResults<T>& results) {
  const Batch batch = batch_of(task, kernels);
  const Crew crew = crew_for(batch, options.executor);
  const std::size_t batch_memory_bytes = batch_bytes(batch, crew.parts);
  char* batch_memory = nullptr;
  Workspace own_workspace;
  Status status = lay_out_memory(options.workspace, own_workspace, [&](Arena& arena) {
    take_kept(arena, !results.matching, task);
    batch_memory = arena.take<char>(static_cast<std::int64_t>(batch_memory_bytes));
  });
  if (!status.ok()) return status;
  if (results.matching) task.matching = results.matching;
  Workspace batch_workspace(batch_memory, batch_memory_bytes);

  task.statuses = results.statuses;
  if (options.reduction == Reduction::none) task.losses = results.loss;
  const bool at_once =
      results.gradient &&
      options.reduction !=
          Reduction::mean;  // the mean's gradient takes the number of pairs that count
  if (at_once) add_gradient(*results.gradient, options.reduction, 0, task);
  status = run(task, kernels, crew, &batch_workspace);
  if (!status.ok()) return status;

  typename cpu::SmallToLargeTask<T>::Totals all{};
  for (std::int64_t image = 0; image < task.images; ++image) {
    all.sum += task.totals[image].sum;
    all.counted += task.totals[image].counted;
    all.pairs += task.totals[image].pairs;
  }
  if (results.gradient && !at_once) {
    cpu::SmallToLargeTask<T> second = task;
    second.given_matching = task.matching;
    add_gradient(*results.gradient, options.reduction, all.pairs, second);
    status = run(second, kernels, crew, &batch_workspace);
    if (!status.ok()) return status;
  }
  const auto slots = static_cast<double>(task.images * task.large_crops * task.small_crops) *
                     static_cast<double>(task.small_slots);
  if (results.counted_ratio) *results.counted_ratio = static_cast<double>(all.counted) / slots;
  if (results.loss && options.reduction == Reduction::sum)
    *results.loss = cpu::from_double<T>(all.sum);
  if (results.loss && options.reduction == Reduction::mean)
    *results.loss = cpu::from_double<T>(all.sum / static_cast<double>(all.pairs));
  return {};
}

}  // namespace

template <typename T>
Status try_check(const SlotCrops<T>& slots, const char* name) noexcept {
  const auto fail = [&](const char* reason) {
    return Status(StatusCode::invalid_argument, -1, "%s [%lld, %lld, %lld, %lld]: %s", name,
                  static_cast<long long>(slots.images), static_cast<long long>(slots.crops),
                  static_cast<long long>(slots.slots), static_cast<long long>(slots.channels),
                  reason);
  };
  if (slots.images < 0 || slots.crops < 0 || slots.slots < 0 || slots.channels < 0)
    return fail("a size is negative");
  // With C = 0 there are still slots that are matched.
  const bool has_slots = slots.images > 0 && slots.crops > 0 && slots.slots > 0;
  if (has_slots && !product({slots.images, slots.crops, slots.slots,
                             std::max<std::int64_t>(slots.channels, 1), kElementBytes}))
    return fail("the product of the sizes overflows");
  if (!has_slots || slots.channels == 0) return {};
  if (!slots.data) return fail("the data pointer is null");
  if (!spans_memory({{slots.images, slots.image_stride},
                     {slots.crops, slots.crop_stride},
                     {slots.slots, slots.slot_stride},
                     {slots.channels, 1}},
                    sizeof(T))) {
    return Status(
        StatusCode::invalid_argument, -1,
        "%s [%lld, %lld, %lld, %lld]: the strides [image %lld, crop %lld, slot %lld] overflow",
        name, static_cast<long long>(slots.images), static_cast<long long>(slots.crops),
        static_cast<long long>(slots.slots), static_cast<long long>(slots.channels),
        static_cast<long long>(slots.image_stride), static_cast<long long>(slots.crop_stride),
        static_cast<long long>(slots.slot_stride));
  }
  return {};
}

template <typename T>
SlotCrops<T> contiguous_crops(T* data, std::int64_t images, std::int64_t crops, std::int64_t slots,
                              std::int64_t channels) {
  const SlotCrops<T> sizes{data, images, crops, slots, channels, 0, 0, 0};
  raise_unless_ok(try_check(sizes, "slots"));  // before the strides are computed: they may overflow
  const bool is_empty = images == 0 || crops == 0 || slots == 0;
  return is_empty ? sizes : SlotCrops<T>{data,
                                         images,
                                         crops,
                                         slots,
                                         channels,
                                         crops * slots * channels,
                                         slots * channels,
                                         channels};
}

namespace detail {

template <typename T>
Status small_to_large_loss(const SlotCrops<const T>& f_large, const SlotCrops<const T>& p_small,
                           const SmallToLargeOptions& options,
                           const SmallToLargeResults<T>& results) noexcept {
  const UsualArithmetic usual;
  Status status =
      check_inputs(f_large, p_small, options, results.gradient ? &*results.gradient : nullptr);
  const cpu::Kernels* const table = status.ok() ? cpu::kernels(status) : nullptr;
  if (!table) return status;
  if (options.on_nonfinite == NonFinite::raise) status = check_finite(f_large, p_small, options);
  if (!status.ok()) return status;
  return guarded([&] {
    return compute(task_of(f_large, p_small, options.eps), cpu::kernels_of<T>(*table), options,
                   results);
  });
}

template <typename T>
Status small_to_large_gradient(const SlotCrops<const T>& f_large, const SlotCrops<const T>& p_small,
                               const std::int64_t* matching, const SmallToLargeOptions& options,
                               const SmallToLargeGradient<T>& gradient) noexcept {
  const UsualArithmetic usual;
  Status status = check_inputs(f_large, p_small, options, &gradient);
  const cpu::Kernels* const table = status.ok() ? cpu::kernels(status) : nullptr;
  if (!table) return status;
  cpu::SmallToLargeTask<T> task = task_of(f_large, p_small, options.eps);
  std::int64_t pairs = 0;
  status = check_matching(matching, task, &pairs);
  if (status.ok() && options.on_nonfinite == NonFinite::raise)
    status = check_finite(f_large, p_small, options);
  if (!status.ok()) return status;
  constexpr std::int64_t kNone = -1;
  task.given_matching = matching ? matching : &kNone;  // null where it would be empty
  add_gradient(gradient, options.reduction, pairs, task);
  return run(task, cpu::kernels_of<T>(*table), options.executor, options.workspace);
}

}  // namespace detail

template <typename T>
std::size_t small_to_large_workspace(std::int64_t images, std::int64_t large_crops,
                                     std::int64_t large_slots, std::int64_t small_crops,
                                     std::int64_t small_slots, std::int64_t channels,
                                     int threads) noexcept {
  // The sizes are what counts: there is no data to check.
  const SlotCrops<const T> f{nullptr, images, large_crops, large_slots, 0, 0, 0, 0},
      p{nullptr, images, small_crops, small_slots, 0, 0, 0, 0};
  Status status = check_inputs<T>(f, p, {}, nullptr);
  const cpu::Kernels* const table = cpu::kernels(status);
  if (!status.ok() || channels < 0) return 0;
  cpu::SmallToLargeTask<T> task = task_of(f, p, 1);
  task.channels = channels;
  Arena arena;
  take_kept(arena, true, task);
  return Arena::plus(
      arena.used(),
      batch_bytes(batch_of(task, cpu::kernels_of<T>(*table)), threads) + kMemoryAlignment - 1);
}

#define OSC_INSTANTIATE(T)                                                                     \
  template OSC_API Status try_check(const SlotCrops<T>&, const char*) noexcept;                \
  template OSC_API Status try_check(const SlotCrops<const T>&, const char*) noexcept;          \
  template OSC_API SlotCrops<T> contiguous_crops(T*, std::int64_t, std::int64_t, std::int64_t, \
                                                 std::int64_t);                                \
  template OSC_API SlotCrops<const T> contiguous_crops(const T*, std::int64_t, std::int64_t,   \
                                                       std::int64_t, std::int64_t);            \
  template OSC_API Status detail::small_to_large_loss(                                         \
      const SlotCrops<const T>&, const SlotCrops<const T>&, const SmallToLargeOptions&,        \
      const SmallToLargeResults<T>&) noexcept;                                                 \
  template OSC_API Status detail::small_to_large_gradient(                                     \
      const SlotCrops<const T>&, const SlotCrops<const T>&, const std::int64_t*,               \
      const SmallToLargeOptions&, const SmallToLargeGradient<T>&) noexcept;                    \
  template OSC_API std::size_t small_to_large_workspace<T>(                                    \
      std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,      \
      int) noexcept;
OSC_FOR_EACH_ELEMENT_TYPE(OSC_INSTANTIATE)
#undef OSC_INSTANTIATE

}  // namespace osc
