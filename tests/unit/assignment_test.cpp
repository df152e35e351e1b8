#include "osc/assignment.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "elements.hpp"
#include "oracle.hpp"
#include "osc/error.hpp"

namespace osc {
namespace {

using oracle::Indices;
using oracle::Matrix;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

template <typename T>
std::vector<T> flat(const Matrix& matrix) {
  std::vector<T> result;
  for (const auto& row : matrix) {
    for (const double value : row) result.push_back(static_cast<T>(value));
  }
  return result;
}

struct Solution {
  Indices column_of_row, row_of_column;
  std::vector<AssignmentStatus> statuses;
  bool operator==(const Solution&) const = default;
};

template <typename T>
Solution solve(const CostMatrices<T>& costs, AssignmentOptions options = {}) {
  Solution solution{Indices(costs.problems * costs.rows, -7),
                    Indices(costs.problems * costs.columns, -7),
                    std::vector<AssignmentStatus>(costs.problems)};
  linear_sum_assignment(
      costs,
      {solution.column_of_row.data(), solution.row_of_column.data(), solution.statuses.data()},
      options);
  return solution;
}

template <typename T = double>
Solution solve(const Matrix& matrix, AssignmentOptions options = {}) {
  const auto data = flat<T>(matrix);
  return solve(contiguous_costs(data.data(), 1, std::ssize(matrix), std::ssize(matrix[0])),
               options);
}

Matrix random_matrix(std::int64_t rows, std::int64_t columns, std::mt19937_64& random,
                     int different_values) {
  Matrix result(rows, std::vector<double>(columns));
  for (auto& row : result) {
    for (double& value : row) {
      value = different_values > 0
                  ? std::uniform_int_distribution<>(0, different_values - 1)(random)
                  : std::normal_distribution<>()(random);
    }
  }
  return result;
}

double total(const Matrix& cost, const Indices& column_of_row) {
  double sum = 0;
  for (std::size_t row = 0; row < cost.size(); ++row) {
    if (column_of_row[row] >= 0) sum += cost[row][column_of_row[row]];
  }
  return sum;
}

// Both index arrays tell the same pairs, min(R, K) of them.
void expect_consistent(const Solution& solution) {
  std::int64_t pairs = 0;
  for (std::size_t row = 0; row < solution.column_of_row.size(); ++row) {
    const auto column = solution.column_of_row[row];
    if (column < 0) continue;
    ++pairs;
    ASSERT_LT(column, std::ssize(solution.row_of_column));
    EXPECT_EQ(solution.row_of_column[column], static_cast<std::int64_t>(row));
  }
  EXPECT_EQ(pairs,
            std::min(std::ssize(solution.column_of_row), std::ssize(solution.row_of_column)));
  EXPECT_EQ(std::count_if(solution.row_of_column.begin(), solution.row_of_column.end(),
                          [](auto row) { return row >= 0; }),
            pairs);
}

TEST(LinearSumAssignment, EqualsBruteForce) {
  std::mt19937_64 random(1);
  for (std::int64_t rows = 1; rows <= 6; ++rows) {
    for (std::int64_t columns = 1; columns <= 6; ++columns) {
      for (int repeat = 0; repeat < 12; ++repeat) {
        SCOPED_TRACE(::testing::Message() << rows << " x " << columns << ", repeat " << repeat);
        const Matrix cost = random_matrix(rows, columns, random, repeat % 2 ? 0 : 5);
        const Solution solution = solve(cost);
        expect_consistent(solution);
        const double least = oracle::least_total(rows <= columns ? cost : oracle::transposed(cost));
        EXPECT_NEAR(total(cost, solution.column_of_row), least, 1e-12);
      }
    }
  }
}

TEST(LinearSumAssignment, IsOptimalByDualCertificate) {
  std::mt19937_64 random(2);
  for (const auto& [rows, columns] :
       {std::pair{64, 64}, {40, 90}, {90, 40}, {128, 128}, {1, 200}, {200, 1}}) {
    for (const int different_values : {0, 3, 1000}) {
      SCOPED_TRACE(::testing::Message()
                   << rows << " x " << columns << ", values " << different_values);
      const Matrix cost = random_matrix(rows, columns, random, different_values);
      const Solution solution = solve(cost);
      expect_consistent(solution);
      const bool wide = rows <= columns;
      EXPECT_TRUE(oracle::is_optimal(wide ? cost : oracle::transposed(cost),
                                     wide ? solution.column_of_row : solution.row_of_column,
                                     1e-12));
    }
  }
}

// The certificate itself: it must refuse an assignment that is one swap away from the best.
TEST(Oracle, CertificateRefusesWhatIsNotOptimal) {
  const Matrix cost = {{0, 1, 9}, {1, 0, 9}};
  EXPECT_TRUE(oracle::is_optimal(cost, {0, 1}, 0));
  EXPECT_FALSE(oracle::is_optimal(cost, {1, 0}, 0));
  EXPECT_FALSE(oracle::is_optimal(cost, {0, 2}, 0));
}

TEST(LinearSumAssignment, ConstantMatrixGivesTheIdentity) {
  for (std::int64_t rows = 1; rows <= 9; ++rows) {
    for (std::int64_t columns = 1; columns <= 9; ++columns) {
      for (const bool maximize : {false, true}) {
        const Solution solution =
            solve(Matrix(rows, std::vector<double>(columns, 0.25)), {.maximize = maximize});
        for (std::int64_t row = 0; row < rows; ++row)
          EXPECT_EQ(solution.column_of_row[row], row < columns ? row : -1);
      }
    }
  }
}

// Matrices whose answer, scipy's, is another one as soon as the rule that is named is another one.
// tests/python compares thousands more with scipy itself.
TEST(LinearSumAssignment, TiesFallAsInScipy) {
  EXPECT_EQ(solve({{0, 0}, {0, 0}}).column_of_row, (Indices{0, 1}))
      << "columns are looked at from the last to the first";
  EXPECT_EQ(solve({{1, 2, 0}, {2, 2, 1}}).column_of_row, (Indices{2, 1}))
      << "a closed column's place is taken by the last one";
  EXPECT_EQ(solve({{1, 1}, {0, 0}}).column_of_row, (Indices{0, 1}))
      << "a free column goes before a taken one";
  EXPECT_EQ(solve({{2, 2}, {0, 0}}).column_of_row, (Indices{0, 1}))
      << "of free columns the one that is looked at last";
}

// D. F. Crouse's algorithm as published, with SciPy's order of columns and of operations: an entry
// a column in plain loops, in double. Rows may not outnumber columns. Empty where there is no
// assignment.
Indices published(const Matrix& cost) {
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

// A number of 0 ... count - 1.
std::int64_t pick(std::int64_t count, std::mt19937_64& random) {
  return std::uniform_int_distribution<std::int64_t>(0, count - 1)(random);
}

// Boxes on a line: 1 - the intersection over the union, of most pairs 1.
Matrix overlaps(std::int64_t rows, std::int64_t columns, std::mt19937_64& random) {
  const auto boxes = [&](std::int64_t count) {
    std::vector<std::pair<double, double>> result;
    for (std::int64_t i = 0; i < count; ++i) {
      const double start = std::uniform_real_distribution<>(0, 20)(random);
      result.emplace_back(start, start + std::uniform_real_distribution<>(.5, 2)(random));
    }
    return result;
  };
  const auto a = boxes(rows), b = boxes(columns);
  Matrix cost(rows, std::vector<double>(columns));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      const double both =
          std::max(0.0, std::min(a[r].second, b[c].second) - std::max(a[r].first, b[c].first));
      const double lengths = a[r].second - a[r].first + b[c].second - b[c].first;
      cost[r][c] = 1 - both / (lengths - both);
    }
  }
  return cost;
}

template <typename CostOf>
Matrix matrix_of(std::int64_t rows, std::int64_t columns, const CostOf& cost_of) {
  Matrix cost(rows, std::vector<double>(columns));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) cost[r][c] = cost_of(r, c);
  }
  return cost;
}

