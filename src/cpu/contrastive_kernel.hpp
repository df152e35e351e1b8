// The contrastive loss, tile by tile: cosines of 64 x 64 pairs of rows, of which nothing is kept
// but what they add to the sums, or to the gradients, of the rows on both sides. Compiled once an
// instruction set; see cpu/kernels.hpp.
//
// Exponentials are powers of 2: with rate = log2(e) / temperature, exp(cosine / temperature) =
// 2^(cosine * rate). As no cosine is above 1, 2^((cosine - 1) * rate) cannot overflow, and where it
// cannot vanish either, it serves the rows on both sides. Else each row has a shift of its own, its
// greatest cosine so far.
#pragma once

#include <cstdint>
#include <limits>

#include "cpu/kernels.hpp"
#include "cpu/matrix_product.hpp"
#include "cpu/unit_kernel.hpp"

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
  using Problem = ContrastiveProblem<T>;
  using A = typename Computed<T>::Type;
  using V = Simd<A>;
  using Vector = typename V::Vector;
  static constexpr std::int64_t kLanes = V::kLanes, kTile = Problem::kTile,
                                kVectors = kTile / kLanes;
  // Powers below this stand for nothing: so far from the smallest normal number that their products
  // with weights and units are normal, too.
  static constexpr A kLeastExponent = sizeof(A) == 4 ? A(-100) : A(-1000);
  static constexpr A kHidden =
      -std::numeric_limits<A>::infinity();  // the cosine of what is no candidate

 public:
  // `memory` has kContrastiveMemory bytes.
  Contrastive(const Problem& problem, void* memory)
      : problem_(problem),
        stride_(problem.padded()),
        tile_(static_cast<A*>(memory)),
        row_vectors_(tile_ + kTile * kTile),
        row_values_(row_vectors_ + kTile * kLanes),
        column_values_(row_values_ + kTile) {
    static_assert((kTile * kTile + kTile * kLanes + 2 * kTile) * sizeof(A) <= kContrastiveMemory);
  }

  // Units of rows, and their panels.
  void read(std::int64_t begin, std::int64_t end) const {
    for (std::int64_t row = begin; row < end; ++row) {
      A* const unit = problem_.units + row * stride_;
      problem_.inverse_norms[row] =
          Units<T>::read(problem_.slots[row], problem_.channels, problem_.eps, unit);
      for (std::int64_t c = problem_.channels; c < stride_; ++c) unit[c] = 0;
      A* const panel = problem_.panels + row / kTile * problem_.channels * kTile + row % kTile;
      for (std::int64_t c = 0; c < problem_.channels; ++c) panel[c * kTile] = unit[c];
    }
  }

  // Gradients of rows: those of their units, times `factor`, by the derivative of x / |x|.
  void write(std::int64_t begin, std::int64_t end, const Ratio& factor) const {
    for (std::int64_t row = begin; row < end; ++row) {
      Units<T>::write(problem_.slots[row], problem_.units + row * stride_,
                      problem_.slopes + row * stride_, problem_.channels, problem_.eps,
                      problem_.inverse_norms[row], factor, problem_.targets[row]);
    }
  }

  void sum(std::int64_t x, std::int64_t y) {
    each_tile(x, y, [&](const Tile& tile) {
      multiply(tile);
      note_matches(tile);
      hide(tile);
      if (problem_.rivals) note_rivals(tile);
      if (problem_.shares_shift) {
        add_to_sums(tile);
      } else {
        raise_shifts(tile);
        add_to_sums_by_shifts(tile);
      }
    });
  }

  void slope(std::int64_t x, std::int64_t y) {
    each_tile(x, y, [&](const Tile& tile) {
      multiply(tile);
      note_matches(tile);
      hide(tile);
      if (problem_.shares_shift) {
        weigh(tile);
      } else {
        weigh_by_offsets(tile);
      }
      attract_matches(tile);
      A* const slopes = problem_.slopes;
      const A* const units = problem_.units;
      const std::int64_t vectors = stride_ / kLanes;
      MatrixProduct<A>::template multiply<true>(tile_, kTile, 1, tile.rows,
                                                units + tile.column * stride_, stride_, vectors,
                                                tile.columns, slopes + tile.row * stride_, stride_);
      if (tile.both)
        MatrixProduct<A>::template multiply<true>(
            tile_, 1, kTile, tile.columns, units + tile.row * stride_, stride_, vectors, tile.rows,
            slopes + tile.column * stride_, stride_);
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
    const std::int64_t own_blocks = problem_.own_blocks(), span = problem_.span;
    const bool is_own = y < own_blocks;
    const std::int64_t first_row = x * span, end_row = least(first_row + span, problem_.own);
    const std::int64_t first_column =
                           is_own ? y * span : problem_.first_other() + (y - own_blocks) * span,
                       end_column =
                           least(first_column + span, is_own ? problem_.own : problem_.end());
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
    const A* const panel = problem_.panels + tile.column / kTile * problem_.channels * kTile;
    MatrixProduct<A>::template multiply<false>(problem_.units + tile.row * stride_, stride_, 1,
                                               tile.rows, panel, kTile, tile.vectors(),
                                               problem_.channels, tile_, kTile);
  }

  // Rows of the tile whose match is among the columns, and its place in the tile. The match of the
  // match is the row itself.
  template <typename Work>
  void each_match(const Tile& tile, const Work& work) const {
    for (std::int64_t i = 0; i < tile.rows; ++i) {
      const std::int64_t match = problem_.matches[tile.row + i], j = match - tile.column;
      if (j >= 0 && j < tile.columns) work(tile.row + i, match, tile_[i * kTile + j]);
    }
  }

  void note_matches(const Tile& tile) const {
    each_match(tile, [&](std::int64_t row, std::int64_t match, A cosine) {
      problem_.match_cosines[row] = cosine;
      if (tile.both) problem_.match_cosines[match] = cosine;
    });
  }

  // All but the rivals: a row itself, its match, and what lies beyond the last column. Sums are of
  // the rivals alone, so that a match that leaves them far behind does not round them away.
  void hide(const Tile& tile) const {
    for (std::int64_t i = 0; i < tile.rows; ++i) {
      if (tile.row == tile.column) tile_[i * kTile + i] = kHidden;
      for (std::int64_t j = tile.columns; j < tile.whole_columns(); ++j)
        tile_[i * kTile + j] = kHidden;
    }
    each_match(tile, [](std::int64_t, std::int64_t, A& cosine) { cosine = kHidden; });
  }

  // The greatest of each row to row_values_, and of each column to column_values_.
  void find_greatest(const Tile& tile) const {
    for (std::int64_t i = 0; i < tile.rows; ++i)
      V::store(row_vectors_ + i * kLanes, V::set(kHidden));
    for (std::int64_t v = 0; v < tile.vectors(); ++v) {
      Vector of_column = V::set(kHidden);
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

  void note_rivals(const Tile& tile) const {
    find_greatest(tile);
    const auto note = [&](std::int64_t row, A rival) {
      if (rival > problem_.rivals[row]) problem_.rivals[row] = rival;
    };
    for (std::int64_t i = 0; i < tile.rows; ++i) note(tile.row + i, row_values_[i]);
    for (std::int64_t j = 0; tile.both && j < tile.columns; ++j)
      note(tile.column + j, column_values_[j]);
  }

  void raise_shifts(const Tile& tile) const {
    find_greatest(tile);
    const auto raise = [&](std::int64_t row, A cosine) {
      const A shift = cosine * problem_.rate;
      if (!(shift > problem_.shifts[row])) return;
      problem_.sums[row] *=
          __builtin_exp2(static_cast<double>(problem_.shifts[row]) - static_cast<double>(shift));
      problem_.shifts[row] = shift;
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

  // (cosine - 1) * rate, rounded once.
  Vector exponent(const A* cosine) const {
    const Vector rate = V::set(problem_.rate);
    return V::mul_add(V::load(cosine), rate, V::sub(V::set(0), rate));
  }

  // Adds the sums of row_vectors_, and column_values_, to those of their rows.
  void add_row_sums(const Tile& tile) const {
    for (std::int64_t i = 0; i < tile.rows; i += kLanes) {
      Vector parts[kLanes];
      for (std::int64_t k = 0; k < kLanes; ++k) parts[k] = V::load(row_vectors_ + (i + k) * kLanes);
      V::store(row_values_ + i, V::sums(parts));
    }
    for (std::int64_t i = 0; i < tile.rows; ++i)
      problem_.sums[tile.row + i] += static_cast<double>(row_values_[i]);
  }
  void add_column_sums(const Tile& tile) const {
    for (std::int64_t j = 0; j < tile.columns; ++j)
      problem_.sums[tile.column + j] += static_cast<double>(column_values_[j]);
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

  void add_to_sums_by_shifts(const Tile& tile) const {
    const Vector rate = V::set(problem_.rate);
    for (std::int64_t i = 0; i < kTile; ++i) V::store(row_vectors_ + i * kLanes, V::set(0));
    for (std::int64_t v = 0; v < tile.vectors(); ++v) {
      Vector of_column = V::set(0);
      const Vector column_shift =
          tile.both ? V::load(problem_.shifts + tile.column + v * kLanes) : V::set(0);
      for (std::int64_t i = 0; i < tile.rows; ++i) {
        const Vector scaled = V::mul(V::load(tile_ + i * kTile + v * kLanes), rate);
        const Vector power = power_of_two(V::sub(scaled, V::set(problem_.shifts[tile.row + i])));
        V::store(row_vectors_ + i * kLanes, V::add(V::load(row_vectors_ + i * kLanes), power));
        if (tile.both) of_column = V::add(of_column, power_of_two(V::sub(scaled, column_shift)));
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
      const Vector of_column = V::load(problem_.weights + tile.column + v * kLanes);
      for (std::int64_t i = 0; i < tile.rows; ++i) {
        A* const place = tile_ + i * kTile + v * kLanes;
        V::store(place, V::mul(power_of_two(exponent(place)),
                               V::add(V::set(problem_.weights[tile.row + i]), of_column)));
      }
    }
  }

  void weigh_by_offsets(const Tile& tile) const {
    for (std::int64_t v = 0; v < tile.vectors(); ++v) {
      const Vector column_weight = V::load(problem_.weights + tile.column + v * kLanes),
                   column_offset = V::load(problem_.offsets + tile.column + v * kLanes);
      for (std::int64_t i = 0; i < tile.rows; ++i) {
        A* const place = tile_ + i * kTile + v * kLanes;
        const Vector shared = exponent(place);
        const Vector of_row = V::mul(share(V::add(shared, V::set(problem_.offsets[tile.row + i]))),
                                     V::set(problem_.weights[tile.row + i]));
        V::store(place, V::mul_add(share(V::add(shared, column_offset)), column_weight, of_row));
      }
    }
  }

  // What a match weighs: for either row, as much as its rivals together push it away.
  void attract_matches(const Tile& tile) const {
    each_match(tile, [&](std::int64_t row, std::int64_t match, A& weight) {
      const double logit = kLn2 * static_cast<double>(problem_.rate) *
                           static_cast<double>(problem_.match_cosines[row]);
      const auto pull = [&](std::int64_t r) {
        return static_cast<double>(problem_.incoming[r]) *
               __builtin_expm1(logit < problem_.log_sums[r] ? logit - problem_.log_sums[r] : 0);
      };
      weight = static_cast<A>(pull(row) + pull(match));
    });
  }

  const Problem& problem_;
  std::int64_t stride_;  // of units and slopes
  A* tile_;              // [kTile, kTile]
  A* row_vectors_;       // [kTile, kLanes]
  A* row_values_;        // [kTile]
  A* column_values_;     // [kTile]
};

template <typename T>
void read_contrasted(const ContrastiveProblem<T>& problem, std::int64_t begin, std::int64_t end,
                     void* memory) {
  Contrastive<T>(problem, memory).read(begin, end);
}

template <typename T>
void write_contrasted(const ContrastiveProblem<T>& problem, std::int64_t begin, std::int64_t end,
                      const Ratio& factor, void* memory) {
  Contrastive<T>(problem, memory).write(begin, end, factor);
}

template <typename T>
void sum_contrasted(const ContrastiveProblem<T>& problem, std::int64_t x, std::int64_t y,
                    void* memory) {
  Contrastive<T>(problem, memory).sum(x, y);
}

template <typename T>
void slope_contrasted(const ContrastiveProblem<T>& problem, std::int64_t x, std::int64_t y,
                      void* memory) {
  Contrastive<T>(problem, memory).slope(x, y);
}

}  // namespace
}  // namespace osc::cpu
