// Solves assignment problems. Crouse's solver takes those with few searches or many ties at once.
// The fast solver takes the others, several small ones together, and leaves some to Crouse's.
// Compiled once per instruction set; see runtime/dispatch.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>

#include "assignment/cost_rows.hpp"
#include "assignment/crouse.hpp"
#include "assignment/fast_assignment.hpp"
#include "osc/status.hpp"
#include "osc/view.hpp"
#include "runtime/arena.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {
namespace {

// T: the type that problems are computed in.
template <typename T>
class Assigner {
  using V = Simd<T>;
  using Vector = typename V::Vector;
  static constexpr Index kLanes = V::kLanes;

 public:
  static constexpr Index kMostPending = 16;

  // Whether it pays to solve several problems together.
  static bool is_small(Index columns) { return stride_of(columns) <= 4 * kLanes; }

  // Solves problems of `rows` <= `columns`; up to `pending` <= kMostPending of them wait to be
  // solved together.
  Assigner(Arena& arena, Index rows, Index columns, Index pending)
      : rows_(rows),
        columns_(columns),
        stride_(stride_of(columns)),
        scratch_(FastScratch<T>::take(arena, rows, stride_)),
        crouse_(CrouseSolver<T>::take(arena, rows, columns)) {
    arena.take_each(pending, [&](Arena& piece, Index i) {
      problems_[i] = FastProblem<T>::take(piece, rows, stride_);
    });
  }

  Index stride() const { return stride_; }

  // The costs of a problem need no initial values; begin() sets them.
  FastProblem<T>& problem(Index i) { return problems_[i]; }

  // The rows of a matrix, as adjacent costs of type T. If the matrix is not such an array, its rows
  // are packed into the costs of problem i.
  template <typename Element>
  CostRows<T> rows_of(const View<const Element, 2>& given, T sign, Index i) {
    if constexpr (std::is_same_v<T, Element>) {
      if (given.strides[1] == 1 || columns_ == 1) return {given.data, given.strides[0], sign};
    }
    RowPacker<T>::pack(given, problems_[i].costs, stride_);
    return {problems_[i].costs, stride_, sign};
  }

  // Solves a problem by Crouse's solver.
  AssignmentStatus solve_by_crouse(const CostRows<T>& costs, Index i) {
    crouse_.survey(costs);
    return solve(costs, i);
  }
  // Solves a problem by Crouse's solver, unless the fast solver is probably faster.
  std::optional<AssignmentStatus> solve_if_short(const CostRows<T>& costs, Index i) {
    if (!crouse_.survey_if_short(costs)) return std::nullopt;
    const AssignmentStatus status = solve(costs, i);
    if (crouse_.gave_up()) return std::nullopt;
    return status;
  }

  // The fast solver.
  Begun begin(const CostRows<T>& costs, Index i) {
    const Vector sign = V::set(costs.sign);
    return begin(i, [&](Index r, Index k) {
      return V::mul(load(costs.row(r) + k * kLanes, columns_ - k * kLanes), sign);
    });
  }
  // begin() with vector_of(r, k), the k-th vector of row r.
  template <typename VectorOf>
  Begun begin(Index i, const VectorOf& vector_of) {
    return with_fast([&](const auto& fast) { return fast.begin(problems_[i], vector_of); });
  }
  // Row reduction of the first `count` problems, after begin().
  void reduce(Index count) {
    with_fast([&](const auto& fast) { fast.reduce(problems_, count); });
  }
  // Ends a problem, after reduce(). True if the optimum is found, and unique.
  bool finish(Index i) {
    return with_fast([&](const auto& fast) { return fast.finish(problems_[i]); });
  }

 private:
  AssignmentStatus solve(const CostRows<T>& costs, Index i) {
    FastProblem<T>& problem = problems_[i];
    AssignmentStatus status = crouse_.solve(costs);
    if (crouse_.overflowed()) {  // smaller costs do not overflow
      constexpr T kShrink = T(0x1p-60);
      for (Index r = 0; r < rows_; ++r) {
        const T* const x = costs.row(r);
        for (Index c = 0; c < columns_; ++c)
          problem.costs[r * stride_ + c] = costs.sign * x[c] * kShrink;
      }
      const CostRows<T> rows{problem.costs, stride_, T(1)};
      crouse_.survey(rows);
      status = crouse_.solve(rows);
    }
    if (status != AssignmentStatus::solved) return status;
    for (Index r = 0; r < rows_; ++r) problem.column_of_row[r] = crouse_.column_of_row()[r];
    for (Index c = 0; c < columns_; ++c) problem.row_of_column[c] = crouse_.row_of_column()[c];
    return status;
  }

  static Index stride_of(Index columns) {
    const Index vectors = (columns + kLanes - 1) / kLanes;
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

  static Vector load(const T* x, Index count) {
    return count >= kLanes ? V::load(x) : count <= 0 ? V::set(0) : V::load_first(x, count, T(0));
  }

  Index rows_, columns_, stride_;
  FastScratch<T> scratch_;
  CrouseSolver<T> crouse_;
  FastProblem<T> problems_[kMostPending];
};

inline void write_indices(const std::int32_t* found, Index size, bool solved, Index* target) {
  if (!target) return;
  for (Index i = 0; i < size; ++i) target[i] = solved ? found[i] : -1;
}

}  // namespace
}  // namespace osc::cpu