using Random = std::mt19937_64;

// Costs that are full of ties.
struct Ties {
  const char* name;
  Matrix (*costs)(std::int64_t rows, std::int64_t columns, Random& random);
};

const Ties kTies[] = {
    {"equal", [](std::int64_t r, std::int64_t c,
                 Random&) { return Matrix(r, std::vector<double>(c, .25)); }},
    {"0 and 1",
     [](std::int64_t r, std::int64_t c, Random& random) { return random_matrix(r, c, random, 2); }},
    {"few zeros",
     [](std::int64_t r, std::int64_t c, Random& random) {
       return matrix_of(r, c, [&](auto, auto) { return pick(c, random) > 1 ? 1.0 : 0.0; });
     }},
    {"whole numbers below 10", [](std::int64_t r, std::int64_t c,
                                  Random& random) { return random_matrix(r, c, random, 10); }},
    {"whole numbers below 200", [](std::int64_t r, std::int64_t c,
                                   Random& random) { return random_matrix(r, c, random, 200); }},
    {"tenths",
     [](std::int64_t r, std::int64_t c, Random& random) {  // with sums that are rounded
       return matrix_of(r, c,
                        [&](auto, auto) { return static_cast<double>(-pick(7, random)) / 10; });
     }},
    {"overlaps", overlaps},
    {"duplicated rows",
     [](std::int64_t r, std::int64_t c, Random& random) {
       Matrix cost = random_matrix(r, c, random, 0);
       for (auto& row : cost) row = cost[pick(r, random)];
       return cost;
     }},
    {"duplicated columns",
     [](std::int64_t r, std::int64_t c, Random& random) {
       const Matrix cost = random_matrix(r, c, random, 0);
       Indices from(c);
       for (auto& column : from) column = pick((c + 2) / 3, random);
       return matrix_of(r, c, [&](auto i, auto k) { return cost[i][from[k]]; });
     }},
    {"blocks",
     [](std::int64_t r, std::int64_t c, Random&) {
       return matrix_of(r, c, [&](auto i, auto k) { return i * 4 / r == k * 4 / c ? 0.0 : 1.0; });
     }},
    {"forbidden pairs",
     [](std::int64_t r, std::int64_t c, Random& random) {
       return matrix_of(r, c, [&](auto, auto) {
         return pick(3, random) == 0 ? kInfinity : static_cast<double>(pick(4, random));
       });
     }},
    {"mostly forbidden",
     [](std::int64_t r, std::int64_t c, Random& random) {
       return matrix_of(
           r, c, [&](auto i, auto k) { return i == k || pick(c, random) < 4 ? 1.0 : kInfinity; });
     }},
    {"a row's number plus a column's",
     [](std::int64_t r, std::int64_t c, Random& random) {
       const Matrix of_row = random_matrix(r, 1, random, 9),
                    of_column = random_matrix(1, c, random, 9);
       return matrix_of(r, c, [&](auto i, auto k) { return of_row[i][0] + of_column[0][k]; });
     }},
    {"rounded sums",
     [](std::int64_t r, std::int64_t c, Random& random) {
       const Matrix of_row = random_matrix(r, 1, random, 0),
                    of_column = random_matrix(1, c, random, 0);
       return matrix_of(r, c, [&](auto i, auto k) { return of_row[i][0] + of_column[0][k]; });
     }},
    {"the lesser index",
     [](std::int64_t r, std::int64_t c, Random&) {
       return matrix_of(r, c, [](auto i, auto k) { return static_cast<double>(std::min(i, k)); });
     }},
    {"products of indices",
     [](std::int64_t r, std::int64_t c, Random&) {  // no ties, long paths
       return matrix_of(r, c,
                        [](auto i, auto k) { return static_cast<double>((i + 1) * (k + 1)); });
     }},
    {"differences of places",
     [](std::int64_t r, std::int64_t c, Random& random) {
       const Matrix a = random_matrix(r, 1, random, 20), b = random_matrix(1, c, random, 20);
       return matrix_of(r, c, [&](auto i, auto k) { return std::abs(a[i][0] - b[0][k]); });
     }},
};

