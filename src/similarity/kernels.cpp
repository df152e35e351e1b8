#include OSC_SIMD  // first: the kernels are written in it

// The similarity loss, image after image, so that what an image needs stays in the caches:
//
//   read     reads f once: the squares of its slots, and a copy in the type that is computed in if
//            a slot has 16-bit channels or does not fill whole vectors
//   match    S x S cosines and their assignment, which may be found together with those of some
//            more images
//   finish   reads p once from memory: its squares and its products with the matched slots; then,
//            from the nearest cache, the gradient  a * target + b * p
//
// An image with slots of f whose squares may have overflowed or vanished is computed from their
// units. A slot of p of which that is true, or its gradient, is left to compare_in_double().
#include <cstdint>
#include <limits>

#include "assignment/assigner.hpp"
#include "runtime/arena.hpp"
#include "runtime/strided.hpp"
#include "simd/units.hpp"
#include "similarity/cosine_loss.hpp"
#include "similarity/in_double.hpp"
#include "similarity/task.hpp"

namespace osc::cpu {
namespace {

template <typename T>
class Similarity {
  using A = typename Computed<T>::Type;
  using V = Simd<A>;
  using Vector = typename V::Vector;
  static constexpr Index kLanes = V::kLanes;
  static constexpr bool kReadInPlace = sizeof(T) == sizeof(A);
  // Gradients in this range lose nothing if one of their terms is smaller.
  static constexpr double kLeastGradient = sizeof(A) == 4 ? 0x1p-70 : 0x1p-500,
                          kLargestGradient = sizeof(A) == 4 ? 0x1p100 : 0x1p960;
  // Above it a product of two inverse norms could vanish.
  static constexpr double kLargestEps = sizeof(A) == 4 ? 0x1p40 : 0x1p400;
  static constexpr Index kMostPending = Assigner<A>::kMostPending;
  // The bytes of pending slots, which are to stay in the second cache.
  static constexpr Index kPendingBytes = Index{640} << 10;
  // An image while its assignment is not known yet.
  struct Image {
    Index index;
    const A** rows;  // [2S], the slots of f in the order (view, slot), `padded_` channels each
    A* copies;       // [2S, padded_]
    double* inverse_norm;  // [2S], 1 / max(norm, eps); 0 of a zero slot
  };

 public:
  Similarity(const SimilarityTask<T>& task, Arena& arena)
      : task_(task),
        slots_(task.f.sizes[2]),
        channels_(task.f.sizes[3]),
        padded_((channels_ + kLanes - 1) / kLanes * kLanes),
        in_place_(kReadInPlace && padded_ == channels_),
        most_pending_(images_pending()),
        is_usual_eps_(task.eps <= kLargestEps),
        weight_(1 / task.divisor),
        widened_(arena.take<A>(kReadInPlace ? 0 : padded_)),
        matching_(arena.take<std::int32_t>(slots_)),
        inverse_matching_(arena.take<std::int32_t>(slots_)),
        assigner_(arena, slots_, slots_, most_pending_),
        units_(arena.take<A>(2 * slots_, padded_)),
        in_double_(arena.take<double>(2, channels_)) {
    inverse_ = arena.take<A>(assigner_.stride());
    arena.take_each(most_pending_, [&](Arena& piece, Index i) {
      images_[i].rows = piece.take<const A*>(2 * slots_);
      images_[i].copies = piece.take<A>(in_place_ ? 0 : 2 * slots_ * padded_);
      images_[i].inverse_norm = piece.take<double>(2 * slots_);
    });
  }

  void run(Index begin, Index end) {
    // Kernels also read the padding after the last slot. It is set to zero because arithmetic with
    // denormal numbers would be a hundred times slower.
    for (Index c = 0; c < assigner_.stride(); ++c) inverse_[c] = 0;
    for (Index i = 0; i < most_pending_; ++i) {
      for (Index k = 0; k < slots_ * assigner_.stride(); ++k) assigner_.problem(i).costs[k] = 0;
    }
    Index pending = 0;
    for (Index index = begin; index < end; ++index) {
      Image& image = images_[pending];
      image.index = index;
      if (task_.statuses) task_.statuses[index] = ImageStatus::ok;
      const bool is_ordinary = read(image);
      if ((task_.given_matching && task_.given_matching[index * slots_] < 0) ||
          (!is_ordinary && !read_units(image))) {
        write_masked(index);
      } else if (task_.given_matching) {
        finish_as_given(image);
      } else if (match(image, pending)) {
        finish(image, assigner_.problem(pending).column_of_row,
               assigner_.problem(pending).row_of_column);
      } else if (++pending == most_pending_ || !is_ordinary) {
        // An image that is not ordinary uses units_, which the next such image overwrites.
        finish_pending(pending);
        pending = 0;
      }
    }
    finish_pending(pending);
    if (task_.streams) fence_streams();
  }

