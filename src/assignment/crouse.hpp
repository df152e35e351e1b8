// One assignment problem by the published algorithm and its tie rules, in plain loops and in
// double: the way for every problem that the fast one leaves.
#pragma once

#include <cstdint>

namespace osc::cpu {

struct CrouseSolver {
  std::int64_t rows;  // <= columns
  std::int64_t columns;

  // The costs, row-major: to be filled before solve(), which may scale them. No NaN, no -inf; +inf
  // forbids a pair.
  double* costs;

  std::int64_t* column_of_row;  // [rows], never -1
  std::int64_t* row_of_column;  // [columns], -1 for a column that is left over

  double* row_dual;
  double* column_dual;
  // For the search of one shortest path:
  double* distance;            // to each column
  std::int64_t* previous_row;  // on the way to each column
  std::int64_t* open_columns;  // whose distance is not final yet; the order decides ties
  std::int64_t* closed_columns;

  template <typename Arena>
  static CrouseSolver take(Arena& arena, std::int64_t rows, std::int64_t columns) {
    CrouseSolver memory{};
    memory.rows = rows;
    memory.columns = columns;
    memory.costs = arena.template take<double>(rows, columns);
    memory.column_of_row = arena.template take<std::int64_t>(rows);
    memory.row_of_column = arena.template take<std::int64_t>(columns);
    memory.row_dual = arena.template take<double>(rows);
    memory.column_dual = arena.template take<double>(columns);
    memory.distance = arena.template take<double>(columns);
    memory.previous_row = arena.template take<std::int64_t>(columns);
    memory.open_columns = arena.template take<std::int64_t>(columns);
    memory.closed_columns = arena.template take<std::int64_t>(columns);
    return memory;
  }

  bool may_overflow = false;  // a sum of costs
  bool overflowed = false;

  // Finds the assignment of every row at least cost. False where there is none; the assignment is
  // meaningless then.
  bool solve() noexcept;

 private:
  bool assign_all() noexcept;
  bool assign(std::int64_t new_row) noexcept;
};

}  // namespace osc::cpu