// Whichever way is taken: every index is that of the published algorithm, for costs of every type
// taken as doubles, maximised, and with rows or columns adjacent.
template <typename T>
void expect_published(const Ties& ties, std::int64_t rows, std::int64_t columns, Random& random) {
  Matrix cost = ties.costs(rows, columns, random);
  for (auto& row : cost) {
    for (double& value : row) value = value == kInfinity ? value : static_cast<T>(value);
  }
  const bool wide = rows <= columns;
  const Indices shorter = published(wide ? cost : oracle::transposed(cost));
  Solution expected{Indices(rows, -1), Indices(columns, -1), {AssignmentStatus::infeasible}};
  for (std::int64_t i = 0; i < std::ssize(shorter); ++i) {
    expected.column_of_row[wide ? i : shorter[i]] = wide ? shorter[i] : i;
    expected.row_of_column[wide ? shorter[i] : i] = wide ? i : shorter[i];
    expected.statuses[0] = AssignmentStatus::solved;
  }
  Matrix negated = cost;
  for (auto& row : negated) {
    for (double& value : row) value = -value;
  }
  const auto data = flat<T>(cost), across = flat<T>(oracle::transposed(cost)),
             opposite = flat<T>(negated);
  const AssignmentOptions any{.on_unsolvable = OnUnsolvable::unmatched};
  SCOPED_TRACE(::testing::Message() << ties.name << ", " << rows << " x " << columns << ", "
                                    << sizeof(T) << " bytes a cost");
  EXPECT_EQ(solve(contiguous_costs(data.data(), 1, rows, columns), any), expected);
  EXPECT_EQ(solve(CostMatrices<T>{across.data(), 1, rows, columns, 0, 1, rows}, any), expected)
      << "column-major";
  EXPECT_EQ(solve(contiguous_costs(opposite.data(), 1, rows, columns),
                  {.maximize = true, .on_unsolvable = OnUnsolvable::unmatched}),
            expected)
      << "maximised";
}

TEST(LinearSumAssignment, TiesFallAsInThePublishedAlgorithm) {
  Random random(20);
  for (const Ties& ties : kTies) {
    for (int repeat = 0; repeat < 500; ++repeat) {
      const std::int64_t most = repeat % 10 == 0 ? 90 : 24;
      const std::int64_t rows = 1 + pick(most, random),
                         columns = repeat % 3 == 0 ? rows : 1 + pick(most, random);
      expect_published<double>(ties, rows, columns, random);
      expect_published<float>(ties, rows, columns, random);
    }
  }
}

// Columns are looked for by words of 64 of them, and by groups of words.
TEST(LinearSumAssignment, TiesFallAsPublishedAcrossWordsOfColumns) {
  Random random(21);
  for (const Ties& ties : kTies) {
    for (const auto& [rows, columns] : {std::pair{63, 65},
                                        {64, 64},
                                        {127, 129},
                                        {40, 257},
                                        {300, 80},
                                        {30, 600},
                                        {200, 200},
                                        {256, 256}}) {
      expect_published<double>(ties, rows, columns, random);
      expect_published<float>(ties, rows, columns, random);
    }
  }
}

