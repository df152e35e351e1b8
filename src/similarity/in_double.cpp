#include "similarity/in_double.hpp"

#include "runtime/element_types.hpp"
#include "runtime/strided.hpp"
#include "simd/units_in_double.hpp"
#include "simd/vector_math.hpp"

namespace osc::cpu {

template <typename T>
double compare_in_double(const SimilarityTask<T>& task, Index view, Index image, Index slot,
                         Index target, double* memory) noexcept {
  const Index channels = task.f.sizes[3];
  double *const unit = memory, *const target_unit = memory + channels;
  const T* const x = slot_of(task.p, view, image, slot);
  unit_in_double(x, channels, task.eps, unit);
  unit_in_double(slot_of(task.f, 1 - view, image, target), channels, task.eps, target_unit);
  if (task.grad_p.data) {
    const Index index = (view * task.f.sizes[1] + image) * task.f.sizes[2] + slot;
    Ratio factor{1, -2 * task.divisor};
    if (task.grad_output)
      factor.numerator = to_double(task.grad_output[task.grad_output_per_slot ? index : 0]);
    const bool scales = gradient_in_double<T>(x, unit, target_unit, channels, task.eps, factor,
                                              slot_of(task.grad_p, view, image, slot));
    if (sizeof(T) >= 4 && task.gradient_scales && !scales)
      task.gradient_scales->store(false, std::memory_order_relaxed);
  }
  return dot(unit, target_unit, channels);
}

#define OSC_INSTANTIATE(T)                                                                \
  template double compare_in_double(const SimilarityTask<T>&, Index, Index, Index, Index, \
                                    double*) noexcept;
OSC_FOR_EACH_ELEMENT_TYPE(OSC_INSTANTIATE)
#undef OSC_INSTANTIATE

}  // namespace osc::cpu
