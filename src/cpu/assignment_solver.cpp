// Shortest augmenting paths (Crouse 2016, see osc/assignment.hpp). Rows join one by one. Each is the start of a shortest-path search, Dijkstra's over reduced
// costs, that ends at the first free column; the rows on the way move over by one column. Ties are decided by the order in which columns are looked at, by
// the comparisons and by the order of the floating-point operations in `reached`: changing any of these changes which optimum is found.
#include "cpu/assignment_solver.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace osc::cpu {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Beyond this, sums and differences of costs could overflow. 980 + 44 bits of sums of sizes that fit memory leave the largest double.
constexpr double kLargeCost = 0x1p960;
constexpr double kShrink = 0x1p-60;

}  // namespace

AssignmentSolver::AssignmentSolver(std::int64_t rows, std::int64_t columns)
    : rows_(rows),
      columns_(columns),
      costs_(rows * columns),
      row_dual_(rows),
      column_dual_(columns),
      column_of_row_(rows),
      row_of_column_(columns),
      distance_(columns),
      previous_row_(columns),
      open_columns_(columns),
      closed_columns_(columns) {}

bool AssignmentSolver::solve() {
  double largest = 0;
  for (const double cost : costs_) {
    if (cost < kInfinity) largest = std::max(largest, std::abs(cost));
  }
  if (largest > kLargeCost) {
    for (double& cost : costs_) cost *= kShrink;
  }
  std::fill(row_dual_.begin(), row_dual_.end(), 0.0);
  std::fill(column_dual_.begin(), column_dual_.end(), 0.0);
  std::fill(column_of_row_.begin(), column_of_row_.end(), -1);
  std::fill(row_of_column_.begin(), row_of_column_.end(), -1);
  for (std::int64_t row = 0; row < rows_; ++row) {
    if (!assign(row)) return false;
  }
  return true;
}

bool AssignmentSolver::assign(std::int64_t new_row) {
  std::fill(distance_.begin(), distance_.end(), kInfinity);
  std::int64_t open = columns_;
  std::int64_t closed = 0;
  for (std::int64_t position = 0; position < open; ++position) open_columns_[position] = columns_ - 1 - position;

  double path_length = 0;
  std::int64_t row = new_row;
  std::int64_t column = -1;
  while (true) {
    const double* const row_costs = costs_.data() + row * columns_;
    const double row_dual = row_dual_[row];
    double nearest = kInfinity;
    std::int64_t nearest_position = 0;
    for (std::int64_t position = 0; position < open; ++position) {
      const std::int64_t candidate = open_columns_[position];
      const double reached = path_length + row_costs[candidate] - row_dual - column_dual_[candidate];
      if (reached < distance_[candidate]) {
        distance_[candidate] = reached;
        previous_row_[candidate] = row;
      }
      // A free column ends the search, so at equal distance it goes first, and among free ones the one that is looked at last.
      if (distance_[candidate] < nearest || (distance_[candidate] == nearest && row_of_column_[candidate] < 0)) {
        nearest = distance_[candidate];
        nearest_position = position;
      }
    }
    if (nearest == kInfinity) return false;
    path_length = nearest;
    column = open_columns_[nearest_position];
    open_columns_[nearest_position] = open_columns_[--open];
    if (row_of_column_[column] < 0) break;
    closed_columns_[closed++] = column;
    row = row_of_column_[column];
  }

  // New duals: every reduced cost stays at least 0, and the pairs on the path get exactly 0. A closed column's row is the one that it led to.
  row_dual_[new_row] += path_length;
  for (std::int64_t i = 0; i < closed; ++i) {
    const std::int64_t passed = closed_columns_[i];
    const double rest = path_length - distance_[passed];
    row_dual_[row_of_column_[passed]] += rest;
    column_dual_[passed] -= rest;
  }

  while (true) {
    const std::int64_t path_row = previous_row_[column];
    row_of_column_[column] = path_row;
    std::swap(column_of_row_[path_row], column);
    if (path_row == new_row) return true;
  }
}

}  // namespace osc::cpu