// Batches of small problems, of which some wait for others while some are answered at once.
TEST(LinearSumAssignment, TiesInABatchFallAsAlone) {
  Random random(22);
  for (const auto& [rows, columns] : {std::pair{6, 6}, {12, 16}, {30, 11}}) {
    std::vector<float> data;
    Solution expected;
    for (int repeat = 0; repeat < 60; ++repeat) {
      for (const Ties& ties : kTies) {
        const auto costs = flat<float>(repeat % 3 == 0 ? random_matrix(rows, columns, random, 0)
                                                       : ties.costs(rows, columns, random));
        data.insert(data.end(), costs.begin(), costs.end());
        const Solution alone = solve(contiguous_costs(costs.data(), 1, rows, columns),
                                     {.on_unsolvable = OnUnsolvable::unmatched});
        for (const auto& [all, one] : {std::pair{&expected.column_of_row, &alone.column_of_row},
                                       {&expected.row_of_column, &alone.row_of_column}})
          all->insert(all->end(), one->begin(), one->end());
        expected.statuses.push_back(alone.statuses[0]);
      }
    }
    EXPECT_EQ(solve(contiguous_costs(data.data(), std::ssize(expected.statuses), rows, columns),
                    {.on_unsolvable = OnUnsolvable::unmatched}),
              expected);
  }
}

TEST(LinearSumAssignment, MaximizingIsMinimizingTheNegative) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    Matrix cost = random_matrix(static_cast<std::int64_t>(1 + seed % 19),
                                static_cast<std::int64_t>(1 + seed % 17), random, seed % 2 ? 3 : 0);
    const Solution greatest = solve(cost, {.maximize = true});
    for (auto& row : cost) {
      for (double& value : row) value = -value;
    }
    EXPECT_EQ(greatest, solve(cost));
  }
}

TEST(LinearSumAssignment, FloatCostsGiveTheirDoublesAnswer) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    Matrix cost = random_matrix(static_cast<std::int64_t>(1 + seed % 19),
                                static_cast<std::int64_t>(1 + seed % 17), random, 0);
    for (auto& row : cost) {
      for (double& value : row) value = static_cast<float>(value);
    }
    EXPECT_EQ(solve<float>(cost), solve<double>(cost));
  }
}

TEST(LinearSumAssignment, PermutingRowsAndColumnsPermutesTheAnswer) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const auto rows = static_cast<std::int64_t>(1 + seed % 18),
               columns = static_cast<std::int64_t>(1 + seed % 17);
    const Matrix cost = random_matrix(rows, columns, random, 0);
    Indices row_order(rows), column_order(columns);
    std::iota(row_order.begin(), row_order.end(), 0);
    std::iota(column_order.begin(), column_order.end(), 0);
    std::shuffle(row_order.begin(), row_order.end(), random);
    std::shuffle(column_order.begin(), column_order.end(), random);
    Matrix shuffled(rows, std::vector<double>(columns));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c)
        shuffled[r][c] = cost[row_order[r]][column_order[c]];
    }
    const Indices original = solve(cost).column_of_row, permuted = solve(shuffled).column_of_row;
    for (std::int64_t r = 0; r < rows; ++r) {
      EXPECT_EQ(permuted[r] < 0 ? -1 : column_order[permuted[r]], original[row_order[r]]);
    }
  }
}

TEST(LinearSumAssignment, BatchEqualsLoopOnAnyNumberOfThreadsAndAnyStrides) {
  std::mt19937_64 random(6);
  constexpr std::int64_t kProblems = 3000, kRows = 5, kColumns = 4;
  std::vector<double> data(kProblems * kRows * kColumns);
  for (double& value : data) value = std::uniform_int_distribution<>(0, 4)(random);
  const auto at = [&](std::int64_t n, std::int64_t r, std::int64_t c) {
    return data[(n * kRows + r) * kColumns + c];
  };

  ThreadPool one(1);
  const Solution expected =
      solve(contiguous_costs(data.data(), kProblems, kRows, kColumns), {.executor = &one});
  for (std::int64_t n = 0; n < kProblems; n += 97) {
    const Solution single =
        solve(contiguous_costs(data.data() + n * kRows * kColumns, 1, kRows, kColumns));
    for (std::int64_t r = 0; r < kRows; ++r)
      EXPECT_EQ(single.column_of_row[r], expected.column_of_row[n * kRows + r]);
    for (std::int64_t c = 0; c < kColumns; ++c)
      EXPECT_EQ(single.row_of_column[c], expected.row_of_column[n * kColumns + c]);
  }
  for (const int threads : {2, 3, 7}) {
    ThreadPool pool(threads);
    EXPECT_EQ(solve(contiguous_costs(data.data(), kProblems, kRows, kColumns), {.executor = &pool}),
              expected);
  }

  // Column-major with a gap after each column, problems in reverse.
  constexpr std::int64_t kColumnStride = kRows + 2, kProblemStride = kColumns * kColumnStride;
  std::vector<double> strided(kProblems * kProblemStride, kNaN);
  for (std::int64_t n = 0; n < kProblems; ++n) {
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t c = 0; c < kColumns; ++c)
        strided[(kProblems - 1 - n) * kProblemStride + c * kColumnStride + r] = at(n, r, c);
    }
  }
  const CostMatrices<double> view{strided.data() + (kProblems - 1) * kProblemStride,
                                  kProblems,
                                  kRows,
                                  kColumns,
                                  -kProblemStride,
                                  1,
                                  kColumnStride};
  EXPECT_EQ(solve(view), expected);
}

