// One assignment problem after another, in the same memory.
#pragma once

#include <cstdint>
#include <vector>

namespace osc::cpu {

class AssignmentSolver {
 public:
  // Takes memory for problems of rows × columns, rows <= columns. Throws std::bad_alloc.
  AssignmentSolver(std::int64_t rows, std::int64_t columns);

  // The costs of the next problem, row-major: to be filled before solve(), which does not change them. No NaN, no -inf; +inf forbids a pair.
  double* costs() noexcept { return costs_.data(); }

  // Finds the assignment of every row at least cost. False where there is none; the assignment is meaningless then.
  bool solve();

  const std::int64_t* column_of_row() const noexcept { return column_of_row_.data(); }  // never -1
  const std::int64_t* row_of_column() const noexcept { return row_of_column_.data(); }  // -1 for a column that is left over

 private:
  bool assign(std::int64_t new_row);

  std::int64_t rows_;
  std::int64_t columns_;
  std::vector<double> costs_;
  std::vector<double> row_dual_;
  std::vector<double> column_dual_;
  std::vector<std::int64_t> column_of_row_;
  std::vector<std::int64_t> row_of_column_;
  // For the search of one shortest path:
  std::vector<double> distance_;             // to each column
  std::vector<std::int64_t> previous_row_;   // on the way to each column
  std::vector<std::int64_t> open_columns_;   // whose distance is not final yet; the order decides ties
  std::vector<std::int64_t> closed_columns_;
};

}  // namespace osc::cpu
