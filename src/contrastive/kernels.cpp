#include OSC_SIMD  // first: the kernels are written in it

// The contrastive loss, tile by tile: cosines of 64 x 64 pairs of rows, which are added to the
// sums, or to the gradients, of the rows on both sides, and then forgotten.
#include <limits>

#include "contrastive/task.hpp"
#include "simd/matrix_product.hpp"
#include "simd/units.hpp"

namespace osc::cpu {
namespace {

// The Taylor coefficients of 2^x, ln(2)^k / k!: as many as matter to the last bit of type A for |x|
// <= 1/2.
template <typename A>
struct PowerOfTwo {
  static constexpr int kDegree = sizeof(A) == 4 ? 7 : 13;
  A coefficients[kDegree + 1];

  constexpr PowerOfTwo() : coefficients() {
    double coefficient = 1;
    for (int k = 0; k <= kDegree; coefficient *= kLn2 / ++k)
      coefficients[k] = static_cast<A>(coefficient);
  }
};

template <typename T>
class Contrastive {
  using Task = ContrastiveTask<T>;
  using A = typename Computed<T>::Type;
  using V = Simd<A>;
  using Vector = typename V::Vector;
  static constexpr Index kLanes = V::kLanes, kTile = Task::kTile;
  // Powers below this are taken for 0. It is so far from the smallest normal number that products
  // with weights and units are normal numbers, too.
  static constexpr A kLeastExponent = sizeof(A) == 4 ? A(-100) : A(-1000);
  static constexpr A kMasked =
      -std::numeric_limits<A>::infinity();  // replaces the cosine of a pair that is no negative

 public:
  // `memory` has kContrastiveMemory bytes.
  Contrastive(const Task& task, void* memory)
      : task_(task),
        stride_(task.padded),
        tile_(static_cast<A*>(memory)),
        row_vectors_(tile_ + kTile * kTile),
        row_values_(row_vectors_ + kTile * kLanes),
        column_values_(row_values_ + kTile) {
    static_assert((kTile * kTile + kTile * kLanes + 2 * kTile) * sizeof(A) <= kContrastiveMemory);
  }

  // Units of rows, and their panels.
  void read(Index begin, Index end) const {
    for (Index row = begin; row < end; ++row) {
      A* const unit = task_.units + row * stride_;
      task_.inverse_norms[row] = Units<T>::read(task_.slots[row], task_.channels, task_.eps, unit);
      for (Index c = task_.channels; c < stride_; ++c) unit[c] = 0;
      A* const panel = task_.panels + row / kTile * task_.channels * kTile + row % kTile;
      for (Index c = 0; c < task_.channels; ++c) panel[c * kTile] = unit[c];
    }
  }

  // Gradients of rows: the vjp of their units, times `factor`.
  void write(Index begin, Index end, const Ratio& factor) const {
    for (Index row = begin; row < end; ++row) {
      Units<T>::write(task_.slots[row], task_.units + row * stride_,
                      task_.unit_gradients + row * stride_, task_.channels, task_.eps,
                      task_.inverse_norms[row], factor, task_.targets[row]);
    }
  }

  void add_log_sum_exps(Index x, Index y) {
    each_tile(x, y, [&](const Tile& tile) {
      multiply(tile);
      note_positives(tile);
      mask(tile);
      if (task_.hardest_negatives) note_hardest_negatives(tile);
      if (task_.shares_maximum) {
        add_to_sums<true>(tile);
      } else {
        raise_running_maxima(tile);
        add_to_sums<false>(tile);
      }
    });
  }