// Problems as they are matched: Gaussian costs, and costs whose least are nearly a permutation. No
// ties, so that the optimum is the only one, and a certificate of it is a proof.
TEST(LinearSumAssignment, IsOptimalAtEverySize) {
  std::mt19937_64 random(7);
  for (std::int64_t size = 1; size <= 140; size += size < 70 ? 1 : 7) {
    for (const bool nearly_permuted : {false, true}) {
      SCOPED_TRACE(::testing::Message()
                   << size << " x " << size << (nearly_permuted ? ", nearly permuted" : ""));
      Matrix cost = random_matrix(size, size, random, 0);
      if (nearly_permuted) {
        for (std::int64_t r = 0; r < size; ++r) cost[r][(r * 7 + 3) % size] -= 3;
      }
      const Solution solution = solve<float>(cost);
      expect_consistent(solution);
      for (auto& row : cost) {
        for (double& value : row) value = static_cast<float>(value);
      }
      EXPECT_TRUE(oracle::is_optimal(cost, solution.column_of_row, 1e-12));
    }
  }
}

// Every rectangle up to 20 x 20 and some beyond, also transposed in memory, maximised and with few
// different costs.
TEST(LinearSumAssignment, RectanglesAreOptimalHoweverTheyLie) {
  std::mt19937_64 random(8);
  for (std::int64_t rows = 1; rows <= 70; rows += rows < 20 ? 1 : 25) {
    for (std::int64_t columns = 1; columns <= 70; columns += columns < 20 ? 1 : 25) {
      SCOPED_TRACE(::testing::Message() << rows << " x " << columns);
      const int different = (rows + columns) % 3 == 0 ? 4 : 0;
      const Matrix cost = random_matrix(rows, columns, random, different);
      const auto data = flat<float>(cost), across = flat<float>(oracle::transposed(cost));
      const Solution solution = solve(contiguous_costs(data.data(), 1, rows, columns));
      expect_consistent(solution);
      const Solution again =
          solve(CostMatrices<float>{across.data(), 1, rows, columns, 0, 1, rows});
      EXPECT_EQ(again, solution);
      Matrix exact = cost;
      for (auto& row : exact) {
        for (double& value : row) value = static_cast<float>(value);
      }
      const bool wide = rows <= columns;
      EXPECT_TRUE(oracle::is_optimal(wide ? exact : oracle::transposed(exact),
                                     wide ? solution.column_of_row : solution.row_of_column,
                                     1e-12));
    }
  }
}

// The short cuts answer only where the optimum is the only one: duplicated rows and columns have
// several, and the published rule decides. What it gives does not depend on costs' type, which
// changes the short cuts but not the costs.
TEST(LinearSumAssignment, NearTiesAndTiesFallTheSameInEveryType) {
  std::mt19937_64 random(9);
  for (int repeat = 0; repeat < 3000; ++repeat) {
    const std::int64_t size = 2 + repeat % 23;
    Matrix cost = random_matrix(size, size, random, 0);
    for (auto& row : cost) {
      for (double& value : row) value = std::round(value * 64) / 64;  // exact in all types
    }
    const auto pick = [&] {
      return std::uniform_int_distribution<std::int64_t>(0, size - 1)(random);
    };
    if (repeat % 2 == 0) cost[pick()] = cost[pick()];
    if (repeat % 3 == 0) {
      const std::int64_t from = pick(), to = pick();
      for (auto& row : cost) row[to] = row[from];
    }
    const Solution expected = solve<double>(cost);
    EXPECT_EQ(solve<float>(cost), expected);
    std::vector<float16> halves;
    std::vector<bfloat16> brains;
    for (const auto& row : cost) {
      for (const double value : row) {
        halves.push_back(to_float16(static_cast<float>(value)));
        brains.push_back(to_bfloat16(static_cast<float>(value)));
      }
    }
    EXPECT_EQ(solve(contiguous_costs(halves.data(), 1, size, size)), expected);
    Matrix coarse = cost;
    for (std::int64_t i = 0; i < size * size; ++i) coarse[i / size][i % size] = to_float(brains[i]);
    EXPECT_EQ(solve(contiguous_costs(brains.data(), 1, size, size)), solve<double>(coarse));
  }
}

// Costs of any magnitude: scaling by a power of two is exact, and changes no answer.
TEST(LinearSumAssignment, MagnitudeDoesNotMatter) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const auto size = static_cast<std::int64_t>(1 + seed % 20);
    const Matrix cost = random_matrix(size, size, random, seed % 2 ? 0 : 9);
    const Solution expected = solve(cost);
    for (const int exponent : {-1000, -500, -90, 90, 500, 1019}) {
      Matrix scaled = cost;
      for (auto& row : scaled) {
        for (double& value : row) value = std::ldexp(value, exponent);
      }
      EXPECT_EQ(solve(scaled), expected) << exponent;
    }
  }
}

