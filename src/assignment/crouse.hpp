// Crouse's solver (2016, see osc/assignment.hpp) and its tie rules, for one assignment problem: in
// double, a vector of columns at a time. Compiled once per instruction set; see
// runtime/dispatch.hpp.
//
// Rows are assigned one by one. Each starts a shortest-path search, Dijkstra's over reduced costs,
// that ends at the first free column. Then the rows on the path exchange their columns. The order
// of the columns, the comparisons and the order of the operations in `reached` decide ties: a
// change of any of them changes which optimum is found.
//
//   survey   finds the least cost of every row. No price is above 0, and that of a free column is
//            0. So a row whose least cost is in a free column needs no search.
//   solve    searches, from the first row that needs it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include "assignment/cost_rows.hpp"
#include "osc/status.hpp"
#include "runtime/arena.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {
namespace {

// T: the type of the costs.
template <typename T>
class CrouseSolver {
  using V = Simd<double>;
  using Vector = typename V::Vector;
  using Costs = Simd<T>;  // vectors of costs
  static constexpr Index kLanes = V::kLanes;
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr Index kWord = 64;  // columns that share a word, a bit each

 public:
  static CrouseSolver take(Arena& arena, Index rows, Index columns) {
    CrouseSolver memory{};
    memory.rows_ = rows;
    memory.columns_ = columns;
    memory.words_ = (columns + kWord - 1) / kWord;
    memory.least_ = arena.take<T>(rows);
    memory.least_column_ = arena.take<std::int32_t>(rows);
    memory.column_of_row_ = arena.take<std::int32_t>(rows);
    memory.row_of_column_ = arena.take<std::int32_t>(columns);
    memory.row_dual_ = arena.take<double>(rows);
    memory.discount_ = arena.take<double>(memory.words_ * kWord);
    memory.distance_ = arena.take<double>(memory.words_ * kWord);
    memory.previous_row_ = arena.take<double>(memory.words_ * kWord);
    memory.word_nearest_ = arena.take<double>(memory.words_ * kLanes);
    memory.free_ = arena.take<std::uint64_t>(memory.words_);
    memory.moved_ = arena.take<std::uint64_t>(memory.words_);
    memory.open_columns_ = arena.take<std::int32_t>(columns);
    memory.position_ = arena.take<std::int32_t>(columns);
    memory.closed_ = arena.take<Closed>(rows);
    return memory;
  }

  void survey(const CostRows<T>& costs) {
    survey_any(costs, false);
    scans_ = std::numeric_limits<Index>::max();
  }
  // survey() for a solve() that may give up. False if solve() would probably be slower than the
  // fast solver; the survey may have ended early then.
  bool survey_if_short(const CostRows<T>& costs) {
    const bool is_wide = 2 * columns_ >= 3 * rows_;  // enough free columns for short searches
    if (!survey_any(costs, !is_wide)) return false;
    const bool may_not_give_up = is_wide || !ordinary_ || many_ties(costs, rows_);
    scans_ = may_not_give_up ? std::numeric_limits<Index>::max() : rows_;
    return true;
  }

  // Follows a whole survey of these costs.
  AssignmentStatus solve(const CostRows<T>& costs) {
    const AssignmentStatus status = ordinary_ ? AssignmentStatus::solved : examine(costs);
    if (status != AssignmentStatus::solved) return status;
    return may_overflow_ ? solve_rows<true>(costs) : solve_rows<false>(costs);
  }
  // Whether the last solve() has no result, because it gave up or because a sum overflowed. Smaller
  // costs do not overflow.
  bool gave_up() const { return scans_ < 0; }
  bool overflowed() const { return overflowed_; }

  const std::int32_t* column_of_row() const { return column_of_row_; }  // [rows]
  const std::int32_t* row_of_column() const { return row_of_column_; }  // [columns], -1 for none

 private:
  struct Closed {
    double distance, discount;
    std::int32_t column, position;
    std::int32_t moved;  // the column that took its position
  };

  void begin() {
    for (Index r = 0; r < rows_; ++r) column_of_row_[r] = -1;
    for (Index c = 0; c < columns_; ++c) row_of_column_[c] = -1;
    for (Index w = 0; w < words_; ++w) free_[w] = ~std::uint64_t{0};
    if (columns_ % kWord != 0) free_[words_ - 1] = (std::uint64_t{1} << columns_ % kWord) - 1;
  }

  bool survey_any(const CostRows<T>& costs, bool may_end) {
    return costs.sign < 0 ? survey_rows<true>(costs, may_end) : survey_rows<false>(costs, may_end);
  }