 private:
  // The number of images that fit in the second cache.
  Index images_pending() const {
    if (!Assigner<A>::is_small(slots_)) return 1;
    const Index images = kPendingBytes / (2 * slots_ * padded_ * static_cast<Index>(sizeof(A)) + 1);
    return images < 1 ? 1 : images < kMostPending ? images : kMostPending;
  }

  // Loads a slot that will be read soon into the caches, while another image is computed.
  void prefetch(const View<const T, 4>& rows, Index image, Index row) const {
    const T* const x = slot_of(rows, row / slots_, image, row % slots_);
    constexpr Index kLine = 64 / sizeof(T);
    for (Index c = 0; c < channels_; c += kLine) __builtin_prefetch(x + c, 0, 2);
  }

  // f of an image. False: a slot is not finite, or its squares are not exact.
  bool read(Image& image) const {
    if (!is_usual_eps_) return false;
    for (Index view = 0; view < 2; ++view) {
      const T* x = slot_of(task_.f, view, image.index, 0);
      for (Index slot = 0; slot < slots_; ++slot, x += task_.f.strides[2]) {
        if (!read_slot(image, x, view * slots_ + slot)) return false;
      }
    }
    return true;
  }

  // Reads one slot of f: sets its row and its inverse norm.
  [[gnu::always_inline]] bool read_slot(Image& image, const T* x, Index row) const {
    A* const copy = in_place_ ? nullptr : image.copies + row * padded_;
    const A squares = Units<T>::squares(x, channels_, copy);
    if constexpr (kReadInPlace) image.rows[row] = copy ? copy : x;
    if constexpr (!kReadInPlace) image.rows[row] = copy;
    if (Units<T>::is_exact(squares)) {
      const double length = __builtin_sqrt(static_cast<double>(squares));
      image.inverse_norm[row] = 1 / (length > task_.eps ? length : task_.eps);
      return true;
    }
    image.inverse_norm[row] = 0;
    return squares == 0 && is_zero(x);
  }

  // The units of f of an image. False: a slot is not finite.
  bool read_units(Image& image) const {
    for (Index row = 0; row < 2 * slots_; ++row) {
      const T* const x = slot_of(task_.f, row / slots_, image.index, row % slots_);
      A* const unit = units_ + row * padded_;
      if (!is_finite(x, channels_)) return false;
      unit_in_double(x, channels_, task_.eps, unit);
      for (Index c = channels_; c < padded_; ++c) unit[c] = 0;
      image.rows[row] = unit;
      image.inverse_norm[row] = 1;
    }
    return true;
  }

  // The results of an image that is not finite or has no matching.
  [[gnu::noinline, gnu::cold]] void write_masked(Index image) const {
    constexpr A kNaN = std::numeric_limits<A>::quiet_NaN();
    if (task_.statuses) task_.statuses[image] = ImageStatus::nonfinite;
    write_indices(matching_, slots_, false,
                  task_.matching ? task_.matching + image * slots_ : nullptr);
    if (task_.image_sums) task_.image_sums[image] = static_cast<double>(kNaN);
    for (Index row = 0; row < 2 * slots_; ++row) {
      const Index view = row / slots_, slot = row % slots_;
      if (task_.losses)
        V::store_first(task_.losses + (view * task_.f.sizes[1] + image) * slots_ + slot, 1,
                       V::set(kNaN));
      for (Index c = 0; task_.grad_p.data && c < channels_; ++c)
        V::store_first(slot_of(task_.grad_p, view, image, slot) + c, 1, V::set(kNaN));
    }
  }