// Costs whose differences no type but an exact one tells apart from nothing: whole numbers from 0
// to 9 times a unit, on a base. Their optimum is that of the whole numbers.
struct Scale {
  const char* name;
  double base, unit;
  double tolerance;  // units that double loses on the base, a row
};

template <typename T>
void expect_optimal_on(const Scale& scale) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE(::testing::Message() << scale.name << ", seed " << seed);
    std::mt19937_64 random(seed);
    const auto rows = static_cast<std::int64_t>(1 + seed % 18),
               columns = static_cast<std::int64_t>(rows + seed % 3);
    const Matrix whole = random_matrix(rows, columns, random, 10);
    Matrix cost = whole;
    for (auto& row : cost) {
      for (double& value : row) value = scale.base + value * scale.unit;
    }
    const Solution solution = solve<T>(cost);
    expect_consistent(solution);
    EXPECT_TRUE(oracle::is_optimal(whole, solution.column_of_row,
                                   scale.tolerance * static_cast<double>(rows)));
    for (const auto& [name, other] : on_every_instruction_set([&] { return solve<T>(cost); }))
      EXPECT_EQ(other, solution) << name;
  }
}

TEST(LinearSumAssignment, NearTiesAndDenormalsAreToldApart) {
  expect_optimal_on<float>({"floats next to each other", 1, 0x1p-23, 0});
  expect_optimal_on<float>({"denormal floats", 0, 0x1p-149, 0});
  expect_optimal_on<float>({"the largest floats", 0x1p127, 0x1p104, 0});
  expect_optimal_on<double>({"doubles next to each other", 1, 0x1p-52, 4});
  expect_optimal_on<double>({"near ties of doubles", 1, 0x1p-40, 0});
  expect_optimal_on<double>({"denormal doubles", 0, 0x1p-1074, 0});
  expect_optimal_on<double>({"the largest doubles", 0x1p1023, 0x1p980, 0});
}

// A number of the row plus a number of the column: but for their rounding to T all assignments cost
// the same, and prices of columns are rounded, too. What decides is the last bits.
TEST(LinearSumAssignment, RoundedSumsOfRowsAndColumns) {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const auto rows = static_cast<std::int64_t>(2 + seed % 18),
               columns = static_cast<std::int64_t>(rows + (seed % 2) * (seed % 5));
    const Matrix of_row = random_matrix(rows, 1, random, 0),
                 of_column = random_matrix(1, columns, random, 0);
    Matrix cost(rows, std::vector<double>(columns));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c)
        cost[r][c] = static_cast<float>(of_row[r][0] + of_column[0][c]);
    }
    const Solution solution = solve<float>(cost);
    EXPECT_TRUE(oracle::is_optimal(cost, solution.column_of_row, 1e-13));
    EXPECT_EQ(solve<double>(cost), solution);
    for (const auto& [name, other] : on_every_instruction_set([&] { return solve<float>(cost); }))
      EXPECT_EQ(other, solution) << name;
  }
}

// NaN and infinities of both signs anywhere, in any number, in some problems of a batch.
TEST(LinearSumAssignment, NonFiniteCostsAnywhere) {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    std::mt19937_64 random(seed);
    const auto pick = [&](std::int64_t least, std::int64_t most) {
      return std::uniform_int_distribution<std::int64_t>(least, most)(random);
    };
    const std::int64_t problems = pick(1, 4), rows = pick(1, 9), columns = pick(1, 9),
                       forbidden = pick(0, 2);
    const bool maximize = pick(0, 1) == 1;
    const double sign = maximize ? -1 : 1;
    std::vector<Matrix> costs;
    std::vector<float> data;
    for (std::int64_t n = 0; n < problems; ++n) {
      Matrix cost = random_matrix(rows, columns, random, seed % 2 ? 0 : 5);
      for (auto& row : cost) {
        for (double& value : row) {
          if (pick(0, 2) < forbidden) value = kInfinity;
        }
      }
      if (pick(0, 3) == 0)
        cost[pick(0, rows - 1)][pick(0, columns - 1)] = pick(0, 1) ? kNaN : -kInfinity;
      for (auto& row : cost) {
        for (double& value : row) {
          data.push_back(static_cast<float>(sign * value));
          value = static_cast<float>(value);
        }
      }
      costs.push_back(cost);
    }
    const auto view = contiguous_costs(data.data(), problems, rows, columns);
    for (const auto& [name, batch] : on_every_instruction_set([&] {
           return solve(view, {.maximize = maximize, .on_unsolvable = OnUnsolvable::unmatched});
         })) {
      for (std::int64_t n = 0; n < problems; ++n) {
        SCOPED_TRACE(::testing::Message() << "seed " << seed << ", problem " << n << ", " << name);
        bool has_nan = false, has_unbounded = false;
        for (const auto& row : costs[n]) {
          has_nan |=
              std::any_of(row.begin(), row.end(), [](double value) { return std::isnan(value); });
          has_unbounded |= std::count(row.begin(), row.end(), -kInfinity) > 0;
        }
        const bool wide = rows <= columns;
        const Matrix shorter_first = wide ? costs[n] : oracle::transposed(costs[n]);
        ASSERT_EQ(batch.statuses[n], has_nan         ? AssignmentStatus::nan_cost
                                     : has_unbounded ? AssignmentStatus::unbounded_cost
                                     : oracle::has_full_assignment(shorter_first)
                                         ? AssignmentStatus::solved
                                         : AssignmentStatus::infeasible);
        const Solution solution{Indices(batch.column_of_row.begin() + n * rows,
                                        batch.column_of_row.begin() + (n + 1) * rows),
                                Indices(batch.row_of_column.begin() + n * columns,
                                        batch.row_of_column.begin() + (n + 1) * columns),
                                {}};
        if (batch.statuses[n] == AssignmentStatus::solved) {
          expect_consistent(solution);
          EXPECT_TRUE(oracle::is_optimal(
              shorter_first, wide ? solution.column_of_row : solution.row_of_column, 1e-12));
        } else {
          EXPECT_EQ(solution.column_of_row, Indices(rows, -1));
          EXPECT_EQ(solution.row_of_column, Indices(columns, -1));
        }
      }
    }
  }
}