  template <bool kNegated>
  bool survey_rows(const CostRows<T>& costs, bool may_end) {
    begin();
    may_overflow_ = false;
    typename Costs::Vector squares[4];
    for (auto& sum : squares) sum = Costs::set(1);  // so that tiny costs leave no denormal sums
    Index unplaced = 0;                             // rows that need a search
    first_unplaced_ = rows_;
    tied_ = 0;
    constexpr Index kTogether = 16;
    for (Index first = 0; first < rows_; first += kTogether) {
      const Index end = std::min(first + kTogether, rows_);
      for (Index r = first; r < end; ++r) {
        const auto lanes = least_lanes<kNegated>(costs.row(r), squares);
        least_[r] = Costs::first(kNegated ? Costs::greatest(lanes) : Costs::least(lanes));
        least_column_[r] = static_cast<std::int32_t>(first_equal(costs.row(r), least_[r]));
      }
      for (Index r = first; r < end; ++r) {
        const bool placed = place(costs, r);
        if (!placed && first_unplaced_ == rows_) first_unplaced_ = r;
        unplaced += !placed;
        tied_ += placed && column_of_row_[r] != least_column_[r];
      }
      // Of n rows of random costs, k^2 / 3n or more of the first k need a search. If they are far
      // fewer, searches will be few and short.
      if (may_end && 4 * end >= rows_ && 30 * unplaced * rows_ > end * end &&
          !many_ties(costs, end))
        return false;
    }
    const auto sum =
        Costs::add(Costs::add(squares[0], squares[1]), Costs::add(squares[2], squares[3]));
    ordinary_ = Costs::sum(sum) < std::numeric_limits<T>::infinity();
    return true;
  }

  // Whether the optimum is hardly unique: many of the first `count` rows have several least costs,
  // or many costs are equal to the next.
  bool many_ties(const CostRows<T>& costs, Index count) const {
    if (20 * tied_ > count) return true;
    constexpr Index kSample = 4;  // rows
    Index looked_at = 0, repeated = 0;
    for (Index r = 0; r < std::min(kSample, rows_); ++r) {
      const T* const x = costs.row(r);
      for (Index c = 0; c + Costs::kLanes < columns_; c += Costs::kLanes) {
        looked_at += Costs::kLanes;
        repeated +=
            std::popcount(Costs::bits(Costs::equal(Costs::load(x + c), Costs::load(x + c + 1))));
      }
    }
    return 8 * repeated > looked_at;
  }

  template <bool kNegated>
  static typename Costs::Vector lesser(typename Costs::Vector a, typename Costs::Vector b) {
    return kNegated ? Costs::max(a, b) : Costs::min(a, b);
  }

  // The least costs of a row in each lane.
  template <bool kNegated>
  typename Costs::Vector least_lanes(const T* x, typename Costs::Vector (&squares)[4]) const {
    using C = typename Costs::Vector;
    constexpr Index kCosts = Costs::kLanes;
    const C start = Costs::set(x[0]);
    C least[4] = {start, start, start, start};
    const auto take = [&](C cost, int k) {
      least[k] = lesser<kNegated>(least[k], cost);
      squares[k] = Costs::mul_add(cost, cost, squares[k]);
    };
    Index c = 0;
    for (; c + 4 * kCosts <= columns_; c += 4 * kCosts) {
      for (int k = 0; k < 4; ++k) take(Costs::load(x + c + k * kCosts), k);
    }
    for (; c + kCosts <= columns_; c += kCosts) take(Costs::load(x + c), 0);
    if (c < columns_) take(Costs::load_first(x + c, columns_ - c, x[0]), 1);
    return lesser<kNegated>(lesser<kNegated>(least[0], least[1]),
                            lesser<kNegated>(least[2], least[3]));
  }

  // The columns of word w that cost `value`.
  std::uint64_t equal_columns(const T* x, typename Costs::Vector value, Index w) const {
    constexpr Index kCosts = Costs::kLanes;
    const auto equal = [&](typename Costs::Vector costs, Index k) {
      return static_cast<std::uint64_t>(Costs::bits(Costs::equal(costs, value))) << k;
    };
    const T* const costs = x + w * kWord;
    const Index count = columns_ - w * kWord;
    std::uint64_t bits = 0;
    if (count >= kWord) {
      for (Index k = 0; k < kWord; k += kCosts) bits |= equal(Costs::load(costs + k), k);
      return bits;
    }
    Index k = 0;
    for (; k + kCosts <= count; k += kCosts) bits |= equal(Costs::load(costs + k), k);
    if (k < count) bits |= equal(Costs::load_first(costs + k, count - k, T(0)), k);
    return bits & ((std::uint64_t{1} << count) - 1);
  }

