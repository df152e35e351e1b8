#include OSC_SIMD  // first: the kernels are written in it

// The contrastive loss, tile by tile: cosines of 64 x 64 pairs of rows, of which nothing is kept
// but what they add to the sums, or to the gradients, of the rows on both sides.
#include <cstdint>
#include <limits>

#include "contrastive/task.hpp"
#include "simd/matrix_product.hpp"
#include "simd/units.hpp"

namespace osc::cpu {
namespace {

// The Taylor coefficients of 2^x, ln(2)^k / k!: as many as numbers of type A see for |x| <= 1/2.
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
  static constexpr std::int64_t kLanes = V::kLanes, kTile = Task::kTile, kVectors = kTile / kLanes;
  // Powers below this stand for nothing: so far from the smallest normal number that their products
  // with weights and units are normal, too.
  static constexpr A kLeastExponent = sizeof(A) == 4 ? A(-100) : A(-1000);
  static constexpr A kMasked =
      -std::numeric_limits<A>::infinity();  // the cosine of what is no negative

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
  void read(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t row = begin; row < end; ++row) {
      A* const unit = task_.units + row * stride_;
      task_.inverse_norms[row] = Units<T>::read(task_.slots[row], task_.channels, task_.eps, unit);
      for (std::int64_t c = task_.channels; c < stride_; ++c) unit[c] = 0;
      A* const panel = task_.panels + row / kTile * task_.channels * kTile + row % kTile;
      for (std::int64_t c = 0; c < task_.channels; ++c) panel[c * kTile] = unit[c];
    }
  }

  // Gradients of rows: the vjp of their units, times `factor`.
  void write(std::int64_t begin, std::int64_t end, const Ratio& factor) const {
    for (std::int64_t row = begin; row < end; ++row) {
      Units<T>::write(task_.slots[row], task_.units + row * stride_,
                      task_.unit_gradients + row * stride_, task_.channels, task_.eps,
                      task_.inverse_norms[row], factor, task_.targets[row]);
    }
  }

  void add_log_sum_exps(std::int64_t x, std::int64_t y) {
    each_tile(x, y, [&](const Tile& tile) {
      multiply(tile);
      note_positives(tile);
      mask(tile);
      if (task_.hardest_negatives) note_hardest_negatives(tile);
      if (task_.shares_maximum) {
        add_to_sums(tile);
      } else {
        raise_running_maxima(tile);
        add_to_sums_by_maxima(tile);
      }
    });
  }