  bool is_zero(const T* x) const {
    Vector highest = V::set(0);
    for (Index c = 0; c < channels_; c += kLanes)
      highest = V::max(highest, V::abs(Units<T>::load(x + c, channels_ - c)));
    return V::first(V::greatest(highest)) == 0;
  }

  // The assignment of the image, with negated cosines as costs. True if it is found at once.
  bool match(const Image& image, Index i) {
    FastProblem<A>& problem = assigner_.problem(i);
    multiply(image, problem.costs);
    for (Index slot = 0; slot < slots_; ++slot)
      inverse_[slot] = static_cast<A>(image.inverse_norm[slots_ + slot]);
    const Begun begun = assigner_.begin(i, [&](Index s, Index k) {
      const Vector factor = V::set(static_cast<A>(-image.inverse_norm[s]));
      return V::mul(V::load(problem.costs + s * assigner_.stride() + k * kLanes),
                    V::mul(factor, V::load(inverse_ + k * kLanes)));
    });
    // Finite costs always have an assignment.
    if (begun == Begun::contested) assigner_.solve_by_crouse(packed(i), i);
    return begun == Begun::solved || begun == Begun::contested ||
           (!Assigner<A>::is_small(slots_) && assigner_.solve_if_short(packed(i), i));
  }

  CostRows<A> packed(Index i) { return {assigner_.problem(i).costs, assigner_.stride(), A(1)}; }

  void finish_pending(Index count) {
    assigner_.reduce(count);
    for (Index i = 0; i < count; ++i) {
      if (!assigner_.finish(i)) assigner_.solve_by_crouse(packed(i), i);
      finish(images_[i], assigner_.problem(i).column_of_row, assigner_.problem(i).row_of_column);
    }
  }

  // All products of slots of the two views, in tiles. Meanwhile p may come from memory.
  void multiply(const Image& image, A* products) const {
    const Index stride = assigner_.stride();
    const Index tiles =
        ((slots_ + kTileRows - 1) / kTileRows) * ((slots_ + kTileColumns - 1) / kTileColumns);
    const Index prefetched =
        task_.prefetches ? (2 * slots_ + tiles - 1) / tiles : 0;  // slots a tile
    Index row = 0;
    for (Index s = 0; s < slots_; s += kTileRows) {
      const A* left[kTileRows];
      for (Index i = 0; i < kTileRows; ++i)
        left[i] = image.rows[s + i < slots_ ? s + i : slots_ - 1];
      for (Index t = 0; t < slots_; t += kTileColumns) {
        const A* right[kTileColumns];
        for (Index j = 0; j < kTileColumns; ++j)
          right[j] = image.rows[slots_ + (t + j < slots_ ? t + j : slots_ - 1)];
        for (const Index end = row + prefetched < 2 * slots_ ? row + prefetched : 2 * slots_;
             row < end && prefetched > 0; ++row)
          prefetch(task_.p, image.index, row);
        alignas(64) A tile[kLanes];
        multiply_tile(left, right, padded_, tile);
        for (Index i = 0; i < kTileRows && s + i < slots_; ++i) {
          for (Index j = 0; j < kTileColumns; ++j)
            products[(s + i) * stride + t + j] = tile[i * kTileColumns + j];
        }
      }
    }
  }

  static constexpr Index kTileColumns = kLanes >= 8   ? 4
                                        : kLanes >= 4 ? 2
                                                      : 1,
                         kTileRows = kLanes / kTileColumns;

  // As many products as a vector has lanes, so that their sums fill one vector. Every product adds
  // its channels in the same order, wherever it lies in a tile: equal slots have equal products. A
  // function of its own, so that nothing else competes for the registers.
  [[gnu::noinline]] static void multiply_tile(const A* const (&left)[kTileRows],
                                              const A* const (&right)[kTileColumns], Index channels,
                                              A* tile) {
    Vector products[kLanes];
    for (Index k = 0; k < kLanes; ++k) products[k] = V::set(0);
    for (Index c = 0; c < channels; c += kLanes) {
      Vector b[kTileColumns];
      for (Index j = 0; j < kTileColumns; ++j) b[j] = V::load(right[j] + c);
      for (Index i = 0; i < kTileRows; ++i) {
        const Vector a = V::load(left[i] + c);
        for (Index j = 0; j < kTileColumns; ++j)
          products[i * kTileColumns + j] = V::mul_add(a, b[j], products[i * kTileColumns + j]);
      }
    }
    V::store(tile, V::sums(products));
  }