  // The first column that costs `least`; -1 if no column does, which happens where costs are NaN.
  Index first_equal(const T* x, T least) const {
    constexpr Index kAtOnce = 4;  // words that are searched without a branch
    const typename Costs::Vector value = Costs::set(least);
    for (Index first = 0;; first += kAtOnce) {
      Index column = -1;
      for (Index w = std::min(first + kAtOnce, words_) - 1; w >= first; --w) {
        const std::uint64_t bits = equal_columns(x, value, w);
        const Index found = -static_cast<Index>(bits != 0);  // all bits or none
        column = (column & ~found) | ((w * kWord + std::countr_zero(bits)) & found);
      }
      if (column >= 0 || first + kAtOnce >= words_) return column;
    }
  }

  // Assigns a row to the first free column that has its least cost: a search from this row would
  // end there at once. False if no free column has the least cost.
  bool place(const CostRows<T>& costs, Index r) {
    const Index first = least_column_[r];
    if (first < 0 || !(costs.sign * least_[r] < std::numeric_limits<T>::infinity())) return false;
    if (row_of_column_[first] < 0) {
      assign(r, first);
      return true;
    }
    for (Index w = first / kWord; w < words_; ++w) {
      if (free_[w] == 0) continue;
      const std::uint64_t bits = equal_columns(costs.row(r), Costs::set(least_[r]), w) & free_[w];
      if (bits == 0) continue;
      assign(r, w * kWord + std::countr_zero(bits));
      return true;
    }
    return false;
  }

  void assign(Index r, Index column) {
    column_of_row_[r] = static_cast<std::int32_t>(column);
    row_of_column_[column] = static_cast<std::int32_t>(r);
    free_[column / kWord] &= ~(std::uint64_t{1} << column % kWord);
  }

  // The first cost that no problem may have, if there is one.
  AssignmentStatus examine(const CostRows<T>& costs) {
    const typename Costs::Vector infinity = Costs::set(std::numeric_limits<T>::infinity());
    typename Costs::Vector highest = Costs::set(0);
    for (Index r = 0; r < rows_; ++r) {
      const T* const x = costs.row(r);
      for (Index c = 0; c < columns_; c += Costs::kLanes) {
        const Index count = columns_ - c < Costs::kLanes ? columns_ - c : Costs::kLanes;
        const auto cost =
            count == Costs::kLanes ? Costs::load(x + c) : Costs::load_first(x + c, count, T(0));
        const auto finite = Costs::less(Costs::abs(cost), infinity);
        highest = Costs::max(highest, Costs::select(finite, Costs::abs(cost), Costs::set(0)));
        if (Costs::bits(finite) == Costs::bits(Costs::first_lanes(Costs::kLanes))) continue;
        for (Index k = c; k < c + count; ++k) {
          const T signed_cost = costs.sign * x[k];
          if (signed_cost != signed_cost) return AssignmentStatus::nan_cost;
          if (signed_cost == -std::numeric_limits<T>::infinity())
            return AssignmentStatus::unbounded_cost;
        }
      }
    }
    // Sums and differences of costs beyond this could overflow, since 960 bits and 64 of a number
    // of rows are those of the largest double.
    may_overflow_ = !(static_cast<double>(Costs::first(Costs::greatest(highest))) < 0x1p960);
    return AssignmentStatus::solved;
  }

  template <bool kMayOverflow>
  AssignmentStatus solve_rows(const CostRows<T>& costs) {
    overflowed_ = false;
    if (first_unplaced_ == rows_) return AssignmentStatus::solved;
    for (Index r = first_unplaced_; r < rows_; ++r) {
      const Index column = column_of_row_[r];
      if (column < 0) continue;
      column_of_row_[r] = row_of_column_[column] = -1;
      free_[column / kWord] |= std::uint64_t{1} << column % kWord;
    }
    for (Index r = 0; r < first_unplaced_; ++r)
      row_dual_[r] = static_cast<double>(costs.sign * least_[r]);
    for (Index c = 0; c < words_ * kWord; ++c) {
      discount_[c] = 0;
      distance_[c] = kInfinity;
    }
    for (Index w = 0; w < words_; ++w) moved_[w] = 0;
    for (std::int32_t c = 0; c < columns_; ++c)
      position_[c] = open_columns_[c] = static_cast<std::int32_t>(columns_ - 1 - c);
    surcharged_ = false;
    for (Index r = first_unplaced_; r < rows_; ++r) {
      if (!surcharged_ && place(costs, r)) {
        row_dual_[r] = static_cast<double>(costs.sign * least_[r]);
      } else if (!augment<kMayOverflow>(costs, r)) {
        return AssignmentStatus::infeasible;
      }
    }
    return AssignmentStatus::solved;
  }

