// Assignment problems, one after another: the obvious answer, else the fast way, else the published one. Compiled once an instruction set; see cpu/kernels.hpp.
#pragma once

#include <cstdint>
#include <limits>

#include "cpu/arena.hpp"
#include "cpu/fast_assignment.hpp"
#include "cpu/kernels.hpp"
#include "cpu/published_assignment.hpp"

namespace osc::cpu {
namespace {

// The type that elements are computed in.
template <typename T>
struct Computed {
  using Type = float;
};
template <>
struct Computed<double> {
  using Type = double;
};

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
  // For problems of `rows` <= `columns`.
  Assigner(Arena& arena, std::int64_t rows, std::int64_t columns)
      : rows_(rows), columns_(columns), stride_(stride_of(columns)), fast_(FastAssignmentMemory<T>::take(arena, rows, stride_)),
        published_(PublishedAssignment::take(arena, rows, columns)) {}

  // Costs are given by pack(), or are put here, with +inf in the columns from `columns` to stride().
  T* costs() { return fast_.costs; }
  std::int64_t stride() const { return stride_; }

  // The answer: -1 in row_of_column for a column that is left over.
  const std::int32_t* column_of_row() const { return fast_.column_of_row; }
  const std::int32_t* row_of_column() const { return fast_.row_of_column; }

  // If every column has its least cost in one row alone, and no two in the same, that is the only optimum. `sign` is 1, or -1 to maximise. Square problems with adjacent columns.
  template <typename Element>
  bool solve_obvious(const Strided<Element>& given, T sign) {
    const Vector signs = V::set(sign);
    Vector poison = V::set(0);
    if (columns_ <= kLanes) {
      poison = least_of_columns<1, 2>(given, signs, 0);
    } else if (columns_ <= 2 * kLanes) {
      poison = least_of_columns<2, 2>(given, signs, 0);
    } else if (columns_ <= 4 * kLanes) {
      poison = least_of_columns<4, 1>(given, signs, 0);
    } else {
      for (std::int64_t c = 0; c < columns_; c += 8 * kLanes) poison = V::add(poison, least_of_columns<8, 1>(given, signs, c));
    }
    if (!(V::sum(poison) == 0)) return false;
    for (std::int64_t r = 0; r < rows_; ++r) {
      const Element* const x = given.row(r);
      std::int32_t column = -1;
      for (std::int64_t c = 0; c < columns_; c += kLanes) {
        const std::int64_t count = columns_ - c;
        std::uint32_t bits = V::bits(V::equal(V::mul(load(x + c, count), signs), V::load(fast_.price + c)));
        if (count < kLanes) bits &= (1u << count) - 1;
        if (bits == 0) continue;
        if (column >= 0 || (bits & (bits - 1)) != 0) return false;
        column = static_cast<std::int32_t>(c + __builtin_ctz(bits));
      }
      if (column < 0) return false;
      fast_.column_of_row[r] = column;
      fast_.row_of_column[column] = static_cast<std::int32_t>(r);
    }
    return true;
  }

  // Copies the costs, times `sign`. False where one is not finite. `largest` becomes the largest magnitude.
  template <typename Element>
  bool pack(const Strided<Element>& given, T sign, T& largest) {
    Vector poison = V::set(0), highest = V::set(0);
    const Vector signs = V::set(sign);
    for (std::int64_t r = 0; r < rows_; ++r) {
      const Element* const x = given.row(r);
      T* const target = fast_.costs + r * stride_;
      for (std::int64_t c = 0; c < stride_; c += kLanes) {
        const std::int64_t count = columns_ - c;
        if (count <= 0) {
          V::store(target + c, V::set(kInfinity));
          continue;
        }
        const Vector cost = V::mul(given.column_stride == 1 ? load(x + c, count) : gather(x + c * given.column_stride, given.column_stride, count), signs);
        poison = V::mul_add(cost, V::set(0), poison);
        highest = V::max(highest, V::abs(cost));
        V::store(target + c, count >= kLanes ? cost : V::select(V::first_lanes(count), cost, V::set(kInfinity)));
      }
    }
    largest = V::first(V::greatest(highest));
    return V::sum(poison) == 0;
  }

  // Of the packed costs, all finite: true where the optimum is the only one, and found.
  bool solve_fast(T largest) {
    switch (stride_ / kLanes) {
      case 1:
        return FastAssignment<T, 1>(fast_, rows_, columns_, stride_, largest).solve();
      case 2:
        return FastAssignment<T, 2>(fast_, rows_, columns_, stride_, largest).solve();
      case 4:
        return FastAssignment<T, 4>(fast_, rows_, columns_, stride_, largest).solve();
      default:
        return FastAssignment<T, 0>(fast_, rows_, columns_, stride_, largest).solve();
    }
  }