TEST(LinearSumAssignment, InstructionSetsAgree) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    std::mt19937_64 random(seed);
    const auto rows = static_cast<std::int64_t>(1 + seed % 37),
               columns = static_cast<std::int64_t>(1 + seed % 35);
    const Matrix cost = random_matrix(rows, columns, random, seed % 3 ? 0 : 4);
    const auto floats = on_every_instruction_set([&] { return solve<float>(cost); }),
               doubles = on_every_instruction_set([&] { return solve<double>(cost); });
    for (const auto& [name, solution] : floats)
      EXPECT_EQ(solution, floats[0].second) << "seed " << seed << ", float, " << name;
    for (const auto& [name, solution] : doubles)
      EXPECT_EQ(solution, doubles[0].second) << "seed " << seed << ", double, " << name;
  }
}

TEST(LinearSumAssignment, InfinityForbidsAPair) {
  EXPECT_EQ(solve({{kInfinity, 1}, {1, 100}}).column_of_row, (Indices{1, 0}));
  EXPECT_EQ(solve({{-kInfinity, 1}, {1, 100}}, {.maximize = true}).column_of_row, (Indices{1, 0}));
  EXPECT_EQ(solve({{kInfinity, 2, 1}, {kInfinity, kInfinity, 0}}).column_of_row, (Indices{1, 2}));
}

TEST(LinearSumAssignment, ProblemsWithoutAnAnswerLeaveTheOthersAlone) {
  const std::vector<std::pair<Matrix, AssignmentStatus>> cases = {
      {{{1, 2}, {3, kNaN}}, AssignmentStatus::nan_cost},
      {{{-kInfinity, 2}, {3, 4}}, AssignmentStatus::unbounded_cost},
      {{{kInfinity, kInfinity}, {3, 4}}, AssignmentStatus::infeasible},
      {{{kInfinity, 1}, {kInfinity, 4}}, AssignmentStatus::infeasible},
  };
  for (const auto& [bad, status] : cases) {
    SCOPED_TRACE(describe(status));
    std::vector<double> data = {1, 0, 0, 1};
    const auto bad_data = flat<double>(bad);
    data.insert(data.end(), bad_data.begin(), bad_data.end());
    data.insert(data.end(), {0, 1, 1, 0});
    const auto costs = contiguous_costs(data.data(), 3, 2, 2);

    const Solution solution = solve(costs, {.on_unsolvable = OnUnsolvable::unmatched});
    EXPECT_EQ(solution.column_of_row, (Indices{1, 0, -1, -1, 0, 1}));
    EXPECT_EQ(solution.row_of_column, (Indices{1, 0, -1, -1, 0, 1}));
    EXPECT_EQ(solution.statuses,
              (std::vector{AssignmentStatus::solved, status, AssignmentStatus::solved}));
    try {
      linear_sum_assignment(costs, {});
      FAIL() << "no error";
    } catch (const AssignmentError& error) {
      EXPECT_EQ(error.problem, 1);
      EXPECT_NE(std::string(error.what())
                    .find("problem 1 has no answer: " + std::string(describe(status))),
                std::string::npos)
          << error.what();
    }
  }
  const std::vector<double> unbounded = {kInfinity};
  EXPECT_EQ(solve({{kInfinity}}, {.maximize = true, .on_unsolvable = OnUnsolvable::unmatched})
                .statuses[0],
            AssignmentStatus::unbounded_cost);
  EXPECT_EQ(solve({{-kInfinity}}, {.maximize = true, .on_unsolvable = OnUnsolvable::unmatched})
                .statuses[0],
            AssignmentStatus::infeasible);
}

TEST(LinearSumAssignment, EmptySizes) {
  const Solution no_columns = solve(contiguous_costs<double>(nullptr, 2, 3, 0));
  EXPECT_EQ(no_columns.column_of_row, Indices(6, -1));
  EXPECT_EQ(solve(contiguous_costs<double>(nullptr, 2, 0, 3)).row_of_column, Indices(6, -1));
  EXPECT_TRUE(solve(contiguous_costs<double>(nullptr, 0, 3, 3)).column_of_row.empty());
}

