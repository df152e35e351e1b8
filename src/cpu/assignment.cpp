#include "osc/assignment.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "checked_size.hpp"
#include "cpu/assignment_solver.hpp"
#include "cpu/matching.hpp"
#include "osc/error.hpp"

namespace osc {
namespace {

template <typename T>
std::string shape_text(const CostMatrices<T>& costs) {
  return "costs [" + std::to_string(costs.problems) + ", " + std::to_string(costs.rows) + ", " + std::to_string(costs.columns) + "]";
}

template <typename T>
void check(const CostMatrices<T>& costs) {
  const auto fail = [&](const std::string& reason) { throw InvalidArgument(shape_text(costs) + ": " + reason); };
  if (costs.problems < 0 || costs.rows < 0 || costs.columns < 0) fail("a size is negative");
  constexpr std::int64_t kElementBytes = 8;
  if (!product({costs.problems, std::max<std::int64_t>(costs.rows, 1), std::max<std::int64_t>(costs.columns, 1), kElementBytes})) {
    fail("the product of the sizes overflows");
  }
  if (costs.problems == 0 || costs.rows == 0 || costs.columns == 0) return;
  if (!costs.data) fail("the data pointer is null");
  if (!spans_memory({{costs.problems, costs.problem_stride}, {costs.rows, costs.row_stride}, {costs.columns, costs.column_stride}}, sizeof(T))) {
    fail("the strides [" + std::to_string(costs.problem_stride) + ", " + std::to_string(costs.row_stride) + ", " + std::to_string(costs.column_stride) +
         "] overflow");
  }
}

// Brings a problem into the solver's form: least cost, rows <= columns. What it returns is `solved` where the solver may start.
template <typename T>
AssignmentStatus pack(const CostMatrices<T>& costs, std::int64_t problem, bool maximize, double* packed) {
  const bool transposed = costs.rows > costs.columns;
  const std::int64_t packed_row_stride = transposed ? 1 : costs.columns;
  const std::int64_t packed_column_stride = transposed ? costs.rows : 1;
  for (std::int64_t row = 0; row < costs.rows; ++row) {
    const T* source = costs.data + problem * costs.problem_stride + row * costs.row_stride;
    double* target = packed + row * packed_row_stride;
    for (std::int64_t column = 0; column < costs.columns; ++column) {
      const auto given = static_cast<double>(source[column * costs.column_stride]);
      const double cost = maximize ? -given : given;
      if (!(cost > -std::numeric_limits<double>::infinity())) {
        return std::isnan(cost) ? AssignmentStatus::nan_cost : AssignmentStatus::unbounded_cost;
      }
      target[column * packed_column_stride] = cost;
    }
  }
  return AssignmentStatus::solved;
}

void write(const std::int64_t* found, std::int64_t size, bool solved, std::int64_t* target) {
  if (!target) return;
  if (solved) {
    std::copy_n(found, size, target);
  } else {
    std::fill_n(target, size, -1);
  }
}

template <typename T>
void solve_all(const CostMatrices<T>& costs, const AssignmentResults& results, const AssignmentOptions& options) {
  check(costs);
  const std::int64_t rows = costs.rows, columns = costs.columns;
  if (rows == 0 || columns == 0) {
    if (results.column_of_row) std::fill_n(results.column_of_row, costs.problems * rows, -1);
    if (results.row_of_column) std::fill_n(results.row_of_column, costs.problems * columns, -1);
    if (results.statuses) std::fill_n(results.statuses, costs.problems, AssignmentStatus::solved);
    return;
  }
  // Statuses are needed to find the first failure, wanted by the caller or not.
  std::vector<AssignmentStatus> own_statuses(results.statuses ? 0 : costs.problems);
  AssignmentStatus* const statuses = results.statuses ? results.statuses : own_statuses.data();

  const auto shorter = static_cast<double>(std::min(rows, columns)), longer = static_cast<double>(std::max(rows, columns));
  cpu::executor_or_default(options.executor).parallel_for(costs.problems, cpu::grain(10 * shorter * longer), [&](std::int64_t begin, std::int64_t end) {
    cpu::AssignmentSolver solver(std::min(rows, columns), std::max(rows, columns));
    for (std::int64_t problem = begin; problem < end; ++problem) {
      AssignmentStatus status = pack(costs, problem, options.maximize, solver.costs());
      if (status == AssignmentStatus::solved && !solver.solve()) status = AssignmentStatus::infeasible;
      statuses[problem] = status;
      const bool solved = status == AssignmentStatus::solved;
      const bool transposed = rows > columns;
      write(transposed ? solver.row_of_column() : solver.column_of_row(), rows, solved,
            results.column_of_row ? results.column_of_row + problem * rows : nullptr);
      write(transposed ? solver.column_of_row() : solver.row_of_column(), columns, solved,
            results.row_of_column ? results.row_of_column + problem * columns : nullptr);
    }
  });

  if (options.on_unsolvable == OnUnsolvable::unmatched) return;
  const auto* const failed =
      std::find_if(statuses, statuses + costs.problems, [](AssignmentStatus status) { return status != AssignmentStatus::solved; });
  if (failed != statuses + costs.problems) {
    const std::int64_t problem = failed - statuses;
    throw AssignmentError(shape_text(costs) + ": problem " + std::to_string(problem) + " has no answer: " +
                              (*failed == AssignmentStatus::unbounded_cost && options.maximize ? "a cost is +inf" : describe(*failed)),
                          problem);
  }
}

}  // namespace

template <typename T>
CostMatrices<T> contiguous_costs(const T* data, std::int64_t problems, std::int64_t rows, std::int64_t columns) {
  CostMatrices<T> costs{data, problems, rows, columns, 0, 0, 1};
  check(costs);
  costs.problem_stride = rows * columns;
  costs.row_stride = columns;
  return costs;
}
template OSC_API CostMatrices<float> contiguous_costs(const float*, std::int64_t, std::int64_t, std::int64_t);
template OSC_API CostMatrices<double> contiguous_costs(const double*, std::int64_t, std::int64_t, std::int64_t);

void linear_sum_assignment(const CostMatrices<float>& costs, const AssignmentResults& results, const AssignmentOptions& options) {
  solve_all(costs, results, options);
}
void linear_sum_assignment(const CostMatrices<double>& costs, const AssignmentResults& results, const AssignmentOptions& options) {
  solve_all(costs, results, options);
}

const char* describe(AssignmentStatus status) noexcept {
  switch (status) {
    case AssignmentStatus::solved:
      return "solved";
    case AssignmentStatus::nan_cost:
      return "a cost is NaN";
    case AssignmentStatus::unbounded_cost:
      return "a cost is -inf";
    case AssignmentStatus::infeasible:
      return "infinite costs leave no full assignment";
  }
  return "unknown status";
}

}  // namespace osc