  // Of any costs, by the published algorithm.
  template <typename Element>
  AssignmentStatus solve_published(const Strided<Element>& given, double sign) {
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t c = 0; c < columns_; ++c) {
        const double cost = sign * static_cast<double>(V::first(V::load_first(given.row(r) + c * given.column_stride, 1, T(0))));
        if (cost != cost) return AssignmentStatus::nan_cost;
        if (cost == -kDoubleInfinity) return AssignmentStatus::unbounded_cost;
        published_.costs[r * columns_ + c] = cost;
      }
    }
    if (!published_.solve()) return AssignmentStatus::infeasible;
    for (std::int64_t r = 0; r < rows_; ++r) fast_.column_of_row[r] = static_cast<std::int32_t>(published_.column_of_row[r]);
    for (std::int64_t c = 0; c < columns_; ++c) fast_.row_of_column[c] = static_cast<std::int32_t>(published_.row_of_column[c]);
    return AssignmentStatus::solved;
  }

 private:
  static constexpr double kDoubleInfinity = std::numeric_limits<double>::infinity();

  static std::int64_t stride_of(std::int64_t columns) {
    const std::int64_t vectors = (columns + kLanes - 1) / kLanes;
    return (vectors == 3 ? 4 : vectors) * kLanes;
  }

  // The least costs of the `kVectors` vectors of columns from `first` on into fast_.price. What is returned is 0 in every lane if all these costs are finite. Rows take turns in
  // `kChains` chains of operations, since the next operation of a chain waits for the last.
  template <int kVectors, int kChains, typename Element>
  Vector least_of_columns(const Strided<Element>& given, Vector signs, std::int64_t first) {
    Vector least[kChains][kVectors], poison[kChains][kVectors];
    for (int chain = 0; chain < kChains; ++chain) {
      for (int k = 0; k < kVectors; ++k) {
        least[chain][k] = V::set(kInfinity);
        poison[chain][k] = V::set(0);
      }
    }
    const auto take_row = [&](std::int64_t r, int chain) {
      for (int k = 0; k < kVectors; ++k) {
        const std::int64_t c = first + k * kLanes;
        if (c >= columns_) continue;
        const Vector cost = V::mul(load(given.row(r) + c, columns_ - c), signs);
        poison[chain][k] = V::mul_add(cost, V::set(0), poison[chain][k]);
        least[chain][k] = V::min(least[chain][k], cost);
      }
    };
    std::int64_t r = 0;
    for (; r + kChains <= rows_; r += kChains) {
      take_row(r, 0);
      if constexpr (kChains == 2) take_row(r + 1, 1);
    }
    for (; r < rows_; ++r) take_row(r, 0);
    Vector all = V::set(0);
    for (int k = 0; k < kVectors; ++k) {
      for (int chain = 0; chain < kChains; ++chain) {
        least[0][k] = V::min(least[0][k], least[chain][k]);
        all = V::add(all, poison[chain][k]);
      }
      if (first + k * kLanes < columns_) V::store(fast_.price + first + k * kLanes, least[0][k]);
    }
    return all;
  }

  template <typename Element>
  static Vector load(const Element* x, std::int64_t count) {
    return count >= kLanes ? V::load(x) : V::load_first(x, count, T(0));
  }

  template <typename Element>
  static Vector gather(const Element* x, std::int64_t stride, std::int64_t count) {
    T lanes[kLanes] = {};
    for (std::int64_t i = 0; i < kLanes && i < count; ++i) lanes[i] = V::first(V::load_first(x + i * stride, 1, T(0)));
    return V::load(lanes);
  }

  std::int64_t rows_, columns_, stride_;
  FastAssignmentMemory<T> fast_;
  PublishedAssignment published_;
};

inline void write_indices(const std::int32_t* found, std::int64_t size, bool solved, std::int64_t* target) {
  if (!target) return;
  for (std::int64_t i = 0; i < size; ++i) target[i] = solved ? found[i] : -1;
}

template <typename T>
std::size_t assignment_memory(std::int64_t rows, std::int64_t columns) {
  Arena arena;
  Assigner<typename Computed<T>::Type>(arena, rows < columns ? rows : columns, rows < columns ? columns : rows);
  return arena.used();
}

template <typename T>
void assign(const AssignmentTask<T>& task, std::int64_t begin, std::int64_t end, void* memory) {
  using A = typename Computed<T>::Type;
  // The solver's rows are the shorter side, and of a square matrix the one whose elements are farther apart; of ties it knows rows alone.
  const bool wide = task.rows <= task.columns;
  const bool square = task.rows == task.columns;
  const bool by_columns = square && task.column_stride != 1 && task.row_stride == 1;
  Arena arena(memory);
  Assigner<A> assigner(arena, wide ? task.rows : task.columns, wide ? task.columns : task.rows);
  const A sign = task.maximize ? A(-1) : A(1);
  for (std::int64_t problem = begin; problem < end; ++problem) {
    const Strided<T> given{task.data + problem * task.problem_stride, task.rows, task.columns, task.row_stride, task.column_stride};
    const Strided<T> published_order = wide ? given : given.transposed();
    const Strided<T> fast_order = by_columns ? given.transposed() : published_order;
    bool transposed = by_columns || !wide;
    A largest = 0;
    AssignmentStatus status = AssignmentStatus::solved;
    const bool fast = (square && fast_order.column_stride == 1 && assigner.solve_obvious(fast_order, sign)) ||
                      (assigner.pack(fast_order, sign, largest) && assigner.solve_fast(largest));
    if (!fast) {
      transposed = !wide;
      status = assigner.solve_published(published_order, static_cast<double>(sign));
    }
    const bool solved = status == AssignmentStatus::solved;
    task.statuses[problem] = status;
    write_indices(transposed ? assigner.row_of_column() : assigner.column_of_row(), task.rows, solved,
                  task.column_of_row ? task.column_of_row + problem * task.rows : nullptr);
    write_indices(transposed ? assigner.column_of_row() : assigner.row_of_column(), task.columns, solved,
                  task.row_of_column ? task.row_of_column + problem * task.columns : nullptr);
  }
}

}  // namespace
}  // namespace osc::cpu
