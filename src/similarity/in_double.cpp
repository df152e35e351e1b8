#include "similarity/in_double.hpp"

#include <algorithm>
#include <limits>

#include "assignment/task.hpp"
#include "runtime/element_types.hpp"
#include "runtime/finite.hpp"
#include "runtime/strided.hpp"
#include "simd/units_in_double.hpp"
#include "simd/vector_math.hpp"
#include "similarity/cosine_loss.hpp"

namespace osc::cpu {
namespace {

const AssignmentKernels<double>& kSolver = *assignment_kernels[0];  // for any processor
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// By the units of f. Cosines are rounded to the type that the kernels compute in, so that both
// match the same numbers.
template <typename T>
void match(const SimilarityTask<T>& task, SimilarityInDouble& memory) {
  const std::int64_t slots = task.f.sizes[2], channels = task.f.sizes[3];
  double* cost = memory.costs;
  for (std::int64_t s = 0; s < slots; ++s) {
    for (std::int64_t t = 0; t < slots; ++t) {
      const double cosine =
          dot(memory.units + s * channels, 1.0, memory.units + (slots + t) * channels, channels);
      *cost++ = -static_cast<double>(static_cast<typename Computed<T>::Type>(cosine));
    }
  }
  AssignmentStatus status{};  // finite costs always have an assignment
  kSolver.run({contiguous<const double>(memory.costs, {1, slots, slots}), false, memory.matching,
               memory.matching + slots, &status},
              0, 1, memory.solver);
}

// Of one slot, whose unit is in memory, against the unit of its target.
template <typename T>
void write_gradient(const SimilarityTask<T>& task, std::int64_t view, std::int64_t image,
                    std::int64_t slot, const SimilarityInDouble& memory, const double* target) {
  const std::int64_t index = (view * task.f.sizes[1] + image) * task.f.sizes[2] + slot;
  Ratio factor{1, -2 * task.divisor};
  if (task.grad_output)
    factor.numerator = to_double(task.grad_output[task.grad_output_per_slot ? index : 0]);
  const bool scales = gradient_in_double<T>(slot_of(task.p, view, image, slot), memory.unit, target,
                                            task.f.sizes[3], task.eps, factor,
                                            slot_of(task.grad_p, view, image, slot));
  if (sizeof(T) >= 4 && task.gradient_scales && !scales)
    task.gradient_scales->store(false, std::memory_order_relaxed);
}

}  // namespace

std::size_t SimilarityInDouble::solver_memory(std::int64_t slots) noexcept {
  return kSolver.memory(slots, slots);
}

template <typename T>
void similarity_in_double(const SimilarityTask<T>& task, std::int64_t image,
                          SimilarityInDouble& memory, const std::int32_t* matching,
                          const std::int32_t* inverse_matching) noexcept {
  const std::int64_t images = task.f.sizes[1], slots = task.f.sizes[2], channels = task.f.sizes[3];
  const std::int64_t* const given =
      task.given_matching ? task.given_matching + image * slots : nullptr;
  const bool finite = !(given && given[0] < 0) && is_finite(slice(task.f, 1, image)) &&
                      (!task.has_p || is_finite(slice(task.p, 1, image)));
  if (!finite && task.statuses) task.statuses[image] = ImageStatus::nonfinite;
  for (std::int64_t row = 0; row < 2 * slots && finite; ++row)
    unit_in_double(slot_of(task.f, row / slots, image, row % slots), channels, task.eps,
                   memory.units + row * channels);
  if (finite && matching) {
    std::copy_n(matching, slots, memory.matching);
    std::copy_n(inverse_matching, slots, memory.matching + slots);
  } else if (finite && given) {
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      memory.matching[slot] = given[slot];
      memory.matching[slots + given[slot]] = slot;
    }
  } else if (finite) {
    match(task, memory);
  }
  if (task.matching) {
    for (std::int64_t slot = 0; slot < slots; ++slot)
      task.matching[image * slots + slot] = finite ? memory.matching[slot] : -1;
  }
  if (!task.has_p) return;

  double image_sum = 0;
  for (std::int64_t view = 0; view < 2; ++view) {
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      double loss = kNaN;
      if (finite) {
        const double* const target =
            memory.units + ((1 - view) * slots + memory.matching[view * slots + slot]) * channels;
        unit_in_double(slot_of(task.p, view, image, slot), channels, task.eps, memory.unit);
        loss = loss_of_cosine(dot(memory.unit, 1.0, target, channels));
        if (task.grad_p.data) write_gradient(task, view, image, slot, memory, target);
      } else if (task.grad_p.data) {
        std::fill_n(slot_of(task.grad_p, view, image, slot), channels, from_double<T>(kNaN));
      }
      if (task.losses) task.losses[(view * images + image) * slots + slot] = from_double<T>(loss);
      image_sum += loss;
    }
  }
  if (task.image_sums) task.image_sums[image] = image_sum;
}

template <typename T>
void similarity_gradient_in_double(const SimilarityTask<T>& task, std::int64_t view,
                                   std::int64_t image, std::int64_t slot, std::int64_t target,
                                   const SimilarityInDouble& memory) noexcept {
  const std::int64_t channels = task.f.sizes[3];
  unit_in_double(slot_of(task.f, 1 - view, image, target), channels, task.eps, memory.units);
  unit_in_double(slot_of(task.p, view, image, slot), channels, task.eps, memory.unit);
  write_gradient(task, view, image, slot, memory, memory.units);
}

#define OSC_INSTANTIATE(T)                                                                        \
  template void similarity_in_double(const SimilarityTask<T>&, std::int64_t, SimilarityInDouble&, \
                                     const std::int32_t*, const std::int32_t*) noexcept;          \
  template void similarity_gradient_in_double(const SimilarityTask<T>&, std::int64_t,             \
                                              std::int64_t, std::int64_t, std::int64_t,           \
                                              const SimilarityInDouble&) noexcept;
OSC_FOR_EACH_ELEMENT_TYPE(OSC_INSTANTIATE)
#undef OSC_INSTANTIATE

}  // namespace osc::cpu
