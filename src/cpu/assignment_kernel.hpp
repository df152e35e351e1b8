// Assignment problems: by the published algorithm at once where few rows need a search or there are
// many ties; else the fast way, of several small problems together, and by the published algorithm
// what that leaves. Compiled once an instruction set; see cpu/kernels.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>

#include "cpu/arena.hpp"
#include "cpu/cost_rows.hpp"
#include "cpu/fast_assignment.hpp"
#include "cpu/kernels.hpp"
#include "cpu/published_assignment.hpp"

namespace osc::cpu {
namespace {

// T: the type that problems are computed in.
template <typename T>
class Assigner {
  using V = Simd<T>;
  using Vector = typename V::Vector;
  static constexpr std::int64_t kLanes = V::kLanes;

 public:
  static constexpr std::int64_t kMostKept = 16;

  // Whether it pays to solve several problems together.
  static bool is_small(std::int64_t columns) { return stride_of(columns) <= 4 * kLanes; }

  // For problems of `rows` <= `columns`; up to `kept` <= kMostKept of them wait to be solved
  // together.
  Assigner(Arena& arena, std::int64_t rows, std::int64_t columns, std::int64_t kept)
      : rows_(rows),
        columns_(columns),
        stride_(stride_of(columns)),
        scratch_(FastScratch<T>::take(arena, rows, stride_)),
        published_(PublishedAssignment<T>::take(arena, rows, columns)) {
    for (std::int64_t i = 0; i < kept; ++i)
      problems_[i] = FastProblem<T>::take(arena, rows, stride_);
  }

  std::int64_t stride() const { return stride_; }

  // Its costs may hold any numbers before begin().
  FastProblem<T>& problem(std::int64_t i) { return problems_[i]; }

  // Rows of adjacent costs of the type that is computed in. Where they do not lie so, they are
  // packed into the costs of problem i.
  template <typename Element>
  CostRows<T> rows_of(const Strided<Element>& given, T sign, std::int64_t i) {
    if constexpr (std::is_same_v<T, Element>) {
      if (given.column_stride == 1 || columns_ == 1) return {given.data, given.row_stride, sign};
    }
    RowPacker<T>::pack(given, problems_[i].costs, stride_);
    return {problems_[i].costs, stride_, sign};
  }

  // By the published algorithm.
  AssignmentStatus solve_published(const CostRows<T>& costs, std::int64_t i) {
    published_.survey(costs);
    return solve(costs, i);
  }
  // The same where that is the shortest way, as far as it shows.
  std::optional<AssignmentStatus> solve_if_short(const CostRows<T>& costs, std::int64_t i) {
    if (!published_.survey_if_short(costs)) return std::nullopt;
    const AssignmentStatus status = solve(costs, i);
    if (published_.gave_up()) return std::nullopt;
    return status;
  }