  void add_gradients(std::int64_t x, std::int64_t y) {
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
      const std::int64_t vectors = stride_ / kLanes;
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
  // Pairs of `rows` rows from `row` on and `columns` rows from `column` on. `both`: the latter are
  // others than the former, and are own rows, too.
  struct Tile {
    std::int64_t row, rows, column, columns;
    bool both;
    std::int64_t vectors() const { return (columns + kLanes - 1) / kLanes; }
    std::int64_t whole_columns() const { return vectors() * kLanes; }
  };

  template <typename Work>
  void each_tile(std::int64_t x, std::int64_t y, const Work& work) const {
    const std::int64_t own_blocks = task_.own_blocks, span = task_.span;
    const bool is_own = y < own_blocks;
    const std::int64_t first_row = x * span, end_row = least(first_row + span, task_.own);
    const std::int64_t first_column =
                           is_own ? y * span : task_.first_other + (y - own_blocks) * span,
                       end_column = least(first_column + span, is_own ? task_.own : task_.end);
    for (std::int64_t row = first_row; row < end_row; row += kTile) {
      for (std::int64_t column = x == y ? row : first_column; column < end_column;
           column += kTile) {
        work(Tile{row, least(kTile, end_row - row), column, least(kTile, end_column - column),
                  is_own && row != column});
      }
    }
  }

  static std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

  // Cosines.
  void multiply(const Tile& tile) const {
    const A* const panel = task_.panels + tile.column / kTile * task_.channels * kTile;
    MatrixProduct<A>::template multiply<false>(task_.units + tile.row * stride_, stride_, 1,
                                               tile.rows, panel, kTile, tile.vectors(),
                                               task_.channels, tile_, kTile);
  }

  // Rows of the tile whose positive is among the columns, and its place in the tile. The positive
  // of the positive is the row itself.
  template <typename Work>
  void each_positive(const Tile& tile, const Work& work) const {
    for (std::int64_t i = 0; i < tile.rows; ++i) {
      const std::int64_t positive = task_.positives[tile.row + i], j = positive - tile.column;
      if (j >= 0 && j < tile.columns) work(tile.row + i, positive, tile_[i * kTile + j]);
    }
  }

  void note_positives(const Tile& tile) const {
    each_positive(tile, [&](std::int64_t row, std::int64_t positive, A cosine) {
      task_.positive_similarities[row] = cosine;
      if (tile.both) task_.positive_similarities[positive] = cosine;
    });
  }

  // Masks all but the negatives: a row itself, its positive, and what lies beyond the last column.
  // Sums are of the negatives alone, so that a positive that leaves them far behind does not round
  // them away.
  void mask(const Tile& tile) const {
    for (std::int64_t i = 0; i < tile.rows; ++i) {
      if (tile.row == tile.column) tile_[i * kTile + i] = kMasked;
      for (std::int64_t j = tile.columns; j < tile.whole_columns(); ++j)
        tile_[i * kTile + j] = kMasked;
    }
    each_positive(tile, [](std::int64_t, std::int64_t, A& cosine) { cosine = kMasked; });
  }

  // The greatest of each row to row_values_, and of each column to column_values_.
  void find_greatest(const Tile& tile) const {
    for (std::int64_t i = 0; i < tile.rows; ++i)
      V::store(row_vectors_ + i * kLanes, V::set(kMasked));
    for (std::int64_t v = 0; v < tile.vectors(); ++v) {
      Vector of_column = V::set(kMasked);
      for (std::int64_t i = 0; i < tile.rows; ++i) {
        const Vector cosine = V::load(tile_ + i * kTile + v * kLanes);
        of_column = V::max(of_column, cosine);
        V::store(row_vectors_ + i * kLanes, V::max(V::load(row_vectors_ + i * kLanes), cosine));
      }
      V::store(column_values_ + v * kLanes, of_column);
    }
    for (std::int64_t i = 0; i < tile.rows; ++i)
      row_values_[i] = V::first(V::greatest(V::load(row_vectors_ + i * kLanes)));
  }

  void note_hardest_negatives(const Tile& tile) const {
    find_greatest(tile);
    const auto note = [&](std::int64_t row, A cosine) {
      if (cosine > task_.hardest_negatives[row]) task_.hardest_negatives[row] = cosine;
    };
    for (std::int64_t i = 0; i < tile.rows; ++i) note(tile.row + i, row_values_[i]);
    for (std::int64_t j = 0; tile.both && j < tile.columns; ++j)
      note(tile.column + j, column_values_[j]);
  }

  void raise_running_maxima(const Tile& tile) const {
    find_greatest(tile);
    const auto raise = [&](std::int64_t row, A cosine) {
      const A maximum = cosine * task_.exponent_scale;
      if (!(maximum > task_.running_maxima[row])) return;
      task_.sums[row] *= __builtin_exp2(static_cast<double>(task_.running_maxima[row]) -
                                        static_cast<double>(maximum));
      task_.running_maxima[row] = maximum;
    };
    for (std::int64_t i = 0; i < tile.rows; ++i) raise(tile.row + i, row_values_[i]);
    for (std::int64_t j = 0; tile.both && j < tile.columns; ++j)
      raise(tile.column + j, column_values_[j]);
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

  // A share of a sum is not above 1, however large the numbers whose difference its exponent is,
  // and with them the rounding.
  static Vector share(Vector exponent) { return power_of_two(V::min(exponent, V::set(0))); }

  // (cosine - 1) * exponent_scale, rounded once.
  Vector exponent(const A* cosine) const {
    const Vector scale = V::set(task_.exponent_scale);
    return V::mul_add(V::load(cosine), scale, V::sub(V::set(0), scale));
  }

  // Adds the sums of row_vectors_, and column_values_, to those of their rows.
  void add_row_sums(const Tile& tile) const {
    for (std::int64_t i = 0; i < tile.rows; i += kLanes) {
      Vector parts[kLanes];
      for (std::int64_t k = 0; k < kLanes; ++k) parts[k] = V::load(row_vectors_ + (i + k) * kLanes);
      V::store(row_values_ + i, V::sums(parts));
    }
    for (std::int64_t i = 0; i < tile.rows; ++i)
      task_.sums[tile.row + i] += static_cast<double>(row_values_[i]);
  }
  void add_column_sums(const Tile& tile) const {
    for (std::int64_t j = 0; j < tile.columns; ++j)
      task_.sums[tile.column + j] += static_cast<double>(column_values_[j]);
  }

  void add_to_sums(const Tile& tile) const {
    for (std::int64_t i = 0; i < kTile; ++i) V::store(row_vectors_ + i * kLanes, V::set(0));
    for (std::int64_t v = 0; v < tile.vectors(); ++v) {
      Vector of_column = V::set(0);
      for (std::int64_t i = 0; i < tile.rows; ++i) {
        const Vector power = power_of_two(exponent(tile_ + i * kTile + v * kLanes));
        of_column = V::add(of_column, power);
        V::store(row_vectors_ + i * kLanes, V::add(V::load(row_vectors_ + i * kLanes), power));
      }
      V::store(column_values_ + v * kLanes, of_column);
    }
    add_row_sums(tile);
    if (tile.both) add_column_sums(tile);
  }

  void add_to_sums_by_maxima(const Tile& tile) const {
    const Vector scale = V::set(task_.exponent_scale);
    for (std::int64_t i = 0; i < kTile; ++i) V::store(row_vectors_ + i * kLanes, V::set(0));
    for (std::int64_t v = 0; v < tile.vectors(); ++v) {
      Vector of_column = V::set(0);
      const Vector column_maximum =
          tile.both ? V::load(task_.running_maxima + tile.column + v * kLanes) : V::set(0);
      for (std::int64_t i = 0; i < tile.rows; ++i) {
        const Vector scaled = V::mul(V::load(tile_ + i * kTile + v * kLanes), scale);
        const Vector power =
            power_of_two(V::sub(scaled, V::set(task_.running_maxima[tile.row + i])));
        V::store(row_vectors_ + i * kLanes, V::add(V::load(row_vectors_ + i * kLanes), power));
        if (tile.both) of_column = V::add(of_column, power_of_two(V::sub(scaled, column_maximum)));
      }
      V::store(column_values_ + v * kLanes, of_column);
    }
    add_row_sums(tile);
    if (tile.both) add_column_sums(tile);
  }

  // From cosines to what a unit weighs in the gradient of the other: what it adds to the loss of
  // either.
  void weigh(const Tile& tile) const {
    for (std::int64_t v = 0; v < tile.vectors(); ++v) {
      const Vector of_column = V::load(task_.weights + tile.column + v * kLanes);
      for (std::int64_t i = 0; i < tile.rows; ++i) {
        A* const place = tile_ + i * kTile + v * kLanes;
        V::store(place, V::mul(power_of_two(exponent(place)),
                               V::add(V::set(task_.weights[tile.row + i]), of_column)));
      }
    }
  }

  void weigh_by_offsets(const Tile& tile) const {
    for (std::int64_t v = 0; v < tile.vectors(); ++v) {
      const Vector column_weight = V::load(task_.weights + tile.column + v * kLanes),
                   column_offset = V::load(task_.offsets + tile.column + v * kLanes);
      for (std::int64_t i = 0; i < tile.rows; ++i) {
        A* const place = tile_ + i * kTile + v * kLanes;
        const Vector shared = exponent(place);
        const Vector of_row = V::mul(share(V::add(shared, V::set(task_.offsets[tile.row + i]))),
                                     V::set(task_.weights[tile.row + i]));
        V::store(place, V::mul_add(share(V::add(shared, column_offset)), column_weight, of_row));
      }
    }
  }

  // The weight of a positive: for either row, what its negatives weigh together.
  void weigh_positives(const Tile& tile) const {
    each_positive(tile, [&](std::int64_t row, std::int64_t positive, A& weight) {
      const double logit = kLn2 * static_cast<double>(task_.exponent_scale) *
                           static_cast<double>(task_.positive_similarities[row]);
      const auto weight_of = [&](std::int64_t r) {
        return static_cast<double>(task_.grad_outputs[r]) *
               __builtin_expm1(logit < task_.log_sum_exps[r] ? logit - task_.log_sum_exps[r] : 0);
      };
      weight = static_cast<A>(weight_of(row) + weight_of(positive));
    });
  }

  const Task& task_;
  std::int64_t stride_;  // of units and unit_gradients
  A* tile_;              // [kTile, kTile]
  A* row_vectors_;       // [kTile, kLanes]
  A* row_values_;        // [kTile]
  A* column_values_;     // [kTile]
};

template <typename T>
void read(const ContrastiveTask<T>& task, std::int64_t begin, std::int64_t end, void* memory) {
  Contrastive<T>(task, memory).read(begin, end);
}

template <typename T>
void log_sum_exp_tiles(const ContrastiveTask<T>& task, std::int64_t x, std::int64_t y,
                       void* memory) {
  Contrastive<T>(task, memory).add_log_sum_exps(x, y);
}

template <typename T>
void gradient_tiles(const ContrastiveTask<T>& task, std::int64_t x, std::int64_t y, void* memory) {
  Contrastive<T>(task, memory).add_gradients(x, y);
}

template <typename T>
void write(const ContrastiveTask<T>& task, std::int64_t begin, std::int64_t end,
           const Ratio& factor, void* memory) {
  Contrastive<T>(task, memory).write(begin, end, factor);
}

template <typename T>
constexpr ContrastiveKernels<T> kKernels{read<T>, log_sum_exp_tiles<T>, gradient_tiles<T>,
                                         write<T>};

}  // namespace

const KernelTable<ContrastiveKernels> OSC_INSTRUCTION_SET::contrastive_kernels{
    kKernels<double>, kKernels<float>, kKernels<float16>, kKernels<bfloat16>};

}  // namespace osc::cpu
