#include <algorithm>

#include "runtime/call.hpp"
#include "runtime/finite.hpp"
#include "runtime/plan.hpp"
#include "runtime/sizes.hpp"
#include "simd/vector_math.hpp"
#include "small_to_large/task.hpp"

namespace osc::cpu {
namespace {

// Whether slots and pairs of slots can be counted, also in whole vectors.
template <typename T>
Status check_sizes(const SmallToLargeTask<T>& task) {
  constexpr Index kWhole = 64, kBytes = 8;
  const auto& large = task.f_large.sizes;
  const auto& small = task.p_small.sizes;
  const Index channels = std::max<Index>(small[3], 1);
  if (product_fits({small[0], large[1], small[1], std::max<Index>(small[2], 1), kBytes}) &&
      product_fits({large[1], large[2], channels, kWhole, kBytes}) &&
      product_fits({small[1], small[2], channels, kWhole, kBytes}) &&
      product_fits({large[1], large[2], kWhole, small[1], small[2], kWhole, kBytes}))
    return {};
  return failure(StatusCode::invalid_argument, -1,
                 "f_large and p_small have [%lld, %lld] and [%lld, %lld] slots in the crops of an "
                 "image; their product overflows",
                 static_cast<long long>(large[1]), static_cast<long long>(large[2]),
                 static_cast<long long>(small[1]), static_cast<long long>(small[2]));
}

// Whether each entry of given_matching is -1 or a slot of a large crop; and the number of pairs of
// crops in which a slot is counted.
template <typename T>
Status check_given_matching(const SmallToLargeTask<T>& task, Index* pairs) {
  const Index of_image = task.f_large.sizes[1] * task.p_small.sizes[1],
              slots = task.p_small.sizes[2], large_slots = task.f_large.sizes[2];
  for (Index pair = 0; pair < task.p_small.sizes[0] * of_image; ++pair) {
    bool counts = false;
    for (Index s = 0; s < slots; ++s) {
      const Index slot = task.given_matching[pair * slots + s];
      if (slot < -1 || slot >= large_slots) {
        const Index image = pair / of_image;
        return failure(StatusCode::invalid_argument, image,
                       "given_matching: %lld, of image %lld, is neither -1 nor a slot of the %lld "
                       "of a large crop",
                       static_cast<long long>(slot), static_cast<long long>(image),
                       static_cast<long long>(large_slots));
      }
      counts |= slot >= 0;
    }
    *pairs += counts;
  }
  return {};
}

// The plan for all images, from a rough number of operations.
template <typename T>
Plan plan_of(const SmallToLargeTask<T>& task, Executor* executor) {
  const auto& [images, small_crops, small_slots, channels] = task.p_small.sizes;
  const double large = product({task.f_large.sizes[1], task.f_large.sizes[2]}),
               small = product({small_crops, small_slots});
  const double operations = (large * small + 4 * (large + small)) * product({channels + 1}) + 1;
  return plan_for(product({images}) * operations, images, executor);
}

template <typename T>
Status small_to_large_loss(const osc_small_to_large_loss& call,
                           const SmallToLargeKernels<T>& kernels) {
  using Task = SmallToLargeTask<T>;
  Task task{.f_large = view<const T, 4>(call.f_large), .p_small = view<const T, 4>(call.p_small)};
  const Index images = task.p_small.sizes[0],
              crops = images * task.f_large.sizes[1] * task.p_small.sizes[1],
              slots = task.p_small.sizes[2];
  T* const loss = elements<T>(call.loss);
  task.eps = or_default(call.eps, 1e-10);
  task.given_matching = elements<const Index>(call.given_matching);
  task.matching = elements<Index>(call.matching);
  task.statuses = elements<ImageStatus>(call.statuses);
  if (call.reduction == OSC_NONE) task.losses = loss;
  task.grad_output = elements<const T>(call.grad_output);
  task.grad_output_per_pair = call.reduction == OSC_NONE;
  const View<T, 4> gradient = gradient_view<T, 4>(call.grad_p_small, task.p_small);

  Index pairs = 0;  // of crops in which a slot is counted
  Status status = check_sizes(task);
  if (status.ok() && task.given_matching) status = check_given_matching(task, &pairs);
  if (status.ok() && call.on_nonfinite == OSC_RAISE)
    status = check_finite("f_large", "image", task.f_large, 0, call.executor);
  if (status.ok() && call.on_nonfinite == OSC_RAISE)
    status = check_finite("p_small", "image", task.p_small, 0, call.executor);
  if (!status.ok()) return status;

  const bool has_losses = !task.given_matching || loss || task.matching || call.counted_ratio.data;
  const Plan plan = plan_of(task, call.executor);
  const std::size_t part_bytes = kernels.memory(task);
  Parts parts;
  CallMemory memory(call.workspace);
  status = memory.lay_out([&](Arena& arena) {
    if (has_losses) task.totals = arena.take<typename Task::Totals>(images);
    if (has_losses && !is_given(call.matching)) task.matching = arena.take<Index>(crops * slots);
    parts = Parts::take(arena, plan, part_bytes);
  });
  if (!status.ok()) return status;
  const auto run = [&](const Task& ready) {
    for_each_range(parts, images, [&](Index begin, Index end, void* part_memory) {
      kernels.run(ready, begin, end, part_memory);
    });
  };

  // The gradient of the mean takes the number of pairs. A given matching tells it before the losses
  // do, but may count images that are not finite.
  const bool at_once = call.reduction != OSC_MEAN || !has_losses;
  if (call.reduction == OSC_MEAN) task.weight = 1 / static_cast<double>(std::max<Index>(pairs, 1));
  if (at_once) task.grad_p_small = gradient;
  run(task);
  if (!has_losses) return {};
  typename Task::Totals all{};
  for (Index image = 0; image < images; ++image) {
    all.sum += task.totals[image].sum;
    all.counted += task.totals[image].counted;
    all.pairs += task.totals[image].pairs;
  }
  if (gradient.data && !at_once) {
    Task second = task;
    second.given_matching = task.matching;
    second.totals = nullptr;
    second.weight = 1 / static_cast<double>(std::max<Index>(all.pairs, 1));
    second.grad_p_small = gradient;
    run(second);
  }
  if (float* const ratio = elements<float>(call.counted_ratio))
    *ratio = static_cast<float>(product({all.counted}) / product({crops, slots}));
  if (loss && call.reduction != OSC_NONE)
    *loss = from_double<T>(call.reduction == OSC_SUM ? all.sum
                                                     : all.sum / static_cast<double>(all.pairs));
  return {};
}

}  // namespace
}  // namespace osc::cpu

osc_status osc_matching_similarity_loss_small_to_large(const osc_small_to_large_loss* call) {
  using namespace osc::cpu;
  return run_call<osc_matching_similarity_loss_small_to_large>(
      call, [](const auto&... arguments) { return small_to_large_loss(arguments...); },
      small_to_large_kernels);
}
