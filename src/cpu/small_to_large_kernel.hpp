// The similarity loss of small crops against large ones, image after image: units of all slots,
// their products, mutual bests, and the gradient from the units of the matches. Compiled once an
// instruction set; see cpu/kernels.hpp.
#pragma once

#include <cstdint>
#include <limits>

#include "cpu/arena.hpp"
#include "cpu/cosine_loss.hpp"
#include "cpu/kernels.hpp"
#include "cpu/matrix_product.hpp"
#include "cpu/similarity_in_double.hpp"
#include "cpu/unit_kernel.hpp"

namespace osc::cpu {
namespace {

template <typename T>
class SmallToLarge {
  using A = typename Computed<T>::Type;
  using V = Simd<A>;
  using Vector = typename V::Vector;
  static constexpr std::int64_t kLanes = V::kLanes;
  static constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

 public:
  SmallToLarge(const SmallToLargeTask<T>& task, Arena& arena)
      : task_(task),
        large_rows_(task.large_crops * task.large_slots),
        small_rows_(task.small_crops * task.small_slots),
        padded_(whole(task.channels, kLanes)),
        width_(whole(large_rows_, kLanes)),
        large_units_(arena.take<A>(large_rows_ * padded_)),
        small_units_(arena.take<A>(whole(small_rows_, kRows) * padded_)),
        panel_(arena.take<A>(task.channels * width_)),
        products_(arena.take<A>(whole(small_rows_, kRows) * width_)),
        slope_(arena.take<A>(padded_)),
        greatest_(arena.take<A>(task.large_slots)),
        inverse_norms_(arena.take<double>(small_rows_)),
        factors_(arena.take<double>(task.large_crops * task.small_crops)),
        best_small_(arena.take<std::int64_t>(task.large_slots)),
        best_large_(arena.take<std::int64_t>(task.small_slots)) {}

  void run(std::int64_t begin, std::int64_t end) {
    // What lies beyond the last slot is computed with: left as it is, it may be denormal, and a
    // hundred times as slow.
    for (std::int64_t i = small_rows_ * padded_; i < whole(small_rows_, kRows) * padded_; ++i)
      small_units_[i] = 0;
    for (std::int64_t c = 0; c < task_.channels; ++c) {
      for (std::int64_t j = large_rows_; j < width_; ++j) panel_[c * width_ + j] = 0;
    }
    for (std::int64_t image = begin; image < end; ++image) {
      const bool finite = read(image);
      if (task_.statuses) task_.statuses[image] = finite ? ImageStatus::ok : ImageStatus::nonfinite;
      if (!task_.given_matching) {
        if (finite) {
          match(image);
        } else {
          write_no_match(image);
        }
      }
      if (task_.has_gradient) {
        if (finite) {
          write_gradient(image);
        } else {
          for (std::int64_t row = 0; row < small_rows_; ++row)
            fill(target_of(image, row), static_cast<A>(kNaN));
        }
      }
    }
  }

 private:
  static constexpr std::int64_t kRows = MatrixProduct<A>::kRows;

  static std::int64_t whole(std::int64_t count, std::int64_t of) {
    return (count + of - 1) / of * of;
  }

  template <typename Element>
  static Element* slot_of(const SlotRows<Element>& rows, std::int64_t image, std::int64_t crop,
                          std::int64_t slot) {
    return rows.data + image * rows.image_stride + crop * rows.view_stride +
           slot * rows.slot_stride;
  }
  T* target_of(std::int64_t image, std::int64_t row) const {
    return slot_of(task_.gradient, image, row / task_.small_slots, row % task_.small_slots);
  }
  std::int64_t pair(std::int64_t image, std::int64_t large_crop, std::int64_t small_crop) const {
    return (image * task_.large_crops + large_crop) * task_.small_crops + small_crop;
  }

