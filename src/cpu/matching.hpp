// Units and matching of one image: what match_slots and the loss share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "cpu/assignment_solver.hpp"
#include "cpu/vector_math.hpp"
#include "osc/assignment.hpp"
#include "osc/slots.hpp"

namespace osc::cpu {

// The units of the slots of one image, in memory that is taken once.
class SlotUnits {
 public:
  SlotUnits(std::int64_t slots, std::int64_t channels) : slots_(slots), channels_(channels), units_(2 * slots * channels) {}

  // False where the image holds a NaN or an infinity; the units are meaningless then.
  template <typename T>
  bool load(const SlotPairs<const T>& f, std::int64_t image, double eps) {
    for (std::int64_t view = 0; view < 2; ++view) {
      for (std::int64_t slot = 0; slot < slots_; ++slot) {
        const T* const x = f.at(view, image, slot);
        const Norm x_norm = norm(x, channels_);
        if (!x_norm.finite()) return false;
        const double length = x_norm.floored(eps);
        double* const unit = units_.data() + (view * slots_ + slot) * channels_;
        for (std::int64_t c = 0; c < channels_; ++c) unit[c] = static_cast<double>(x[c]) * x_norm.scale / length;
      }
    }
    return true;
  }

  const double* at(std::int64_t view, std::int64_t slot) const noexcept { return units_.data() + (view * slots_ + slot) * channels_; }
  std::int64_t slots() const noexcept { return slots_; }
  std::int64_t channels() const noexcept { return channels_; }

 private:
  std::int64_t slots_;
  std::int64_t channels_;
  std::vector<double> units_;
};

// Matches the slots of the two views of one image after another.
class SlotMatcher {
 public:
  explicit SlotMatcher(std::int64_t slots) : solver_(slots, slots) {}

  // T rounds the cosines: the similarities that are matched are of the inputs' own type.
  template <typename T>
  void match(const SlotUnits& units) {
    double* cost = solver_.costs();
    for (std::int64_t s = 0; s < units.slots(); ++s) {
      for (std::int64_t t = 0; t < units.slots(); ++t) {
        *cost++ = -static_cast<double>(static_cast<T>(dot(units.at(0, s), 1.0, units.at(1, t), units.channels())));
      }
    }
    solver_.solve();  // finite costs always have an assignment
  }

  const std::int64_t* matching() const noexcept { return solver_.column_of_row(); }          // slot of view 0 to slot of view 1
  const std::int64_t* inverse_matching() const noexcept { return solver_.row_of_column(); }  // and back

 private:
  AssignmentSolver solver_;
};

void check_eps(double eps);
Executor& executor_or_default(Executor* executor);

// About as many elements of a loop of `operations` each as are worth waking a thread for.
inline std::int64_t grain(double operations) noexcept { return static_cast<std::int64_t>(std::max(1.0, 50'000 / (operations + 1))); }

template <typename T>
bool image_is_finite(const SlotPairs<const T>& slots, std::int64_t image) noexcept {
  for (std::int64_t view = 0; view < 2; ++view) {
    for (std::int64_t slot = 0; slot < slots.slots; ++slot) {
      const T* const x = slots.at(view, image, slot);
      for (std::int64_t c = 0; c < slots.channels; ++c) {
        if (!(std::abs(x[c]) <= std::numeric_limits<T>::max())) return false;
      }
    }
  }
  return true;
}

// Throws NonFiniteError for the first image of `slots`, which the text calls `name`, that holds a NaN or an infinity.
template <typename T>
void require_finite(const SlotPairs<const T>& slots, const char* name, Executor& executor);

}  // namespace osc::cpu