  void finish_as_given(const Image& image) {
    const Index* const given = task_.given_matching + image.index * slots_;
    for (Index slot = 0; slot < slots_; ++slot) {
      matching_[slot] = static_cast<std::int32_t>(given[slot]);
      inverse_matching_[given[slot]] = static_cast<std::int32_t>(slot);
    }
    finish(image, matching_, inverse_matching_);
  }

  [[gnu::noinline]] void finish(const Image& image, const std::int32_t* matching,
                                const std::int32_t* inverse_matching) {
    write_indices(matching, slots_, true,
                  task_.matching ? task_.matching + image.index * slots_ : nullptr);
    if (task_.has_p && !compare(image, matching, inverse_matching)) write_masked(image.index);
  }

  // p against the matched slots: losses and gradients. False: a slot of p is not finite.
  bool compare(const Image& image, const std::int32_t* matching,
               const std::int32_t* inverse_matching) const {
    const bool prefetches_f = task_.prefetches && image.index + 1 < task_.f.sizes[1];
    double image_sum = 0;
    for (Index view = 0; view < 2; ++view) {
      const std::int32_t* const partner = view == 0 ? matching : inverse_matching;
      for (Index slot = 0; slot < slots_; ++slot) {
        const Index index = (view * task_.f.sizes[1] + image.index) * slots_ + slot;
        if (prefetches_f) prefetch(task_.f, image.index + 1, view * slots_ + slot);
        double loss = 0;
        if (!compare_slot(image, view, slot, (1 - view) * slots_ + partner[slot], index, loss))
          return false;
        if (task_.losses) V::store_first(task_.losses + index, 1, V::set(static_cast<A>(loss)));
        image_sum += loss;
      }
    }
    if (task_.image_sums) task_.image_sums[image.index] = image_sum;
    return true;
  }

  [[gnu::always_inline]] bool compare_slot(const Image& image, Index view, Index slot,
                                           Index target_row, Index index, double& loss) const {
    const T* const x = slot_of(task_.p, view, image.index, slot);
    const A* const target = image.rows[target_row];
    const Index channels = channels_;
    Vector squares[2] = {V::set(0), V::set(0)}, products[2] = {V::set(0), V::set(0)};
    Index c = 0;
    for (; c + 2 * kLanes <= channels; c += 2 * kLanes) {
      for (int k = 0; k < 2; ++k) {
        const Vector value = widen(x, c + k * kLanes, kLanes);
        squares[k] = V::mul_add(value, value, squares[k]);
        products[k] = V::mul_add(value, V::load(target + c + k * kLanes), products[k]);
      }
    }
    for (; c < channels; c += kLanes) {
      const Vector value = widen(x, c, channels - c);
      squares[0] = V::mul_add(value, value, squares[0]);
      products[0] = V::mul_add(value, V::load(target + c), products[0]);
    }
    const A square = V::sum(V::add(squares[0], squares[1]));
    const bool zero = square == 0 && is_zero(x);
    if (!is_usual_eps_ || (!zero && !Units<T>::is_exact(square)))
      return compare_slot_in_double(x, image.index, view, slot, target_row, loss);
    const double length = __builtin_sqrt(static_cast<double>(square));
    const bool floored = !(length > task_.eps);
    const double inverse = 1 / (floored ? task_.eps : length);
    const double cosine = zero ? 0
                               : static_cast<double>(V::sum(V::add(products[0], products[1]))) *
                                     inverse * image.inverse_norm[target_row];
    loss = loss_of_cosine(cosine);
    if (!task_.grad_p.data) return true;
    // This gradient is computed apart, so that the loss has the same bits with and without it.
    double grad_output = 1;
    if (task_.grad_output)
      grad_output = static_cast<double>(V::first(
          V::load_first(task_.grad_output + (task_.grad_output_per_slot ? index : 0), 1, A(0))));
    const double half = -0.5 * weight_ * grad_output * inverse;
    const double of_target = half * image.inverse_norm[target_row],
                 of_p = floored ? 0 : -half * cosine * inverse;
    if (are_in_range(half, of_target, of_p) || (half == 0 && grad_output == 0)) {
      write_gradient(slot_of(task_.grad_p, view, image.index, slot), x, target, of_target, of_p);
    } else {
      double unchanged = loss;
      return compare_slot_in_double(x, image.index, view, slot, target_row, unchanged);
    }
    return true;
  }

