#include "cpu/similarity_in_double.hpp"

#include <algorithm>
#include <limits>

#include "cpu/cosine_loss.hpp"
#include "cpu/vector_math.hpp"
#include "element_types.hpp"

namespace osc::cpu {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

template <typename T>
T* slot_of(const SlotRows<T>& rows, std::int64_t view, std::int64_t image, std::int64_t slot) {
  return rows.data + view * rows.view_stride + image * rows.image_stride + slot * rows.slot_stride;
}

// False where x holds a NaN or an infinity; its unit is meaningless then.
template <typename T>
bool load_unit(const T* x, std::int64_t channels, double eps, double* unit) {
  const Norm x_norm = norm(x, channels);
  const double length = x_norm.floored(eps);
  for (std::int64_t c = 0; c < channels; ++c) unit[c] = to_double(x[c]) * x_norm.scale / length;
  return x_norm.finite();
}

template <typename T>
bool load_units(const SimilarityTask<T>& task, std::int64_t image, double* units) {
  for (std::int64_t row = 0; row < 2 * task.slots; ++row) {
    if (!load_unit(slot_of(task.f, row / task.slots, image, row % task.slots), task.channels,
                   task.eps, units + row * task.channels))
      return false;
  }
  return true;
}

// Cosines are rounded to the type that the other way computes in: what is matched there is of that
// type, too.
template <typename T>
void match(const SimilarityTask<T>& task, SimilarityInDouble& memory) {
  const std::int64_t slots = task.slots, channels = task.channels;
  double* cost = memory.costs;
  for (std::int64_t s = 0; s < slots; ++s) {
    for (std::int64_t t = 0; t < slots; ++t) {
      const double cosine =
          dot(memory.units + s * channels, 1.0, memory.units + (slots + t) * channels, channels);
      *cost++ = sizeof(T) == 8 ? -cosine : -static_cast<double>(static_cast<float>(cosine));
    }
  }
  AssignmentStatus status{};  // finite costs always have an assignment
  baseline_kernels.f64.assign({memory.costs, slots, slots, slots * slots, slots, 1, false,
                               memory.matching, memory.matching + slots, &status},
                              0, 1, memory.assignment);
}

// One slot of p against the unit of its target: its cosine.
template <typename T>
double cosine_of(const T* p, const Norm& p_norm, const double* unit, std::int64_t channels,
                 double eps) {
  return dot(p, p_norm.scale, unit, channels) / p_norm.floored(eps);
}

// Its gradient, to where the task has it.
template <typename T>
void write_gradient(const SimilarityTask<T>& task, std::int64_t view, std::int64_t image,
                    std::int64_t slot, const Norm& p_norm, const double* unit, double cosine) {
  const T* const p = slot_of(task.p, view, image, slot);
  T* const gradient = slot_of(task.gradient, view, image, slot);
  const std::int64_t index =
      task.incoming_per_slot ? (view * task.images + image) * task.slots + slot : 0;
  Product factor(-0.5 * task.weight);
  if (task.incoming) factor.times(to_double(task.incoming[index]));
  if (p_norm.exceeds(task.eps)) {
    factor.over(p_norm.length).times(p_norm.scale);
    for (std::int64_t c = 0; c < task.channels; ++c) {
      const double along = cosine * (to_double(p[c]) * p_norm.scale / p_norm.length);
      gradient[c] = from_double<T>(factor.of(unit[c] - along));
    }
  } else {
    factor.over(task.eps);
    for (std::int64_t c = 0; c < task.channels; ++c)
      gradient[c] = from_double<T>(factor.of(unit[c]));
  }
  if constexpr (sizeof(T) >= 4) {
    if (task.gradient_scales && !factor.template is_well_within<T>())
      task.gradient_scales->store(false, std::memory_order_relaxed);
  }
}

}  // namespace

template <typename T>
void similarity_in_double(const SimilarityTask<T>& task, std::int64_t image,
                          SimilarityInDouble& memory, const std::int32_t* matching,
                          const std::int32_t* inverse_matching) noexcept {
  const std::int64_t slots = task.slots;
  const std::int64_t* const given =
      task.given_matching ? task.given_matching + image * slots : nullptr;
  const bool finite = !(given && given[0] < 0) && load_units(task, image, memory.units) &&
                      (!task.has_p || image_is_finite(task.p, slots, task.channels, image));
  if (!finite && task.statuses) task.statuses[image] = ImageStatus::nonfinite;
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
      const std::int64_t index = (view * task.images + image) * slots + slot;
      double loss = kNaN;
      if (finite) {
        const double* const target =
            memory.units +
            ((1 - view) * slots + memory.matching[view * slots + slot]) * task.channels;
        const T* const p = slot_of(task.p, view, image, slot);
        const Norm p_norm = norm(p, task.channels);
        const double cosine = cosine_of(p, p_norm, target, task.channels, task.eps);
        loss = loss_of_cosine(cosine);
        if (task.has_gradient) write_gradient(task, view, image, slot, p_norm, target, cosine);
      } else if (task.has_gradient) {
        std::fill_n(slot_of(task.gradient, view, image, slot), task.channels, from_double<T>(kNaN));
      }
      if (task.losses) task.losses[index] = from_double<T>(loss);
      image_sum += loss;
    }
  }
  if (task.image_sums) task.image_sums[image] = image_sum;
}

template <typename T>
void similarity_gradient_in_double(const SimilarityTask<T>& task, std::int64_t view,
                                   std::int64_t image, std::int64_t slot, std::int64_t target,
                                   double* unit) noexcept {
  const T* const p = slot_of(task.p, view, image, slot);
  const Norm p_norm = norm(p, task.channels);
  load_unit(slot_of(task.f, 1 - view, image, target), task.channels, task.eps, unit);
  write_gradient(task, view, image, slot, p_norm, unit,
                 cosine_of(p, p_norm, unit, task.channels, task.eps));
}

template <typename T>
bool image_is_finite(const SlotRows<T>& rows, std::int64_t slots, std::int64_t channels,
                     std::int64_t image) noexcept {
  for (std::int64_t view = 0; view < 2; ++view) {
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      if (!slot_is_finite(slot_of(rows, view, image, slot), channels)) return false;
    }
  }
  return true;
}

template <typename T>
bool slot_is_finite(const T* x, std::int64_t channels) noexcept {
  double poison = 0;
  for (std::int64_t c = 0; c < channels; ++c) poison += to_double(x[c]) * 0;
  return poison == 0;
}

#define OSC_INSTANTIATE(T)                                                                        \
  template void similarity_in_double(const SimilarityTask<T>&, std::int64_t, SimilarityInDouble&, \
                                     const std::int32_t*, const std::int32_t*) noexcept;          \
  template void similarity_gradient_in_double(const SimilarityTask<T>&, std::int64_t,             \
                                              std::int64_t, std::int64_t, std::int64_t,           \
                                              double*) noexcept;                                  \
  template bool image_is_finite(const SlotRows<const T>&, std::int64_t, std::int64_t,             \
                                std::int64_t) noexcept;                                           \
  template bool slot_is_finite(const T*, std::int64_t) noexcept;
OSC_FOR_EACH_ELEMENT_TYPE(OSC_INSTANTIATE)
#undef OSC_INSTANTIATE

}  // namespace osc::cpu
