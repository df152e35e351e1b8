// What the results must be, in loops that a reader can check at a glance.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace osc::oracle {

using Indices = std::vector<std::int64_t>;
using Matrix = std::vector<std::vector<double>>;

// Least total cost of assigning every row of a matrix of R <= K: all choices, one after another.
inline double least_total(const Matrix& cost, std::size_t row = 0, std::vector<bool> taken = {}) {
  if (row == cost.size()) return 0;
  taken.resize(cost[0].size());
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t column = 0; column < cost[0].size(); ++column) {
    if (taken[column]) continue;
    taken[column] = true;
    least = std::min(least, cost[row][column] + least_total(cost, row + 1, taken));
    taken[column] = false;
  }
  return least;
}

// Whether an assignment of every row of a matrix of R <= K is optimal, by linear programming
// duality: there are prices u of rows and v <= 0 of columns with u + v <= cost, equality on the
// matches, and v = 0 where a column is left over. Prices fall until they hold, which they do only
// at an optimum.
inline bool is_optimal(const Matrix& cost, const Indices& column_of_row, double tolerance) {
  const std::size_t rows = cost.size(), columns = cost[0].size();
  std::vector<double> v(columns, 0.0);
  for (std::size_t round = 0; round <= rows + 1; ++round) {
    bool changed = false;
    for (std::size_t r = 0; r < rows; ++r) {
      const double u = cost[r][column_of_row[r]] - v[column_of_row[r]];
      for (std::size_t c = 0; c < columns; ++c) {
        if (cost[r][c] - u < v[c] - tolerance) {
          v[c] = cost[r][c] - u;
          changed = true;
        }
      }
    }
    if (!changed) {
      std::vector<bool> left_over(columns, true);
      for (const auto column : column_of_row) left_over[column] = false;
      for (std::size_t c = 0; c < columns; ++c) {
        if (left_over[c] && v[c] != 0) return false;
      }
      return true;
    }
  }
  return false;
}

// Whether every row of a matrix of R <= K can have a column of its own at a cost below infinity:
// rows take a free column, or one whose row can go elsewhere.
inline bool has_full_assignment(const Matrix& cost) {
  Indices row_of_column(cost[0].size(), -1);
  std::vector<bool> tried;
  const auto place = [&](const auto& self, std::size_t row) -> bool {
    for (std::size_t column = 0; column < row_of_column.size(); ++column) {
      if (tried[column] || cost[row][column] == std::numeric_limits<double>::infinity()) continue;
      tried[column] = true;
      if (row_of_column[column] >= 0 &&
          !self(self, static_cast<std::size_t>(row_of_column[column])))
        continue;
      row_of_column[column] = static_cast<std::int64_t>(row);
      return true;
    }
    return false;
  };
  for (std::size_t row = 0; row < cost.size(); ++row) {
    tried.assign(row_of_column.size(), false);
    if (!place(place, row)) return false;
  }
  return true;
}

inline Matrix transposed(const Matrix& m) {
  Matrix result(m[0].size(), std::vector<double>(m.size()));
  for (std::size_t r = 0; r < m.size(); ++r) {
    for (std::size_t c = 0; c < m[0].size(); ++c) result[c][r] = m[r][c];
  }
  return result;
}

// An answer to a problem whose costs (to be minimised) are these: the status that it must have, by
// the numbers of AssignmentStatus, and what is wrong with the indices; "" for nothing.
inline std::pair<int, std::string> check_assignment(const Matrix& cost, const Indices& col4row,
                                                    const Indices& row4col, int given_status) {
  if (cost.empty() || cost[0].empty()) {
    const bool is_unmatched =
        std::count(col4row.begin(), col4row.end(), -1) == std::ssize(col4row) &&
        std::count(row4col.begin(), row4col.end(), -1) == std::ssize(row4col);
    return {0, is_unmatched ? "" : "something of nothing is matched"};
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const bool wide = cost.size() <= cost[0].size();
  bool has_nan = false, has_unbounded = false;
  double largest = 0;
  for (const auto& row : cost) {
    for (const double value : row) {
      has_nan |= std::isnan(value);
      has_unbounded |= value == -kInfinity;
      if (std::abs(value) < kInfinity) largest = std::max(largest, std::abs(value));
    }
  }
  // What the oracle adds and subtracts must not overflow.
  Matrix in_range = wide ? cost : transposed(cost);
  const double shrink = largest > 0x1p900 ? 0x1p-100 : 1;
  for (auto& row : in_range) {
    for (double& value : row) value *= shrink;
  }
  const int status = has_nan && has_unbounded && given_status == 2 ? 2
                     : has_nan                                     ? 1
                     : has_unbounded                               ? 2
                     : has_full_assignment(in_range)               ? 0
                                                                   : 3;
  std::size_t pairs = 0;
  for (std::size_t row = 0; row < col4row.size(); ++row) {
    const auto column = col4row[row];
    if (column < -1 || column >= std::ssize(row4col)) return {status, "an index out of range"};
    if (column < 0) continue;
    ++pairs;
    if (row4col[column] != static_cast<std::int64_t>(row)) return {status, "different pairs"};
  }
  if (std::count(row4col.begin(), row4col.end(), -1) !=
      std::ssize(row4col) - static_cast<std::int64_t>(pairs))
    return {status, "different numbers of pairs"};
  if (status != 0) return {status, pairs == 0 ? "" : "matched without an answer"};
  if (pairs != in_range.size()) return {status, "too few pairs"};
  const double tolerance = 16 * std::numeric_limits<double>::epsilon() *
                           static_cast<double>(in_range[0].size()) * largest * shrink;
  return {status, is_optimal(in_range, wide ? col4row : row4col, tolerance) ? "" : "not optimal"};
}

}  // namespace osc::oracle