  // Whether a gradient is in the range above, and the factors of its two terms do not exceed that
  // range.
  static bool are_in_range(double gradient, double of_target, double of_p) {
    const double magnitude = __builtin_fabs(gradient), of_terms = larger(of_target, of_p);
    return magnitude > kLeastGradient && larger(magnitude, of_terms) < kLargestGradient;
  }
  static double larger(double a, double b) {
    a = __builtin_fabs(a);
    b = __builtin_fabs(b);
    return a > b ? a : b;
  }

  [[gnu::noinline, gnu::cold]] bool compare_slot_in_double(const T* x, Index image, Index view,
                                                           Index slot, Index target_row,
                                                           double& loss) const {
    if (!is_finite(x, channels_)) return false;
    loss = loss_of_cosine(
        compare_in_double(task_, view, image, slot, target_row % slots_, in_double_));
    return true;
  }

  // The channels of a slot of p from c on. Those of 16 bits are widened once, to widened_.
  Vector widen(const T* x, Index c, Index count) const {
    const Vector value = Units<T>::load(x + c, count);
    if constexpr (!kReadInPlace) V::store(widened_ + c, value);
    return value;
  }
  Vector widened(const T* x, Index c, Index count) const {
    if constexpr (!kReadInPlace) return V::load(widened_ + c);
    return Units<T>::load(x + c, count);
  }

  // of_target * target + of_p * p
  [[gnu::always_inline]] void write_gradient(T* gradient, const T* x, const A* target,
                                             double of_target, double of_p) const {
    const Index channels = channels_;
    const Vector a = V::set(static_cast<A>(of_target)), b = V::set(static_cast<A>(of_p));
    if (task_.streams && channels == padded_ &&
        reinterpret_cast<std::uintptr_t>(gradient) % (kLanes * sizeof(T)) == 0) {
      for (Index c = 0; c < channels; c += kLanes)
        V::stream(gradient + c,
                  V::mul_add(a, V::load(target + c), V::mul(b, widened(x, c, kLanes))));
      return;
    }
    Index c = 0;
    for (; c + kLanes <= channels; c += kLanes)
      V::store(gradient + c, V::mul_add(a, V::load(target + c), V::mul(b, widened(x, c, kLanes))));
    if (c < channels)
      V::store_first(gradient + c, channels - c,
                     V::mul_add(a, V::load(target + c), V::mul(b, widened(x, c, channels - c))));
  }

  const SimilarityTask<T>& task_;
  Index slots_, channels_, padded_;
  bool in_place_;
  Index most_pending_;  // images that may wait
  bool is_usual_eps_;
  double weight_;                   // the factor of every grad_output
  A* inverse_;                      // [stride], of view 1
  A* widened_;                      // [padded_], a slot of p
  std::int32_t* matching_;          // [S], as given
  std::int32_t* inverse_matching_;  // [S]
  Assigner<A> assigner_;
  A* units_;           // [2S, padded_], of an image whose squares are not exact
  double* in_double_;  // [2, C]
  Image images_[kMostPending];
};

template <typename T>
std::size_t memory_of(Index slots, Index channels) {
  Arena arena;
  SimilarityTask<T> task{};
  task.f.sizes[2] = slots;
  task.f.sizes[3] = channels;
  Similarity<T>(task, arena);
  return arena.used();
}

template <typename T>
void run(const SimilarityTask<T>& task, Index begin, Index end, void* memory) {
  Arena arena(memory);
  Similarity<T>(task, arena).run(begin, end);
}

template <typename T>
constexpr SimilarityKernels<T> kKernels{memory_of<T>, run<T>};

}  // namespace

const KernelTable<SimilarityKernels> OSC_INSTRUCTION_SET::similarity_kernels{
    kKernels<double>, kKernels<float>, kKernels<float16>, kKernels<bfloat16>};

}  // namespace osc::cpu