  // Units. False where the image holds a NaN or an infinity.
  bool read(std::int64_t image) const {
    for (std::int64_t row = 0; row < large_rows_; ++row) {
      A* const unit = large_units_ + row * padded_;
      double inverse_norm = 0;
      if (!read_slot(slot_of(task_.f, image, row / task_.large_slots, row % task_.large_slots),
                     unit, inverse_norm))
        return false;
      for (std::int64_t c = 0; c < task_.channels && !task_.given_matching; ++c)
        panel_[c * width_ + row] = unit[c];
    }
    for (std::int64_t row = 0; row < small_rows_; ++row) {
      if (!read_slot(slot_of(task_.p, image, row / task_.small_slots, row % task_.small_slots),
                     small_units_ + row * padded_, inverse_norms_[row]))
        return false;
    }
    return true;
  }

  bool read_slot(const T* x, A* unit, double& inverse_norm) const {
    inverse_norm = Units<T>::read(x, task_.channels, task_.eps, unit);
    for (std::int64_t c = task_.channels; c < padded_; ++c) unit[c] = 0;
    return inverse_norm > 0 || slot_is_finite(x, task_.channels);
  }

  void match(std::int64_t image) const {
    MatrixProduct<A>::template multiply<false>(small_units_, padded_, 1, small_rows_, panel_,
                                               width_, width_ / kLanes, task_.channels, products_,
                                               width_);
    double sum = 0;
    std::int64_t counted = 0, pairs = 0;
    for (std::int64_t a = 0; a < task_.large_crops; ++a) {
      for (std::int64_t b = 0; b < task_.small_crops; ++b) {
        const A* const products =
            products_ + b * task_.small_slots * width_ + a * task_.large_slots;
        std::int64_t* const matching = task_.matching + pair(image, a, b) * task_.small_slots;
        find_bests(products);
        double cosines = 0;
        std::int64_t count = 0;
        for (std::int64_t s = 0; s < task_.small_slots; ++s) {
          const std::int64_t l = best_large_[s];
          const bool counts = l >= 0 && best_small_[l] == s;
          matching[s] = counts ? l : -1;
          if (!counts) continue;
          cosines += static_cast<double>(products[s * width_ + l]);
          ++count;
        }
        const double loss =
            count == 0 ? kNaN : loss_of_cosine(cosines / static_cast<double>(count));
        if (task_.losses)
          V::store_first(task_.losses + pair(image, a, b), 1, V::set(static_cast<A>(loss)));
        if (count == 0) continue;
        sum += loss;
        counted += count;
        ++pairs;
      }
    }
    task_.totals[image] = {sum, counted, pairs};
  }

  // The place of the greatest product of each row and of each column, the first of equal ones; -1
  // where there is none.
  void find_bests(const A* products) const {
    constexpr A kLess = -std::numeric_limits<A>::infinity();
    for (std::int64_t l = 0; l < task_.large_slots; ++l) greatest_[l] = kLess;
    for (std::int64_t s = 0; s < task_.small_slots; ++s) {
      A greatest = kLess;
      best_large_[s] = -1;
      for (std::int64_t l = 0; l < task_.large_slots; ++l) {
        const A product = products[s * width_ + l];
        if (product > greatest) greatest = product, best_large_[s] = l;
        if (product > greatest_[l]) greatest_[l] = product, best_small_[l] = s;
      }
    }
  }

  void write_no_match(std::int64_t image) const {
    const std::int64_t pairs = task_.large_crops * task_.small_crops;
    for (std::int64_t i = 0; i < pairs * task_.small_slots; ++i)
      task_.matching[image * pairs * task_.small_slots + i] = -1;
    for (std::int64_t i = 0; i < pairs && task_.losses; ++i)
      V::store_first(task_.losses + image * pairs + i, 1, V::set(static_cast<A>(kNaN)));
    task_.totals[image] = {kNaN, 0, 0};
  }