  // Distances of all columns, a vector at a time: distance_of(c, costs) from column c on. Leaves
  // the least of each word, lane by lane, in word_nearest_, and returns the least of all in every
  // lane.
  template <typename DistanceOf>
  Vector visit(const T* x, T sign, const DistanceOf& distance_of) {
    Vector nearest = V::set(kInfinity);
    for (Index w = 0; w < words_; ++w) {
      const Index begin = w * kWord, end = std::min(begin + kWord, columns_);
      Vector in_word = V::set(kInfinity);
      Index c = begin;
      for (; c + kLanes <= end; c += kLanes)
        in_word = V::min(in_word, distance_of(c, V::load(x + c)));
      if (c < end) {
        const Vector costs =
            V::load_first(x + c, end - c, sign * std::numeric_limits<T>::infinity());
        in_word = V::min(in_word, distance_of(c, costs));
      }
      V::store(word_nearest_ + w * kLanes, in_word);
      nearest = V::min(nearest, in_word);
    }
    return V::least(nearest);
  }

  template <bool kMayOverflow>
  bool augment(const CostRows<T>& costs, Index new_row) {
    const Vector sign = V::set(static_cast<double>(costs.sign));
    double* const discounts = discount_;
    double* const distances = distance_;
    double* const previous_rows = previous_row_;
    Vector nearest = visit(costs.row(new_row), costs.sign, [&](Index c, Vector cost) {
      const Vector discount = V::load(discounts + c);
      const Vector reached = V::mul_add(cost, sign, discount);
      if constexpr (kMayOverflow) check(cost, discount, reached);
      V::store(distances + c, reached);
      return reached;
    });
    if (!(V::first(nearest) < kInfinity)) return false;
    Index column = choose(nearest), open = columns_, closed = 0;
    if (row_of_column_[column] < 0) {
      row_dual_[new_row] = V::first(nearest);
      assign(new_row, column);
      return !overflowed_;
    }
    const Vector start = V::set(static_cast<double>(new_row));
    for (Index c = 0; c < columns_; c += kLanes) V::store(previous_rows + c, start);
    while (row_of_column_[column] >= 0) {
      if (--scans_ < 0) return false;
      const std::int32_t position = position_[column], last = open_columns_[--open];
      closed_[closed++] = {distances[column], discounts[column], static_cast<std::int32_t>(column),
                           position, last};
      if (last != column) {
        open_columns_[position] = last;
        position_[last] = position;
        moved_[last / kWord] |= std::uint64_t{1} << last % kWord;
      }
      distances[column] = discounts[column] = kInfinity;  // so that it is not found again

      const Index row = row_of_column_[column];
      const Vector path = nearest, dual = V::set(row_dual_[row]),
                   from = V::set(static_cast<double>(row));
      nearest = visit(costs.row(row), costs.sign, [&](Index c, Vector cost) {
        const Vector discount = V::load(discounts + c), before = V::load(distances + c);
        const Vector reached = V::add(V::sub(V::mul_add(cost, sign, path), dual), discount);
        if constexpr (kMayOverflow) check(cost, discount, reached);
        const auto nearer = V::less(reached, before);
        const Vector now = V::select(nearer, reached, before);
        V::store(previous_rows + c, V::select(nearer, from, V::load(previous_rows + c)));
        V::store(distances + c, now);
        return now;
      });
      if (!(V::first(nearest) < kInfinity)) return false;
      column = choose(nearest);
    }
    if (overflowed_) return false;

    // New duals: every reduced cost stays at least 0, and the pairs on the path get exactly 0. A
    // closed column's row is the one that it led to.
    const double length = V::first(nearest);
    row_dual_[new_row] = length;
    for (Index i = 0; i < closed; ++i) {
      const Closed& passed = closed_[i];
      const double rest = length - passed.distance;
      row_dual_[row_of_column_[passed.column]] += rest;
      discount_[passed.column] = passed.discount + rest;
      surcharged_ |= discount_[passed.column] < 0;
      open_columns_[passed.position] = static_cast<std::int32_t>(columns_ - 1 - passed.position);
      position_[passed.moved] = static_cast<std::int32_t>(columns_ - 1 - passed.moved);
      moved_[passed.moved / kWord] &= ~(std::uint64_t{1} << passed.moved % kWord);
    }
    while (true) {
      const auto path_row = static_cast<Index>(previous_row_[column]);
      const Index next = column_of_row_[path_row];
      assign(path_row, column);
      if (path_row == new_row) return true;
      column = next;
    }
  }