TEST(LinearSumAssignment, CostsOfAnyMagnitude) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  EXPECT_EQ(solve({{kLargest, -kLargest, kLargest},
                   {-kLargest, kLargest, kLargest},
                   {kLargest, -kLargest, -kLargest}})
                .column_of_row,
            (Indices{1, 0, 2}));
  // Row 0 moves over from the cheapest column to the dearest: the path's length is three times the
  // largest double.
  EXPECT_EQ(solve({{-kLargest, kLargest}, {kLargest, kInfinity}}).column_of_row, (Indices{1, 0}));
  constexpr double kSmallest = std::numeric_limits<double>::denorm_min();
  EXPECT_EQ(solve({{kSmallest, 0}, {2 * kSmallest, 0}}).column_of_row, (Indices{0, 1}));
}

// Beside costs of 1e30 those of 1 are lost in rounding, so that the order of the sums decides.
template <typename T>
void expect_layouts_agree(std::int64_t rows, std::int64_t columns, std::mt19937_64& random) {
  Matrix cost = random_matrix(rows, columns, random, 0);
  for (auto& row : cost) {
    for (double& value : row)
      value *= std::pow(10, std::uniform_real_distribution<>(-40, 33)(random));
  }
  const std::vector<T> data = flat<T>(cost), by_columns = flat<T>(oracle::transposed(cost));
  const CostMatrices<T> transposed{by_columns.data(), 1, rows, columns, rows * columns, 1, rows};
  EXPECT_EQ(solve(transposed), solve(contiguous_costs(data.data(), 1, rows, columns)))
      << rows << " x " << columns;
}

TEST(LinearSumAssignment, LayoutDoesNotMatterHoweverMagnitudesDiffer) {
  std::mt19937_64 random(23);
  for (int repeat = 0; repeat < 2000; ++repeat) {
    const std::int64_t rows = 1 + random() % 12,
                       columns = repeat % 2 == 0 ? rows : 1 + random() % 12;
    expect_layouts_agree<double>(rows, columns, random);
    expect_layouts_agree<float>(rows, columns, random);
  }
}

// The last column is dear to both rows, so the answer is the others' best; were all costs scaled
// down for its sake, theirs would be 0.
TEST(LinearSumAssignment, TinyCostsCountBesideHugeOnes) {
  EXPECT_EQ(solve(Matrix{{2e-307, 1e-307, 1e300}, {1e-307, 2e-307, 1e300}}).column_of_row,
            (Indices{1, 0}));
  EXPECT_EQ(solve(Matrix{{1e-307, 2e-307, 1e300}, {2e-307, 1e-307, 1e300}}).column_of_row,
            (Indices{0, 1}));
}

TEST(LinearSumAssignment, MoreMemoryThanThereCanBeIsAnErrorAndNotAWrappedSize) {
  const double cost = 1;
  for (const std::int64_t rows : {(std::int64_t{1} << 30) - 13, std::int64_t{1} << 30}) {
    const CostMatrices<double> costs{&cost, 1, rows, (std::int64_t{1} << 30) - 1, 0, 0, 0};
    std::vector<std::int64_t> untouched(1, -7);
    EXPECT_EQ(try_linear_sum_assignment(costs, {untouched.data(), nullptr, nullptr}).code(),
              StatusCode::out_of_memory);
    EXPECT_EQ(untouched[0], -7);
  }
}

TEST(LinearSumAssignment, TheWorkspaceIsKnownBeforeTheCostsAre) {
  const float costs[49] = {};
  const CostMatrices<float> known{costs, 1, 7, 7, 49, 7, 1}, unknown{nullptr, 1, 7, 7, 49, 7, 1};
  EXPECT_GT(linear_sum_assignment_workspace(unknown, 2), 0u);
  EXPECT_EQ(linear_sum_assignment_workspace(unknown, 2), linear_sum_assignment_workspace(known, 2));
  EXPECT_EQ(linear_sum_assignment_workspace(unknown, -1),
            linear_sum_assignment_workspace(known, 1));
}

TEST(LinearSumAssignment, BadInput) {
  const double one = 1;
  constexpr std::int64_t kHuge = std::int64_t{1} << 40;
  EXPECT_THROW(contiguous_costs(&one, -1, 1, 1), InvalidArgument);
  EXPECT_THROW(contiguous_costs(&one, kHuge, kHuge, kHuge), InvalidArgument);
  EXPECT_THROW(contiguous_costs<double>(nullptr, 1, 1, 1), InvalidArgument);
  std::int64_t untouched = 77;
  const AssignmentResults results{.column_of_row = &untouched};
  EXPECT_THROW(linear_sum_assignment(CostMatrices<double>{&one, 1, -1, 1}, results),
               InvalidArgument);
  EXPECT_THROW(linear_sum_assignment(CostMatrices<double>{nullptr, 1, 1, 1}, results),
               InvalidArgument);
  EXPECT_THROW(
      linear_sum_assignment(
          CostMatrices<double>{&one, 2, 1, 1, std::numeric_limits<std::int64_t>::max(), 1, 1},
          results),
      InvalidArgument);
  EXPECT_EQ(untouched, 77);
}

}  // namespace
}  // namespace osc
