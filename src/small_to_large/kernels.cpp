#include OSC_SIMD  // first: the kernels are written in it

// The similarity loss of small crops against large ones, image after image: units of all slots,
// their products, mutual bests, and the gradient from the units of the matches.
#include <limits>

#include "runtime/arena.hpp"
#include "runtime/strided.hpp"
#include "simd/matrix_product.hpp"
#include "simd/units.hpp"
#include "similarity/cosine_loss.hpp"
#include "small_to_large/task.hpp"

namespace osc::cpu {
namespace {

template <typename T>
class SmallToLarge {
  using A = typename Computed<T>::Type;
  using V = Simd<A>;
  using Vector = typename V::Vector;
  static constexpr Index kLanes = V::kLanes;
  static constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

 public:
  SmallToLarge(const SmallToLargeTask<T>& task, Arena& arena)
      : task_(task),
        large_crops_(task.f_large.sizes[1]),
        large_slots_(task.f_large.sizes[2]),
        small_crops_(task.p_small.sizes[1]),
        small_slots_(task.p_small.sizes[2]),
        channels_(task.p_small.sizes[3]),
        large_rows_(large_crops_ * large_slots_),
        small_rows_(small_crops_ * small_slots_),
        padded_(whole(channels_, kLanes)),
        width_(whole(large_rows_, kLanes)),
        large_units_(arena.take<A>(large_rows_ * padded_)),
        small_units_(arena.take<A>(whole(small_rows_, kRows) * padded_)),
        panel_(arena.take<A>(channels_ * width_)),
        products_(arena.take<A>(whole(small_rows_, kRows) * width_)),
        unit_gradient_(arena.take<A>(padded_)),
        greatest_(arena.take<A>(large_slots_)),
        inverse_norms_(arena.take<double>(small_rows_)),
        factors_(arena.take<double>(large_crops_ * small_crops_)),
        best_small_(arena.take<Index>(large_slots_)),
        best_large_(arena.take<Index>(small_slots_)) {}

  void run(Index begin, Index end) {
    // Kernels also read the padding after the last slot. It is set to zero because arithmetic with
    // denormal numbers would be a hundred times slower.
    for (Index i = small_rows_ * padded_; i < whole(small_rows_, kRows) * padded_; ++i)
      small_units_[i] = 0;
    for (Index c = 0; c < channels_; ++c) {
      for (Index j = large_rows_; j < width_; ++j) panel_[c * width_ + j] = 0;
    }
    for (Index image = begin; image < end; ++image) {
      const bool finite = read(image);
      if (task_.statuses) task_.statuses[image] = finite ? ImageStatus::ok : ImageStatus::nonfinite;
      if (task_.totals) {
        if (finite) {
          match(image);
        } else {
          write_no_match(image);
        }
      }
      if (task_.grad_p_small.data) {
        if (finite) {
          write_gradient(image);
        } else {
          for (Index row = 0; row < small_rows_; ++row)
            fill(target_of(image, row), static_cast<A>(kNaN));
        }
      }
    }
  }

 private:
  static constexpr Index kRows = MatrixProduct<A>::kRows;

  static Index whole(Index count, Index of) { return (count + of - 1) / of * of; }

  T* target_of(Index image, Index row) const {
    return slot_of(task_.grad_p_small, image, row / small_slots_, row % small_slots_);
  }
  Index pair(Index image, Index large_crop, Index small_crop) const {
    return (image * large_crops_ + large_crop) * small_crops_ + small_crop;
  }

  // Units. False where the image holds a NaN or an infinity.
  bool read(Index image) const {
    for (Index row = 0; row < large_rows_; ++row) {
      A* const unit = large_units_ + row * padded_;
      double inverse_norm = 0;
      if (!read_slot(slot_of(task_.f_large, image, row / large_slots_, row % large_slots_), unit,
                     inverse_norm))
        return false;
      for (Index c = 0; c < channels_ && task_.totals; ++c) panel_[c * width_ + row] = unit[c];
    }
    for (Index row = 0; row < small_rows_; ++row) {
      if (!read_slot(slot_of(task_.p_small, image, row / small_slots_, row % small_slots_),
                     small_units_ + row * padded_, inverse_norms_[row]))
        return false;
    }
    return true;
  }

  bool read_slot(const T* x, A* unit, double& inverse_norm) const {
    inverse_norm = Units<T>::read(x, channels_, task_.eps, unit);
    for (Index c = channels_; c < padded_; ++c) unit[c] = 0;
    return inverse_norm > 0 || is_finite(x, channels_);
  }