  void write_gradient(std::int64_t image) const {
    const std::int64_t* const matching =
        task_.given_matching ? task_.given_matching : task_.matching;
    for (std::int64_t a = 0; a < task_.large_crops; ++a) {
      for (std::int64_t b = 0; b < task_.small_crops; ++b) {
        const std::int64_t index = pair(image, a, b);
        std::int64_t count = 0;
        for (std::int64_t s = 0; s < task_.small_slots; ++s)
          count += matching[index * task_.small_slots + s] >= 0;
        double incoming = task_.weight;
        if (task_.incoming)
          incoming *= static_cast<double>(V::first(
              V::load_first(task_.incoming + (task_.incoming_per_pair ? index : 0), 1, A(0))));
        factors_[a * task_.small_crops + b] = -0.5 * incoming / static_cast<double>(count);
      }
    }
    for (std::int64_t row = 0; row < small_rows_; ++row) write_slot(image, row, matching);
  }

  // The gradient of a slot's unit is the sum of its matches' units, each times its pair's factor;
  // relative to the largest of these, so that none vanishes on the way.
  void write_slot(std::int64_t image, std::int64_t row, const std::int64_t* matching) const {
    const std::int64_t b = row / task_.small_slots, s = row % task_.small_slots;
    const auto each_match = [&](const auto& work) {
      for (std::int64_t a = 0; a < task_.large_crops; ++a) {
        const std::int64_t l = matching[pair(image, a, b) * task_.small_slots + s];
        if (l >= 0)
          work(factors_[a * task_.small_crops + b],
               large_units_ + (a * task_.large_slots + l) * padded_);
      }
    };
    double largest = 0;
    each_match([&](double factor, const A*) {
      if (!(__builtin_fabs(factor) <= largest)) largest = __builtin_fabs(factor);  // NaN, too
    });
    if (largest == 0) {
      fill(target_of(image, row), A(0));
      return;
    }
    for (std::int64_t c = 0; c < padded_; c += kLanes) V::store(slope_ + c, V::set(0));
    each_match([&](double factor, const A* unit) {
      const Vector relative = V::set(static_cast<A>(factor / largest));
      for (std::int64_t c = 0; c < padded_; c += kLanes)
        V::store(slope_ + c, V::mul_add(relative, V::load(unit + c), V::load(slope_ + c)));
    });
    Units<T>::write(slot_of(task_.p, image, b, s), small_units_ + row * padded_, slope_,
                    task_.channels, task_.eps, inverse_norms_[row], {largest},
                    target_of(image, row));
  }

  void fill(T* target, A value) const {
    std::int64_t c = 0;
    for (; c + kLanes <= task_.channels; c += kLanes) V::store(target + c, V::set(value));
    if (c < task_.channels) V::store_first(target + c, task_.channels - c, V::set(value));
  }

  const SmallToLargeTask<T>& task_;
  std::int64_t large_rows_, small_rows_;  // of an image
  std::int64_t padded_, width_;           // channels and rows of large crops in whole vectors
  A* large_units_;                        // [Al, L, padded_]
  A* small_units_;                        // [As, S, padded_]
  A* panel_;                  // [C, width_], the units of large crops channel by channel
  A* products_;               // [As, S, width_]
  A* slope_;                  // [padded_]
  A* greatest_;               // [L]
  double* inverse_norms_;     // [As, S]
  double* factors_;           // [Al, As], of the gradient
  std::int64_t* best_small_;  // [L]
  std::int64_t* best_large_;  // [S]
};

template <typename T>
std::size_t small_to_large_memory(const SmallToLargeTask<T>& task) {
  Arena arena;
  SmallToLarge<T>(task, arena);
  return arena.used();
}

template <typename T>
void small_to_large(const SmallToLargeTask<T>& task, std::int64_t begin, std::int64_t end,
                    void* memory) {
  Arena arena(memory);
  SmallToLarge<T>(task, arena).run(begin, end);
}

}  // namespace
}  // namespace osc::cpu