  // Sets overflowed_ if the distance of an open column of finite cost is not finite.
  void check(Vector cost, Vector discount, Vector reached) {
    const Vector infinity = V::set(kInfinity);
    overflowed_ |=
        (V::bits(V::less(V::abs(cost), infinity)) & V::bits(V::less(discount, infinity)) &
         ~V::bits(V::less(V::abs(reached), infinity))) != 0;
  }

  // The next column: one of those at the least distance, in the order of SciPy's search. A free
  // column ends the search. So the last free column in that order is taken, or, if none is free,
  // the first column. The order is from the last column to the first, except that columns that have
  // moved are visited at their new positions.
  Index choose(Vector nearest) const {
    Choice choice{-1, -1, -1, columns_};
    for (Index w = 0; w < words_; ++w) {
      if (words_ > 1 && V::bits(V::equal(V::load(word_nearest_ + w * kLanes), nearest)) == 0)
        continue;
      const std::uint64_t equal = columns_at(nearest, w), free = equal & free_[w];
      if (free == 0 && choice.free_column >= 0) continue;
      const std::uint64_t candidates = free != 0 ? free : equal;
      for (std::uint64_t bits = candidates & moved_[w]; bits != 0; bits &= bits - 1)
        consider(w * kWord + std::countr_zero(bits), choice);
      const std::uint64_t unmoved = candidates & ~moved_[w];
      if (unmoved == 0) continue;
      if (free == 0) {
        consider(w * kWord + kWord - 1 - std::countl_zero(unmoved), choice);
      } else {  // the last in the order among this word and all that follow
        consider(w * kWord + std::countr_zero(unmoved), choice);
        break;
      }
    }
    return choice.free_column >= 0 ? choice.free_column : choice.taken_column;
  }

  struct Choice {
    Index free_column, free_position;    // the last one
    Index taken_column, taken_position;  // the first one
  };

  void consider(Index column, Choice& choice) const {
    const Index position = position_[column];
    if (row_of_column_[column] < 0) {
      if (position > choice.free_position) {
        choice.free_column = column;
        choice.free_position = position;
      }
    } else if (position < choice.taken_position) {
      choice.taken_column = column;
      choice.taken_position = position;
    }
  }

  // The columns of word w at the distance `nearest`, as bits.
  std::uint64_t columns_at(Vector nearest, Index w) const {
    std::uint64_t bits = 0;
    const double* const x = distance_ + w * kWord;
    const Index count = columns_ - w * kWord;
    for (Index k = 0; k < kWord && k < count; k += kLanes)
      bits |= static_cast<std::uint64_t>(V::bits(V::equal(V::load(x + k), nearest))) << k;
    return bits;
  }

  Index rows_, columns_, words_;
  T* least_;                     // [rows], as given
  std::int32_t* least_column_;   // [rows], the first that has it
  std::int32_t* column_of_row_;  // [rows], -1 for none yet
  std::int32_t* row_of_column_;  // [columns], -1 for none
  double* row_dual_;             // [rows]
  // An element for each column, and more up to whole words:
  double* discount_;      // the negated dual: at least 0, up to rounding; +inf of a closed column
  double* distance_;      // +inf of a closed column
  double* previous_row_;  // on the path to each column
  double* word_nearest_;  // [words, lanes], the least distances of a word's columns
  // A bit for each column:
  std::uint64_t* free_;
  std::uint64_t* moved_;        // whether it has another position than at the start
  std::int32_t* open_columns_;  // whose distance is not final, in the order of SciPy's search
  std::int32_t* position_;      // [columns], the place in open_columns_
  Closed* closed_;              // [rows]
  Index first_unplaced_ = 0;
  Index tied_ = 0;         // rows with several least costs, the first of them in a taken column
  Index scans_ = 0;        // how many more visits of rows are allowed; negative: gave up
  bool ordinary_ = false;  // all costs are finite, and so are their squares
  bool may_overflow_ = false;
  bool overflowed_ = false;
  bool surcharged_ = false;  // whether rounding has given a column a negative discount
};

}  // namespace
}  // namespace osc::cpu
