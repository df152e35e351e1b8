// Assignment problems: the obvious answer, else the fast way, of several small problems together,
// else the published one. Compiled once an instruction set; see cpu/kernels.hpp.
#pragma once

#include <cstdint>
#include <limits>

#include "cpu/arena.hpp"
#include "cpu/fast_assignment.hpp"
#include "cpu/kernels.hpp"
#include "cpu/published_assignment.hpp"

namespace osc::cpu {
namespace {

// Element (r, c) is data[r * row_stride + c * column_stride].
template <typename T>
struct Strided {
  const T* data;
  std::int64_t rows, columns, row_stride, column_stride;

  const T* row(std::int64_t r) const { return data + r * row_stride; }
  Strided transposed() const { return {data, columns, rows, column_stride, row_stride}; }
};

// T: the type that problems are computed in.
template <typename T>
class Assigner {
  using V = Simd<T>;
  using Vector = typename V::Vector;
  static constexpr std::int64_t kLanes = V::kLanes;
  static constexpr T kInfinity = std::numeric_limits<T>::infinity();

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
        published_(PublishedAssignment::take(arena, rows, columns)) {
    for (std::int64_t i = 0; i < kept; ++i)
      problems_[i] = FastProblem<T>::take(arena, rows, stride_);
  }

  std::int64_t stride() const { return stride_; }

  // Its costs may hold any numbers before begin().
  FastProblem<T>& problem(std::int64_t i) { return problems_[i]; }

  // True where the answer is obvious: every row has its least cost in one column alone, no two in
  // the same. Then any other assignment costs more. Square problems with adjacent columns; the
  // costs are looked at where they are.
  template <typename Element>
  bool is_obvious(const Strided<Element>& given, bool maximize, std::int64_t i) {
    return maximize ? rows_differ<true>(given, problems_[i])
                    : rows_differ<false>(given, problems_[i]);
  }

  // Takes the costs, times `sign`.
  template <typename Element>
  Begun begin(const Strided<Element>& given, T sign, std::int64_t i) {
    const Vector signs = V::set(sign);
    if (given.column_stride != 1) {
      return begin(i, [&](std::int64_t r, std::int64_t k) {
        return V::mul(gather(given.row(r) + k * kLanes * given.column_stride, given.column_stride,
                             columns_ - k * kLanes),
                      signs);
      });
    }
    return begin(i, [&](std::int64_t r, std::int64_t k) {
      return V::mul(load(given.row(r) + k * kLanes, columns_ - k * kLanes, T(0)), signs);
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

  // Of any costs, by the published algorithm.
  template <typename Element>
  AssignmentStatus solve_published(const Strided<Element>& given, double sign, std::int64_t i) {
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t c = 0; c < columns_; ++c) {
        const double cost = sign * static_cast<double>(V::first(V::load_first(
                                       given.row(r) + c * given.column_stride, 1, T(0))));
        if (cost != cost) return AssignmentStatus::nan_cost;
        if (cost == -kDoubleInfinity) return AssignmentStatus::unbounded_cost;
        published_.costs[r * columns_ + c] = cost;
      }
    }
    if (!published_.solve()) return AssignmentStatus::infeasible;
    for (std::int64_t r = 0; r < rows_; ++r)
      problems_[i].column_of_row[r] = static_cast<std::int32_t>(published_.column_of_row[r]);
    for (std::int64_t c = 0; c < columns_; ++c)
      problems_[i].row_of_column[c] = static_cast<std::int32_t>(published_.row_of_column[c]);
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

  template <bool kMaximize, typename Element>
  bool rows_differ(const Strided<Element>& given, FastProblem<T>& problem) {
    std::int32_t* const column_of_row = scratch_.closed;
    std::int32_t* const taken = scratch_.visit;
    for (std::int64_t c = 0; c < columns_; ++c) taken[c] = 0;
    for (std::int64_t r = 0; r < rows_; ++r) {
      const Element* const x = given.row(r);
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
  PublishedAssignment published_;
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
  // The solver's rows are the shorter side, and of a square matrix the one whose elements are
  // farther apart; of ties it knows rows alone.
  const bool wide = task.rows <= task.columns;
  const bool square = task.rows == task.columns;
  const bool by_columns = square && task.column_stride != 1 && task.row_stride == 1;
  const std::int64_t kept = problems_kept<A>(task.rows, task.columns);
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
    const AssignmentStatus status = assigner.solve_published(
        wide ? given(problem) : given(problem).transposed(), static_cast<double>(sign), i);
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
    const Strided<T> fast_order =
        by_columns || !wide ? given(problem).transposed() : given(problem);
    const bool in_place = kept == 1 && square && fast_order.column_stride == 1;
    if (in_place && assigner.is_obvious(fast_order, task.maximize, count)) {
      write_fast(problem, count);
      continue;
    }
    switch (assigner.begin(fast_order, sign, count)) {
      case Begun::not_finite: write_published(problem, count); break;
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