  void add_gradients(Index x, Index y) {
    each_tile(x, y, [&](const Tile& tile) {
      multiply(tile);
      note_positives(tile);
      mask(tile);
      if (task_.shares_maximum) {
        weigh(tile);
      } else {
        weigh_by_offsets(tile);
      }
      weigh_positives(tile);
      A* const unit_gradients = task_.unit_gradients;
      const A* const units = task_.units;
      const Index vectors = stride_ / kLanes;
      MatrixProduct<A>::template multiply<true>(
          tile_, kTile, 1, tile.rows, units + tile.column * stride_, stride_, vectors, tile.columns,
          unit_gradients + tile.row * stride_, stride_);
      if (tile.both)
        MatrixProduct<A>::template multiply<true>(
            tile_, 1, kTile, tile.columns, units + tile.row * stride_, stride_, vectors, tile.rows,
            unit_gradients + tile.column * stride_, stride_);
    });
  }

 private:
  // The pairs of `rows` rows from `row` on with `columns` rows from `column` on. `both`: the
  // columns are own rows as well, and not the same as the rows, so the tile counts for both sides.
  struct Tile {
    Index row, rows, column, columns;
    bool both;
    Index vectors() const { return (columns + kLanes - 1) / kLanes; }
    Index whole_columns() const { return vectors() * kLanes; }
  };

  template <typename Work>
  void each_tile(Index x, Index y, const Work& work) const {
    const Index own_blocks = task_.own_blocks, span = task_.span;
    const bool is_own = y < own_blocks;
    const Index first_row = x * span, end_row = least(first_row + span, task_.own);
    const Index first_column = is_own ? y * span : task_.first_other + (y - own_blocks) * span,
                end_column = least(first_column + span, is_own ? task_.own : task_.end);
    for (Index row = first_row; row < end_row; row += kTile) {
      for (Index column = x == y ? row : first_column; column < end_column; column += kTile) {
        work(Tile{row, least(kTile, end_row - row), column, least(kTile, end_column - column),
                  is_own && row != column});
      }
    }
  }

  static Index least(Index a, Index b) { return a < b ? a : b; }

  // Cosines.
  void multiply(const Tile& tile) const {
    const A* const panel = task_.panels + tile.column / kTile * task_.channels * kTile;
    MatrixProduct<A>::template multiply<false>(task_.units + tile.row * stride_, stride_, 1,
                                               tile.rows, panel, kTile, tile.vectors(),
                                               task_.channels, tile_, kTile);
  }

  // Calls work(row, positive, element of the tile) for each row whose positive is among the
  // columns. The positive's own positive is the row.
  template <typename Work>
  void each_positive(const Tile& tile, const Work& work) const {
    for (Index i = 0; i < tile.rows; ++i) {
      const Index positive = task_.positives[tile.row + i], j = positive - tile.column;
      if (j >= 0 && j < tile.columns) work(tile.row + i, positive, tile_[i * kTile + j]);
    }
  }

  void note_positives(const Tile& tile) const {
    each_positive(tile, [&](Index row, Index positive, A cosine) {
      task_.positive_similarities[row] = cosine;
      if (tile.both) task_.positive_similarities[positive] = cosine;
    });
  }

  // Masks all but the negatives: a row itself, its positive, and what lies beyond the last column.
  // Sums contain the negatives alone: a much greater term of the positive would round them away.
  void mask(const Tile& tile) const {
    for (Index i = 0; i < tile.rows; ++i) {
      if (tile.row == tile.column) tile_[i * kTile + i] = kMasked;
      for (Index j = tile.columns; j < tile.whole_columns(); ++j) tile_[i * kTile + j] = kMasked;
    }
    each_positive(tile, [](Index, Index, A& cosine) { cosine = kMasked; });
  }

  // The greatest of each row to row_values_, and of each column to column_values_.
  void find_greatest(const Tile& tile) const {
    for (Index i = 0; i < tile.rows; ++i) V::store(row_vectors_ + i * kLanes, V::set(kMasked));
    for (Index v = 0; v < tile.vectors(); ++v) {
      Vector of_column = V::set(kMasked);
      for (Index i = 0; i < tile.rows; ++i) {
        const Vector cosine = V::load(tile_ + i * kTile + v * kLanes);
        of_column = V::max(of_column, cosine);
        V::store(row_vectors_ + i * kLanes, V::max(V::load(row_vectors_ + i * kLanes), cosine));
      }
      V::store(column_values_ + v * kLanes, of_column);
    }
    for (Index i = 0; i < tile.rows; ++i)
      row_values_[i] = V::first(V::greatest(V::load(row_vectors_ + i * kLanes)));
  }

