// The assignment solver on costs of every kind, type, shape and layout, on every instruction set:
// what it returns must be optimal, and the same everywhere.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "expect.hpp"
#include "oracle.hpp"
#include "osc/assignment.hpp"
#include "palette.hpp"

namespace osc {
namespace {

using oracle::Indices;
using oracle::Matrix;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Solution {
  Indices column_of_row, row_of_column;
  std::vector<AssignmentStatus> statuses;
  bool operator==(const Solution&) const = default;
};

template <typename T>
Solution solve(const CostMatrices<T>& costs, const AssignmentOptions& options) {
  Solution solution{Indices(costs.problems * costs.rows, -7),
                    Indices(costs.problems * costs.columns, -7),
                    std::vector<AssignmentStatus>(costs.problems)};
  const Status status = try_linear_sum_assignment(
      costs,
      {solution.column_of_row.data(), solution.row_of_column.data(), solution.statuses.data()},
      options);
  OSC_EXPECT(status.ok(), "%s", status.text());
  return solution;
}

// One problem's answer, against what its costs (to be minimised) allow.
void check_problem(const Matrix& cost, const Indices& column_of_row, const Indices& row_of_column,
                   AssignmentStatus status) {
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
  if (has_nan || has_unbounded) {
    OSC_EXPECT((has_nan && status == AssignmentStatus::nan_cost) ||
                   (has_unbounded && status == AssignmentStatus::unbounded_cost),
               "status %s", describe(status));
  } else {
    const bool feasible = oracle::has_full_assignment(wide ? cost : oracle::transposed(cost));
    OSC_EXPECT(status == (feasible ? AssignmentStatus::solved : AssignmentStatus::infeasible),
               "status %s", describe(status));
  }
  if (status != AssignmentStatus::solved) {
    for (const auto index : column_of_row)
      OSC_EXPECT(index == -1, "a row of a problem without an answer has column %lld",
                 static_cast<long long>(index));
    for (const auto index : row_of_column)
      OSC_EXPECT(index == -1, "a column of a problem without an answer has row %lld",
                 static_cast<long long>(index));
    return;
  }
  std::size_t pairs = 0;
  for (std::size_t row = 0; row < cost.size(); ++row) {
    const auto column = column_of_row[row];
    OSC_EXPECT(column >= -1 && column < std::ssize(row_of_column), "row %zu has column %lld", row,
               static_cast<long long>(column));
    if (column < 0) continue;
    ++pairs;
    OSC_EXPECT(row_of_column[column] == static_cast<std::int64_t>(row), "column %lld has row %lld",
               static_cast<long long>(column), static_cast<long long>(row_of_column[column]));
    OSC_EXPECT(cost[row][column] < kInfinity, "a forbidden pair is taken");
  }
  OSC_EXPECT(pairs == std::min(cost.size(), cost[0].size()), "%zu pairs", pairs);
  OSC_EXPECT(std::count_if(row_of_column.begin(), row_of_column.end(),
                           [](auto row) { return row >= 0; }) ==
                 std::ssize(cost) - std::count(column_of_row.begin(), column_of_row.end(), -1),
             "the two results tell different pairs");

  // Costs may be as large as a double; what the oracle adds and subtracts must not overflow.
  Matrix in_range = wide ? cost : oracle::transposed(cost);
  const double shrink = largest > 0x1p900 ? 0x1p-100 : 1;
  for (auto& row : in_range) {
    for (double& value : row) value *= shrink;
  }
  const Indices& assignment = wide ? column_of_row : row_of_column;
  const double tolerance = 16 * std::numeric_limits<double>::epsilon() *
                           static_cast<double>(in_range[0].size()) * largest * shrink;
  OSC_EXPECT(oracle::is_optimal(in_range, assignment, tolerance), "%zu x %zu is not optimal",
             cost.size(), cost[0].size());
  if (in_range.size() <= 5 && in_range[0].size() <= 6) {
    double total = 0;
    for (std::size_t row = 0; row < in_range.size(); ++row) total += in_range[row][assignment[row]];
    const double least = oracle::least_total(in_range);
    OSC_EXPECT(total <= least + tolerance, "total %.17g, brute force %.17g", total, least);
  }
}

template <typename T>
void fuzz(FuzzedDataProvider& in) {
  const bool large = in.ConsumeIntegralInRange(0, 15) == 0;
  const std::int64_t problems = large ? 1 : in.ConsumeIntegralInRange<std::int64_t>(0, 3),
                     most = large ? 70 : 12;
  const std::int64_t rows = in.ConsumeIntegralInRange<std::int64_t>(0, most),
                     columns =
                         in.ConsumeBool() ? rows : in.ConsumeIntegralInRange<std::int64_t>(0, most);
  const bool maximize = in.ConsumeBool(), column_major = in.ConsumeBool();
  const std::int64_t gap = in.ConsumeIntegralInRange<std::int64_t>(0, 3),
                     spacing = in.ConsumeBool() ? 1 : 2;

  // Element (n, r, k) of memory that ends with the last element: AddressSanitizer sees a step
  // beyond.
  CostMatrices<T> costs{nullptr, problems, rows, columns, 0, 0, 0};
  if (column_major) {
    costs.row_stride = spacing;
    costs.column_stride = rows * spacing + gap;
    costs.problem_stride = columns * costs.column_stride;
  } else {
    costs.column_stride = spacing;
    costs.row_stride = columns * spacing + gap;
    costs.problem_stride = rows * costs.row_stride;
  }
  const std::int64_t elements = problems * rows * columns;
  std::vector<T> data(elements == 0
                          ? 0
                          : (problems - 1) * costs.problem_stride + (rows - 1) * costs.row_stride +
                                (columns - 1) * costs.column_stride + 1,
                      element<T>(std::numeric_limits<double>::quiet_NaN()));
  costs.data = data.data();
  Palette palette(in);
  const bool sums = in.ConsumeBool();  // of a number of the row and one of the column: all
                                       // assignments cost the same but for rounding
  std::vector<double> of_column(columns);
  for (double& x : of_column) x = palette.next();
  std::vector<T*> at;
  for (std::int64_t n = 0; n < problems; ++n) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const double of_row = palette.next();
      for (std::int64_t k = 0; k < columns; ++k) {
        at.push_back(
            &data[n * costs.problem_stride + r * costs.row_stride + k * costs.column_stride]);
        *at.back() = element<T>(sums ? of_row + of_column[k] : palette.next());
      }
    }
  }
  while (!at.empty() && in.remaining_bytes() > 2)
    *at[in.ConsumeIntegralInRange<std::size_t>(0, at.size() - 1)] = special<T>(in);

