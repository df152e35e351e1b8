#include <algorithm>
#include <atomic>
#include <numeric>

#include "runtime/call.hpp"
#include "runtime/finite.hpp"
#include "runtime/plan.hpp"
#include "simd/vector_math.hpp"
#include "similarity/matching.hpp"
#include "similarity/task.hpp"

namespace osc::cpu {
namespace {

// A gradient of more bytes than this is written past the caches: a core's own could not keep it,
// and need not read what will be overwritten.
constexpr Index kStreamBytes = Index{4} << 20;
// Slots of more bytes than this come from memory. Where a gradient goes there too, they are worth
// loading ahead of time.
constexpr Index kPrefetchBytes = Index{16} << 20;

// Runs the task of a call, whose losses are added up where `sum` is wanted: in the order of the
// images, so that threads do not change the sum.
template <typename Call, typename T>
Status run(const Call& call, SimilarityTask<T>& task, const SimilarityKernels<T>& kernels,
           double* sum) {
  const Index images = task.f.sizes[1], slots = task.f.sizes[2], channels = task.f.sizes[3];
  if (images == 0 || slots == 0) {
    if (task.statuses) std::fill_n(task.statuses, images, ImageStatus::ok);
    return {};
  }
  Status status = check_slots_of_view(slots);
  if (status.ok() && task.given_matching)
    status = check_given_matching(task.given_matching, images, slots, call.workspace);
  if (status.ok() && call.on_nonfinite == OSC_RAISE)
    status = check_finite(task.has_p ? "f" : "slots", "image", task.f, 1, call.executor);
  if (status.ok() && call.on_nonfinite == OSC_RAISE && task.has_p)
    status = check_finite("p", "image", task.p, 1, call.executor);
  if (!status.ok()) return status;

  const Plan plan = matching_plan(images, slots, channels, !task.given_matching, call.executor);
  const std::size_t part_bytes = kernels.memory(slots, channels);
  Parts parts;
  CallMemory memory(call.workspace);
  status = memory.lay_out([&](Arena& arena) {
    if (sum) task.image_sums = arena.take<double>(images);
    parts = Parts::take(arena, plan, part_bytes);
  });
  if (!status.ok()) return status;
  for_each_range(parts, images, [&](Index begin, Index end, void* part_memory) {
    kernels.run(task, begin, end, part_memory);
  });
  if (sum) *sum = std::accumulate(task.image_sums, task.image_sums + images, 0.0);
  return {};
}

template <typename T>
Status similarity_loss(const osc_similarity_loss& call, const SimilarityKernels<T>& kernels) {
  SimilarityTask<T> task{.f = view<const T, 4>(call.f, 0)};
  task.eps = or_default(call.eps, 1e-10);
  task.given_matching = elements<const Index>(call.given_matching);
  task.matching = elements<Index>(call.matching);
  task.statuses = elements<ImageStatus>(call.statuses);
  task.has_p = true;
  task.p = view<const T, 4>(call.p, 0);
  task.grad_p = gradient_view<T, 4>(call.grad_p, task.p, 0);
  task.grad_output = elements<const T>(call.grad_output);
  task.grad_output_per_slot = call.reduction == OSC_NONE;
  const Index losses = 2 * task.f.sizes[1] * task.f.sizes[2];
  if (call.reduction == OSC_MEAN) task.divisor = static_cast<double>(losses);
  std::atomic<bool> gradient_scales = sizeof(T) >= 4;
  task.gradient_scales = &gradient_scales;
  const Index bytes = losses * task.f.sizes[3] * static_cast<Index>(sizeof(T));
  task.streams = bytes > kStreamBytes;
  task.prefetches = task.grad_p.data && bytes > kPrefetchBytes;

  T* const loss = elements<T>(call.loss);
  const bool is_reduced = loss && call.reduction != OSC_NONE;
  if (!is_reduced) task.losses = loss;
  double sum = 0;
  const Status status = run(call, task, kernels, is_reduced ? &sum : nullptr);
  if (std::int32_t* const scales = elements<std::int32_t>(call.gradient_scales);
      status.ok() && scales)
    *scales = gradient_scales;
  if (status.ok() && is_reduced)
    *loss = from_double<T>(call.reduction == OSC_SUM ? sum : sum / static_cast<double>(losses));
  return status;
}

template <typename T>
Status match_slots(const osc_slot_matching& call, const SimilarityKernels<T>& kernels) {
  SimilarityTask<T> task{.f = view<const T, 4>(call.slots, 0)};
  task.eps = or_default(call.eps, 1e-10);
  task.matching = elements<Index>(call.matching);
  task.statuses = elements<ImageStatus>(call.statuses);
  return run(call, task, kernels, nullptr);
}

}  // namespace
}  // namespace osc::cpu

osc_status osc_matching_similarity_loss_per_img(const osc_similarity_loss* call) {
  using namespace osc::cpu;
  return run_call<osc_matching_similarity_loss_per_img>(
      call, [](const auto&... arguments) { return similarity_loss(arguments...); },
      similarity_kernels);
}

osc_status osc_match_slots(const osc_slot_matching* call) {
  using namespace osc::cpu;
  return run_call<osc_match_slots>(
      call, [](const auto&... arguments) { return match_slots(arguments...); }, similarity_kernels);
}