  // Calls work(row, greatest cosine) for the tile's rows, and for its columns if `both`.
  template <typename Work>
  void each_greatest(const Tile& tile, const Work& work) const {
    find_greatest(tile);
    for (Index i = 0; i < tile.rows; ++i) work(tile.row + i, row_values_[i]);
    for (Index j = 0; tile.both && j < tile.columns; ++j) work(tile.column + j, column_values_[j]);
  }

  void note_hardest_negatives(const Tile& tile) const {
    each_greatest(tile, [&](Index row, A cosine) {
      if (cosine > task_.hardest_negatives[row]) task_.hardest_negatives[row] = cosine;
    });
  }

  void raise_running_maxima(const Tile& tile) const {
    each_greatest(tile, [&](Index row, A cosine) {
      const A maximum = cosine * task_.exponent_scale;
      if (!(maximum > task_.running_maxima[row])) return;
      task_.sums[row] *= __builtin_exp2(static_cast<double>(task_.running_maxima[row]) -
                                        static_cast<double>(maximum));
      task_.running_maxima[row] = maximum;
    });
  }

  // 0 below kLeastExponent.
  static Vector power_of_two(Vector exponent) {
    constexpr PowerOfTwo<A> kSeries;
    const Vector x = V::max(exponent, V::set(kLeastExponent));
    const Vector shifted = V::add(x, V::set(V::kWholeNumbers));
    const Vector rest = V::sub(x, V::sub(shifted, V::set(V::kWholeNumbers)));
    Vector sum = V::set(kSeries.coefficients[kSeries.kDegree]);
#pragma GCC unroll 16
    for (int k = kSeries.kDegree - 1; k >= 0; --k)
      sum = V::mul_add(sum, rest, V::set(kSeries.coefficients[k]));
    return V::select(V::less(exponent, V::set(kLeastExponent)), V::set(0),
                     V::mul(sum, V::power_of_two(shifted)));
  }

  // 2^exponent, at most 1: the exponent of a probability is a difference of rounded numbers.
  static Vector probability(Vector exponent) { return power_of_two(V::min(exponent, V::set(0))); }

  // (cosine - 1) * exponent_scale, rounded once.
  Vector exponent(const A* cosine) const {
    const Vector scale = V::set(task_.exponent_scale);
    return V::mul_add(V::load(cosine), scale, V::sub(V::set(0), scale));
  }

  // Adds the powers of a tile to the sums of their rows, relative to the shared maximum or to the
  // running maximum of each row.
  template <bool kShared>
  void add_to_sums(const Tile& tile) const {
    const Vector scale = V::set(task_.exponent_scale);
    for (Index i = 0; i < kTile; ++i) V::store(row_vectors_ + i * kLanes, V::set(0));
    for (Index v = 0; v < tile.vectors(); ++v) {
      Vector of_column = V::set(0), column_maximum = V::set(0);
      if (!kShared && tile.both)
        column_maximum = V::load(task_.running_maxima + tile.column + v * kLanes);
      for (Index i = 0; i < tile.rows; ++i) {
        const A* const cosine = tile_ + i * kTile + v * kLanes;
        Vector power, power_of_column;
        if constexpr (kShared) {
          power = power_of_column = power_of_two(exponent(cosine));
        } else {
          const Vector scaled = V::mul(V::load(cosine), scale);
          power = power_of_two(V::sub(scaled, V::set(task_.running_maxima[tile.row + i])));
          power_of_column = tile.both ? power_of_two(V::sub(scaled, column_maximum)) : V::set(0);
        }
        of_column = V::add(of_column, power_of_column);
        V::store(row_vectors_ + i * kLanes, V::add(V::load(row_vectors_ + i * kLanes), power));
      }
      V::store(column_values_ + v * kLanes, of_column);
    }
    for (Index i = 0; i < tile.rows; i += kLanes) {
      Vector parts[kLanes];
      for (Index k = 0; k < kLanes; ++k) parts[k] = V::load(row_vectors_ + (i + k) * kLanes);
      V::store(row_values_ + i, V::sums(parts));
    }
    for (Index i = 0; i < tile.rows; ++i)
      task_.sums[tile.row + i] += static_cast<double>(row_values_[i]);
    for (Index j = 0; tile.both && j < tile.columns; ++j)
      task_.sums[tile.column + j] += static_cast<double>(column_values_[j]);
  }