  void match(Index image) const {
    MatrixProduct<A>::template multiply<false>(small_units_, padded_, 1, small_rows_, panel_,
                                               width_, width_ / kLanes, channels_, products_,
                                               width_);
    double sum = 0;
    Index counted = 0, pairs = 0;
    for (Index a = 0; a < large_crops_; ++a) {
      for (Index b = 0; b < small_crops_; ++b) {
        const A* const products = products_ + b * small_slots_ * width_ + a * large_slots_;
        Index* const matching = task_.matching + pair(image, a, b) * small_slots_;
        const Index* const given = task_.given_matching
                                       ? task_.given_matching + pair(image, a, b) * small_slots_
                                       : nullptr;
        if (!given) find_bests(products);
        double cosines = 0;
        Index count = 0;
        for (Index s = 0; s < small_slots_; ++s) {
          const Index l = given ? given[s] : best_large_[s];
          const bool counts = l >= 0 && (given || best_small_[l] == s);
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

  // The index of the greatest product of each row and of each column. Of equal ones the first
  // counts. -1 if there is none.
  void find_bests(const A* products) const {
    constexpr A kLess = -std::numeric_limits<A>::infinity();
    for (Index l = 0; l < large_slots_; ++l) greatest_[l] = kLess;
    for (Index s = 0; s < small_slots_; ++s) {
      A greatest = kLess;
      best_large_[s] = -1;
      for (Index l = 0; l < large_slots_; ++l) {
        const A product = products[s * width_ + l];
        if (product > greatest) greatest = product, best_large_[s] = l;
        if (product > greatest_[l]) greatest_[l] = product, best_small_[l] = s;
      }
    }
  }

  void write_no_match(Index image) const {
    const Index pairs = large_crops_ * small_crops_;
    for (Index i = 0; i < pairs * small_slots_; ++i)
      task_.matching[image * pairs * small_slots_ + i] = -1;
    for (Index i = 0; i < pairs && task_.losses; ++i)
      V::store_first(task_.losses + image * pairs + i, 1, V::set(static_cast<A>(kNaN)));
    task_.totals[image] = {pairs > 0 ? kNaN : 0, 0, 0};
  }

  void write_gradient(Index image) const {
    const Index* const matching = task_.given_matching ? task_.given_matching : task_.matching;
    for (Index a = 0; a < large_crops_; ++a) {
      for (Index b = 0; b < small_crops_; ++b) {
        const Index index = pair(image, a, b);
        Index count = 0;
        for (Index s = 0; s < small_slots_; ++s) count += matching[index * small_slots_ + s] >= 0;
        double grad_output = task_.weight;
        if (task_.grad_output)
          grad_output *= static_cast<double>(V::first(V::load_first(
              task_.grad_output + (task_.grad_output_per_pair ? index : 0), 1, A(0))));
        factors_[a * small_crops_ + b] = -0.5 * grad_output / static_cast<double>(count);
      }
    }
    for (Index row = 0; row < small_rows_; ++row) write_slot(image, row, matching);
  }

  // The gradient of a slot's unit is the sum of its matches' units, each times its pair's factor;
  // relative to the largest of these, so that none vanishes on the way.
  void write_slot(Index image, Index row, const Index* matching) const {
    const Index b = row / small_slots_, s = row % small_slots_;
    const auto each_match = [&](const auto& work) {
      for (Index a = 0; a < large_crops_; ++a) {
        const Index l = matching[pair(image, a, b) * small_slots_ + s];
        if (l >= 0)
          work(factors_[a * small_crops_ + b], large_units_ + (a * large_slots_ + l) * padded_);
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
    for (Index c = 0; c < padded_; c += kLanes) V::store(unit_gradient_ + c, V::set(0));
    each_match([&](double factor, const A* unit) {
      const Vector relative = V::set(static_cast<A>(factor / largest));
      for (Index c = 0; c < padded_; c += kLanes)
        V::store(unit_gradient_ + c,
                 V::mul_add(relative, V::load(unit + c), V::load(unit_gradient_ + c)));
    });
    Units<T>::write(slot_of(task_.p_small, image, b, s), small_units_ + row * padded_,
                    unit_gradient_, channels_, task_.eps, inverse_norms_[row], {largest},
                    target_of(image, row));
  }

  void fill(T* target, A value) const {
    Index c = 0;
    for (; c + kLanes <= channels_; c += kLanes) V::store(target + c, V::set(value));
    if (c < channels_) V::store_first(target + c, channels_ - c, V::set(value));
  }

  const SmallToLargeTask<T>& task_;
  Index large_crops_, large_slots_, small_crops_, small_slots_, channels_;
  Index large_rows_, small_rows_;  // of an image
  Index padded_, width_;           // channels and rows of large crops in whole vectors
  A* large_units_;                 // [Al, L, padded_]
  A* small_units_;                 // [As, S, padded_]
  A* panel_;                       // [C, width_], the units of large crops channel by channel
  A* products_;                    // [As, S, width_]
  A* unit_gradient_;               // [padded_]
  A* greatest_;                    // [L]
  double* inverse_norms_;          // [As, S]
  double* factors_;                // [Al, As], of the gradient
  Index* best_small_;              // [L]
  Index* best_large_;              // [S]
};

template <typename T>
std::size_t memory_of(const SmallToLargeTask<T>& task) {
  Arena arena;
  SmallToLarge<T>(task, arena);
  return arena.used();
}

template <typename T>
void run(const SmallToLargeTask<T>& task, Index begin, Index end, void* memory) {
  Arena arena(memory);
  SmallToLarge<T>(task, arena).run(begin, end);
}

template <typename T>
constexpr SmallToLargeKernels<T> kKernels{memory_of<T>, run<T>};

}  // namespace

const KernelTable<SmallToLargeKernels> OSC_INSTRUCTION_SET::small_to_large_kernels{
    kKernels<double>, kKernels<float>, kKernels<float16>, kKernels<bfloat16>};

}  // namespace osc::cpu
