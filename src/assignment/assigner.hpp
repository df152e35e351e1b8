// Solves assignment problems: by a look at the least cost of each row, else by the fast solver,
// several small problems together, else by Crouse's. Compiled once an instruction set; see
// runtime/dispatch.hpp.
#pragma once

#include <cstdint>
#include <limits>

#include "assignment/crouse.hpp"
#include "assignment/fast_assignment.hpp"
#include "osc/status.hpp"
#include "osc/view.hpp"
#include "runtime/arena.hpp"

namespace osc::cpu {
namespace {

// T: the type that problems are computed in.
template <typename T>
class Assigner {
  using V = Simd<T>;
  using Vector = typename V::Vector;
  static constexpr std::int64_t kLanes = V::kLanes;
  static constexpr T kInfinity = std::numeric_limits<T>::infinity();

 public:
  static constexpr std::int64_t kMostPending = 16;

  // Whether it pays to solve several problems together.
  static bool is_small(std::int64_t columns) { return stride_of(columns) <= 4 * kLanes; }

  // For problems of `rows` <= `columns`; up to `pending` <= kMostPending of them wait to be solved
  // together.
  Assigner(Arena& arena, std::int64_t rows, std::int64_t columns, std::int64_t pending)
      : rows_(rows),
        columns_(columns),
        stride_(stride_of(columns)),
        scratch_(FastScratch<T>::take(arena, rows, stride_)),
        crouse_(CrouseSolver::take(arena, rows, columns)) {
    for (std::int64_t i = 0; i < pending; ++i)
      problems_[i] = FastProblem<T>::take(arena, rows, stride_);
  }

  std::int64_t stride() const { return stride_; }

  // Its costs may hold any numbers before begin().
  FastProblem<T>& problem(std::int64_t i) { return problems_[i]; }

  // True where the answer is obvious: every row has its least cost in one column alone, no two in
  // the same. Then any other assignment costs more. Square problems with adjacent columns; the
  // costs are looked at where they are.
  template <typename Element>
  bool is_obvious(const View<const Element, 2>& given, bool maximize, std::int64_t i) {
    return maximize ? rows_differ<true>(given, problems_[i])
                    : rows_differ<false>(given, problems_[i]);
  }

  // Takes the costs, times `sign`.
  template <typename Element>
  Begun begin(const View<const Element, 2>& given, T sign, std::int64_t i) {
    const Vector signs = V::set(sign);
    if (given.strides[1] != 1) {
      return begin(i, [&](std::int64_t r, std::int64_t k) {
        return V::mul(gather(row_of(given, r) + k * kLanes * given.strides[1], given.strides[1],
                             columns_ - k * kLanes),
                      signs);
      });
    }
    return begin(i, [&](std::int64_t r, std::int64_t k) {
      return V::mul(load(row_of(given, r) + k * kLanes, columns_ - k * kLanes, T(0)), signs);
    });
  }
  // The same with vector_of(r, k), the k-th vector of row r.
  template <typename VectorOf>
  Begun begin(std::int64_t i, const VectorOf& vector_of) {
    return with_fast([&](const auto& fast) { return fast.begin(problems_[i], vector_of); });
  }
  // Of the first `count` problems, which have begun.
  void reduce(std::int64_t count) {
    with_fast([&](const auto& fast) { fast.reduce(problems_, count); });
  }
  // Of a problem that has been reduced. True where the optimum is the only one, and found.
  bool finish(std::int64_t i) {
    return with_fast([&](const auto& fast) { return fast.finish(problems_[i]); });
  }

  // Of any costs, by Crouse's solver.
  template <typename Element>
  AssignmentStatus solve_by_crouse(const View<const Element, 2>& given, double sign,
                                   std::int64_t i) {
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t c = 0; c < columns_; ++c) {
        const double cost = sign * static_cast<double>(V::first(V::load_first(
                                       row_of(given, r) + c * given.strides[1], 1, T(0))));
        if (cost != cost) return AssignmentStatus::nan_cost;
        if (cost == -kDoubleInfinity) return AssignmentStatus::unbounded_cost;
        crouse_.costs[r * columns_ + c] = cost;
      }
    }
    if (!crouse_.solve()) return AssignmentStatus::infeasible;
    for (std::int64_t r = 0; r < rows_; ++r)
      problems_[i].column_of_row[r] = static_cast<std::int32_t>(crouse_.column_of_row[r]);
    for (std::int64_t c = 0; c < columns_; ++c)
      problems_[i].row_of_column[c] = static_cast<std::int32_t>(crouse_.row_of_column[c]);
    return AssignmentStatus::solved;
  }

 private:
  static constexpr double kDoubleInfinity = std::numeric_limits<double>::infinity();

  static std::int64_t stride_of(std::int64_t columns) {
    const std::int64_t vectors = (columns + kLanes - 1) / kLanes;
    return (vectors == 3 ? 4 : vectors) * kLanes;
  }