  // Replaces the cosine of each pair by the factor of either unit in the gradient of the other.
  void weigh(const Tile& tile) const {
    for (Index v = 0; v < tile.vectors(); ++v) {
      const Vector of_column = V::load(task_.weights + tile.column + v * kLanes);
      for (Index i = 0; i < tile.rows; ++i) {
        A* const place = tile_ + i * kTile + v * kLanes;
        V::store(place, V::mul(power_of_two(exponent(place)),
                               V::add(V::set(task_.weights[tile.row + i]), of_column)));
      }
    }
  }

  void weigh_by_offsets(const Tile& tile) const {
    for (Index v = 0; v < tile.vectors(); ++v) {
      const Vector column_weight = V::load(task_.weights + tile.column + v * kLanes),
                   column_offset = V::load(task_.offsets + tile.column + v * kLanes);
      for (Index i = 0; i < tile.rows; ++i) {
        A* const place = tile_ + i * kTile + v * kLanes;
        const Vector shared = exponent(place);
        const Vector of_row =
            V::mul(probability(V::add(shared, V::set(task_.offsets[tile.row + i]))),
                   V::set(task_.weights[tile.row + i]));
        V::store(place,
                 V::mul_add(probability(V::add(shared, column_offset)), column_weight, of_row));
      }
    }
  }

  // The factor of a positive pair is minus the total weight of the negatives, added up over its two
  // rows.
  void weigh_positives(const Tile& tile) const {
    each_positive(tile, [&](Index row, Index positive, A& weight) {
      const double logit = kLn2 * static_cast<double>(task_.exponent_scale) *
                           static_cast<double>(task_.positive_similarities[row]);
      const auto weight_of = [&](Index r) {
        return static_cast<double>(task_.grad_outputs[r]) *
               __builtin_expm1(logit < task_.log_sum_exps[r] ? logit - task_.log_sum_exps[r] : 0);
      };
      weight = static_cast<A>(weight_of(row) + weight_of(positive));
    });
  }

  const Task& task_;
  Index stride_;      // of units and unit_gradients
  A* tile_;           // [kTile, kTile]
  A* row_vectors_;    // [kTile, kLanes]
  A* row_values_;     // [kTile]
  A* column_values_;  // [kTile]
};

template <typename T>
constexpr ContrastiveKernels<T> kKernels{
    [](const ContrastiveTask<T>& task, Index begin, Index end, void* memory) {
      Contrastive<T>(task, memory).read(begin, end);
    },
    [](const ContrastiveTask<T>& task, Index x, Index y, void* memory) {
      Contrastive<T>(task, memory).add_log_sum_exps(x, y);
    },
    [](const ContrastiveTask<T>& task, Index x, Index y, void* memory) {
      Contrastive<T>(task, memory).add_gradients(x, y);
    },
    [](const ContrastiveTask<T>& task, Index begin, Index end, const Ratio& factor, void* memory) {
      Contrastive<T>(task, memory).write(begin, end, factor);
    }};

}  // namespace

const KernelTable<ContrastiveKernels> OSC_INSTRUCTION_SET::contrastive_kernels{
    kKernels<double>, kKernels<float>, kKernels<float16>, kKernels<bfloat16>};

}  // namespace osc::cpu