  // The fast way.
  Begun begin(const CostRows<T>& costs, std::int64_t i) {
    const Vector sign = V::set(costs.sign);
    return begin(i, [&](std::int64_t r, std::int64_t k) {
      return V::mul(load(costs.row(r) + k * kLanes, columns_ - k * kLanes), sign);
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

 private:
  AssignmentStatus solve(const CostRows<T>& costs, std::int64_t i) {
    FastProblem<T>& problem = problems_[i];
    AssignmentStatus status = published_.solve(costs);
    if (published_.overflowed()) {  // not so where costs are shrunk
      constexpr T kShrink = T(0x1p-60);
      for (std::int64_t r = 0; r < rows_; ++r) {
        const T* const x = costs.row(r);
        for (std::int64_t c = 0; c < columns_; ++c)
          problem.costs[r * stride_ + c] = costs.sign * x[c] * kShrink;
      }
      const CostRows<T> rows{problem.costs, stride_, T(1)};
      published_.survey(rows);
      status = published_.solve(rows);
    }
    if (status != AssignmentStatus::solved) return status;
    for (std::int64_t r = 0; r < rows_; ++r)
      problem.column_of_row[r] = published_.column_of_row()[r];
    for (std::int64_t c = 0; c < columns_; ++c)
      problem.row_of_column[c] = published_.row_of_column()[c];
    return status;
  }

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

  static Vector load(const T* x, std::int64_t count) {
    return count >= kLanes ? V::load(x) : count <= 0 ? V::set(0) : V::load_first(x, count, T(0));
  }

  std::int64_t rows_, columns_, stride_;
  FastScratch<T> scratch_;
  PublishedAssignment<T> published_;
  FastProblem<T> problems_[kMostKept];
};

inline void write_indices(const std::int32_t* found, std::int64_t size, bool solved,
                          std::int64_t* target) {
  if (!target) return;
  for (std::int64_t i = 0; i < size; ++i) target[i] = solved ? found[i] : -1;
}

template <typename T>
std::int64_t problems_kept(std::int64_t rows, std::int64_t columns) {
  return Assigner<T>::is_small(rows < columns ? columns : rows) ? Assigner<T>::kMostKept : 1;
}

template <typename T>
std::size_t assignment_memory(std::int64_t rows, std::int64_t columns) {
  using A = typename Computed<T>::Type;
  Arena arena;
  Assigner<A>(arena, rows < columns ? rows : columns, rows < columns ? columns : rows,
              problems_kept<A>(rows, columns));
  return arena.used();
}

template <typename T>
void assign(const AssignmentTask<T>& task, std::int64_t begin, std::int64_t end, void* memory) {
  using A = typename Computed<T>::Type;
  // The solver's rows are the shorter side. The fast way, which finds no other optimum than the
  // only one, may take the columns of a square matrix for its rows, which saves packing small ones.
  const bool wide = task.rows <= task.columns;
  const bool square = task.rows == task.columns;
  const std::int64_t kept = problems_kept<A>(task.rows, task.columns);
  const bool by_columns = square && kept > 1 && task.column_stride != 1 && task.row_stride == 1;
  Arena arena(memory);
  Assigner<A> assigner(arena, wide ? task.rows : task.columns, wide ? task.columns : task.rows,
                       kept);
  const A sign = task.maximize ? A(-1) : A(1);
  const auto given = [&](std::int64_t problem) {
    return Strided<T>{task.data + problem * task.problem_stride, task.rows, task.columns,
                      task.row_stride, task.column_stride};
  };
  const auto write = [&](std::int64_t problem, AssignmentStatus status, bool transposed,
                         const FastProblem<A>& answer) {
    const bool solved = status == AssignmentStatus::solved;
    task.statuses[problem] = status;
    write_indices(transposed ? answer.row_of_column : answer.column_of_row, task.rows, solved,
                  task.column_of_row ? task.column_of_row + problem * task.rows : nullptr);
    write_indices(transposed ? answer.column_of_row : answer.row_of_column, task.columns, solved,
                  task.row_of_column ? task.row_of_column + problem * task.columns : nullptr);
  };
  const auto write_fast = [&](std::int64_t problem, std::int64_t i) {
    write(problem, AssignmentStatus::solved, by_columns || !wide, assigner.problem(i));
  };
  const auto write_published = [&](std::int64_t problem, std::int64_t i) {
    const Strided<T> rows = wide ? given(problem) : given(problem).transposed();
    const AssignmentStatus status = assigner.solve_published(assigner.rows_of(rows, sign, i), i);
    write(problem, status, !wide, assigner.problem(i));
  };
  std::int64_t waiting[Assigner<A>::kMostKept], count = 0;
  const auto solve_waiting = [&] {
    assigner.reduce(count);
    for (std::int64_t i = 0; i < count; ++i) {
      if (assigner.finish(i)) {
        write_fast(waiting[i], i);
      } else {
        write_published(waiting[i], i);
      }
    }
    count = 0;
  };
  for (std::int64_t problem = begin; problem < end; ++problem) {
    const Strided<T> rows = wide ? given(problem) : given(problem).transposed();
    const CostRows<A> costs = assigner.rows_of(by_columns ? rows.transposed() : rows, sign, count);
    if (kept == 1 || !square) {
      if (const auto status = assigner.solve_if_short(costs, count)) {
        write(problem, *status, !wide, assigner.problem(count));
        continue;
      }
    }
    switch (assigner.begin(costs, count)) {
      case Begun::not_finite:
      case Begun::contested: write_published(problem, count); break;
      case Begun::solved: write_fast(problem, count); break;
      case Begun::waiting:
        waiting[count++] = problem;
        if (count == kept) solve_waiting();
    }
  }
  solve_waiting();
}

}  // namespace
}  // namespace osc::cpu
