// Shortest augmenting paths (Crouse 2016, see osc/assignment.hpp). Rows join one by one. Each is
// the start of a shortest-path search, Dijkstra's over reduced costs, that ends at the first free
// column; the rows on the way move over by one column. Ties are decided by the order in which
// columns are looked at, by the comparisons and by the order of the floating-point operations in
// `reached`: changing any of these changes which optimum is found.
#include "assignment/crouse.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace osc::cpu {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Beyond this, sums and differences of costs could overflow, since 960 bits and 64 of a number of
// rows are those of the largest double. Where they do, costs shrink.
constexpr double kLargeCost = 0x1p960;
constexpr double kShrink = 0x1p-60;

}  // namespace

bool CrouseSolver::solve() noexcept {
  double largest = 0;
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    if (costs[i] < kInfinity) largest = std::max(largest, std::abs(costs[i]));
  }
  may_overflow = largest > kLargeCost;
  overflowed = false;
  const bool found = assign_all();
  if (!overflowed) return found;
  for (std::int64_t i = 0; i < rows * columns; ++i) costs[i] *= kShrink;
  may_overflow = overflowed = false;
  return assign_all();
}

bool CrouseSolver::assign_all() noexcept {
  std::fill_n(row_dual, rows, 0.0);
  std::fill_n(column_dual, columns, 0.0);
  std::fill_n(column_of_row, rows, -1);
  std::fill_n(row_of_column, columns, -1);
  for (std::int64_t row = 0; row < rows; ++row) {
    if (!assign(row)) return false;
  }
  return true;
}

bool CrouseSolver::assign(std::int64_t new_row) noexcept {
  std::fill_n(distance, columns, kInfinity);
  std::int64_t open = columns;
  std::int64_t closed = 0;
  for (std::int64_t position = 0; position < open; ++position)
    open_columns[position] = columns - 1 - position;

  double path_length = 0;
  std::int64_t row = new_row;
  std::int64_t column = -1;
  while (true) {
    const double* const row_costs = costs + row * columns;
    const double dual = row_dual[row];
    double nearest = kInfinity;
    std::int64_t nearest_position = 0;
    for (std::int64_t position = 0; position < open; ++position) {
      const std::int64_t candidate = open_columns[position];
      const double reached = path_length + row_costs[candidate] - dual - column_dual[candidate];
      if (may_overflow)
        overflowed |= row_costs[candidate] < kInfinity && !(std::abs(reached) < kInfinity);
      if (reached < distance[candidate]) {
        distance[candidate] = reached;
        previous_row[candidate] = row;
      }
      // A free column ends the search, so at equal distance it goes first, and among free ones the
      // one that is looked at last.
      if (distance[candidate] < nearest ||
          (distance[candidate] == nearest && row_of_column[candidate] < 0)) {
        nearest = distance[candidate];
        nearest_position = position;
      }
    }
    if (nearest == kInfinity) return false;
    path_length = nearest;
    column = open_columns[nearest_position];
    open_columns[nearest_position] = open_columns[--open];
    if (row_of_column[column] < 0) break;
    closed_columns[closed++] = column;
    row = row_of_column[column];
  }

  if (overflowed) return false;
  // New duals: every reduced cost stays at least 0, and the pairs on the path get exactly 0. A
  // closed column's row is the one that it led to.
  row_dual[new_row] += path_length;
  for (std::int64_t i = 0; i < closed; ++i) {
    const std::int64_t passed = closed_columns[i];
    const double rest = path_length - distance[passed];
    row_dual[row_of_column[passed]] += rest;
    column_dual[passed] -= rest;
  }

  while (true) {
    const std::int64_t path_row = previous_row[column];
    row_of_column[column] = path_row;
    std::swap(column_of_row[path_row], column);
    if (path_row == new_row) return true;
  }
}

}  // namespace osc::cpu