  const AssignmentOptions options{.maximize = maximize, .on_unsolvable = OnUnsolvable::unmatched};
  const auto answers = on_every_instruction_set([&] { return solve(costs, options); });
  for (const auto& [name, answer] : answers)
    OSC_EXPECT(answer == answers[0].second, "%s and %s differ", name, answers[0].first);
  const Solution& solution = answers[0].second;
  if (elements == 0) {
    for (const auto index : solution.column_of_row)
      OSC_EXPECT(index == -1, "a row has column %lld of none", static_cast<long long>(index));
    for (const auto index : solution.row_of_column)
      OSC_EXPECT(index == -1, "a column has row %lld of none", static_cast<long long>(index));
    return;
  }

  // Doubles that hold the same costs, in another layout, have the same answer.
  std::vector<double> wide;
  for (const T* const cost : at) wide.push_back(value(*cost));
  OSC_EXPECT(solve(contiguous_costs(wide.data(), problems, rows, columns), options) == solution,
             "contiguous doubles of the same values have another answer");

  std::vector<std::int64_t> failed;
  for (std::int64_t n = 0; n < problems; ++n) {
    Matrix cost(rows, std::vector<double>(columns));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t k = 0; k < columns; ++k)
        cost[r][k] = (maximize ? -1 : 1) * wide[(n * rows + r) * columns + k];
    }
    check_problem(cost,
                  Indices(solution.column_of_row.begin() + n * rows,
                          solution.column_of_row.begin() + (n + 1) * rows),
                  Indices(solution.row_of_column.begin() + n * columns,
                          solution.row_of_column.begin() + (n + 1) * columns),
                  solution.statuses[n]);
    if (solution.statuses[n] != AssignmentStatus::solved) failed.push_back(n);
  }
  const Status status = try_linear_sum_assignment(costs, {}, {.maximize = maximize});
  OSC_EXPECT(status.code() == (failed.empty() ? StatusCode::ok : StatusCode::unsolvable), "%s",
             status.text());
  if (!failed.empty()) OSC_EXPECT(status.index() == failed[0], "%s", status.text());
}

}  // namespace
}  // namespace osc

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider in(data, size);
  osc::with_element_type(in, [&](auto type) { osc::fuzz<decltype(type)>(in); });
  return 0;
}