  template <typename Use>
  auto with_fast(const Use& use) {
    switch (stride_ / kLanes) {
      case 1: return use(FastAssignment<T, 1>(scratch_, rows_, columns_, stride_));
      case 2: return use(FastAssignment<T, 2>(scratch_, rows_, columns_, stride_));
      case 4: return use(FastAssignment<T, 4>(scratch_, rows_, columns_, stride_));
      default: return use(FastAssignment<T, 0>(scratch_, rows_, columns_, stride_));
    }
  }

  template <typename Element>
  static const Element* row_of(const View<const Element, 2>& given, std::int64_t r) {
    return given.data + r * given.strides[0];
  }

  template <bool kMaximize, typename Element>
  bool rows_differ(const View<const Element, 2>& given, FastProblem<T>& problem) {
    std::int32_t* const column_of_row = scratch_.closed;
    std::int32_t* const taken = scratch_.visit;
    for (std::int64_t c = 0; c < columns_; ++c) taken[c] = 0;
    for (std::int64_t r = 0; r < rows_; ++r) {
      const Element* const x = row_of(given, r);
      const T start =
          V::first(V::load_first(x, 1, T(0)));  // stands in for the lanes beyond the last column
      Vector best[4] = {V::set(start), V::set(start), V::set(start), V::set(start)},
             poison[2] = {V::set(0), V::set(0)};
      const auto look_at = [&](Vector cost, std::int64_t k) {
        best[k % 4] = kMaximize ? V::max(best[k % 4], cost) : V::min(best[k % 4], cost);
        poison[k % 2] = V::mul_add(cost, V::set(0), poison[k % 2]);
      };
      std::int64_t c = 0;
      for (; c + 4 * kLanes <= columns_; c += 4 * kLanes) {
        for (std::int64_t k = 0; k < 4; ++k) look_at(V::load(x + c + k * kLanes), k);
      }
      for (; c < columns_; c += kLanes) look_at(load(x + c, columns_ - c, start), 0);
      for (int k = 1; k < 4; ++k)
        best[0] = kMaximize ? V::max(best[0], best[k]) : V::min(best[0], best[k]);
      const Vector value = kMaximize ? V::greatest(best[0]) : V::least(best[0]);

      // Where it is: bits of 64 columns at a time.
      std::int64_t column = 0, words = 0;
      bool tie = !(V::sum(V::add(poison[0], poison[1])) == 0);
      const auto note = [&](std::uint64_t bits, std::int64_t first) {
        tie |= (bits & (bits - 1)) != 0;
        words += bits != 0;
        column = bits != 0 ? first + __builtin_ctzll(bits) : column;
      };
      const auto bits_of = [&](Vector cost, std::int64_t shift) {
        return static_cast<std::uint64_t>(V::bits(V::equal(cost, value))) << shift;
      };
      for (c = 0; c + 64 <= columns_; c += 64) {
        std::uint64_t bits = 0;
        for (std::int64_t k = 0; k < 64; k += kLanes) bits |= bits_of(V::load(x + c + k), k);
        note(bits, c);
      }
      if (c < columns_) {
        std::uint64_t bits = 0;
        for (std::int64_t k = 0; c + k < columns_; k += kLanes)
          bits |= bits_of(load(x + c + k, columns_ - c - k, start), k);
        note(bits & ((std::uint64_t{1} << (columns_ - c)) - 1), c);
      }
      if (tie || words != 1 || taken[column]) return false;
      column_of_row[r] = static_cast<std::int32_t>(column);
      taken[column] = 1;
    }
    for (std::int32_t r = 0; r < rows_; ++r) {
      problem.column_of_row[r] = column_of_row[r];
      problem.row_of_column[column_of_row[r]] = r;
    }
    return true;
  }

  template <typename Element>
  static Vector load(const Element* x, std::int64_t count, T fill) {
    return count >= kLanes ? V::load(x) : count <= 0 ? V::set(fill) : V::load_first(x, count, fill);
  }

  template <typename Element>
  static Vector gather(const Element* x, std::int64_t stride, std::int64_t count) {
    T lanes[kLanes] = {};
    for (std::int64_t i = 0; i < kLanes && i < count; ++i)
      lanes[i] = V::first(V::load_first(x + i * stride, 1, T(0)));
    return V::load(lanes);
  }

  std::int64_t rows_, columns_, stride_;
  FastScratch<T> scratch_;
  CrouseSolver crouse_;
  FastProblem<T> problems_[kMostPending];
};

inline void write_indices(const std::int32_t* found, std::int64_t size, bool solved,
                          std::int64_t* target) {
  if (!target) return;
  for (std::int64_t i = 0; i < size; ++i) target[i] = solved ? found[i] : -1;
}

}  // namespace
}  // namespace osc::cpu
