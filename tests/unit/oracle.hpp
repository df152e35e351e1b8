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

// D. F. Crouse's algorithm as published, with SciPy's order of columns and of operations: plain
// loops in double, for a matrix of R <= K. Empty if there is no assignment.
inline Indices crouse(const Matrix& cost) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::int64_t rows = std::ssize(cost), columns = std::ssize(cost[0]);
  std::vector<double> u(rows), v(columns);
  Indices column_of_row(rows, -1), row_of_column(columns, -1), path(columns, -1);
  for (std::int64_t start = 0; start < rows; ++start) {
    std::vector<double> shortest(columns, kInfinity);
    std::vector<bool> row_seen(rows), column_seen(columns);
    Indices remaining(columns);
    for (std::int64_t i = 0; i < columns; ++i) remaining[i] = columns - 1 - i;
    double least = 0;
    std::int64_t row = start, sink = -1;
    while (sink < 0) {
      row_seen[row] = true;
      double lowest = kInfinity;
      std::int64_t at = -1;
      for (std::int64_t i = 0; i < std::ssize(remaining); ++i) {
        const std::int64_t column = remaining[i];
        const double reached = ((least + cost[row][column]) - u[row]) - v[column];
        if (reached < shortest[column]) {
          path[column] = row;
          shortest[column] = reached;
        }
        if (shortest[column] < lowest ||
            (shortest[column] == lowest && row_of_column[column] < 0)) {
          lowest = shortest[column];
          at = i;
        }
      }
      if (lowest == kInfinity) return {};
      least = lowest;
      const std::int64_t column = remaining[at];
      if (row_of_column[column] < 0) sink = column;
      row = row_of_column[column];
      column_seen[column] = true;
      remaining[at] = remaining.back();
      remaining.pop_back();
    }
    u[start] += least;
    for (std::int64_t r = 0; r < rows; ++r) {
      if (row_seen[r] && r != start) u[r] += least - shortest[column_of_row[r]];
    }
    for (std::int64_t c = 0; c < columns; ++c) {
      if (column_seen[c]) v[c] -= least - shortest[c];
    }
    for (std::int64_t column = sink, r = -1; r != start;) {
      r = path[column];
      row_of_column[column] = r;
      std::swap(column_of_row[r], column);
    }
  }
  return column_of_row;
}

inline Matrix transposed(const Matrix& m) {
  Matrix result(m[0].size(), std::vector<double>(m.size()));
  for (std::size_t r = 0; r < m.size(); ++r) {
    for (std::size_t c = 0; c < m[0].size(); ++c) result[c][r] = m[r][c];
  }
  return result;
}

// What linear_sum_assignment must answer to a problem of these costs, to be minimised. The status
// is a number of AssignmentStatus.
struct Assignment {
  Indices col4row, row4col;
  int status = 0;
  bool operator==(const Assignment&) const = default;
};
inline Assignment assignment(const Matrix& cost, std::size_t columns) {
  Assignment answer{Indices(cost.size(), -1), Indices(columns, -1)};
  if (cost.empty() || columns == 0) return answer;
  // The first cost that no problem may have decides.
  const bool is_wide = cost.size() <= columns;
  const Matrix shorter_first = is_wide ? cost : transposed(cost);
  for (const auto& row : shorter_first) {
    for (const double value : row) {
      if (answer.status == 0 && std::isnan(value)) answer.status = 1;
      if (answer.status == 0 && value == -std::numeric_limits<double>::infinity())
        answer.status = 2;
    }
  }
  if (answer.status != 0) return answer;
  const Indices matches = crouse(shorter_first);
  if (matches.empty()) answer.status = 3;
  for (std::int64_t i = 0; i < std::ssize(matches); ++i) {
    answer.col4row[is_wide ? i : matches[i]] = is_wide ? matches[i] : i;
    answer.row4col[is_wide ? matches[i] : i] = is_wide ? i : matches[i];
  }
  return answer;
}

}  // namespace osc::oracle
