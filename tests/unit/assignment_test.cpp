// The solver's ways and their ties: every index is that of Crouse's algorithm in oracle.hpp, which
// is SciPy's. tests/python compares thousands of problems with SciPy itself.
#include "osc/assignment.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "elements.hpp"
#include "oracle.hpp"
#include "osc/error.hpp"

namespace osc {
namespace {

using oracle::Assignment;
using oracle::Indices;
using oracle::Matrix;
using Random = std::mt19937_64;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// A number of 0 ... count - 1.
std::int64_t pick(std::int64_t count, Random& random) {
  return std::uniform_int_distribution<std::int64_t>(0, count - 1)(random);
}

template <typename CostOf>
Matrix matrix_of(std::int64_t rows, std::int64_t columns, const CostOf& cost_of) {
  Matrix cost(rows, std::vector<double>(columns));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) cost[r][c] = cost_of(r, c);
  }
  return cost;
}
Matrix each(Matrix matrix, const std::function<double(double)>& change) {
  for (auto& row : matrix) {
    for (double& value : row) value = change(value);
  }
  return matrix;
}
Matrix gaussian(std::int64_t rows, std::int64_t columns, Random& random) {
  std::normal_distribution<> normal;
  return matrix_of(rows, columns, [&](auto, auto) { return normal(random); });
}
// Whole numbers from 0 to count - 1.
Matrix whole(std::int64_t rows, std::int64_t columns, Random& random, std::int64_t count) {
  return matrix_of(rows, columns,
                   [&](auto, auto) { return static_cast<double>(pick(count, random)); });
}

template <typename T>
std::vector<T> flat(const Matrix& matrix) {
  std::vector<T> result;
  for (const auto& row : matrix) {
    for (const double value : row) result.push_back(element<T>(value));
  }
  return result;
}

template <typename T>
std::vector<Assignment> solve(const View<const T, 3>& cost, AssignmentOptions options = {}) {
  const auto [problems, rows, columns] = cost.sizes;
  Indices col4row(problems * rows, -7), row4col(problems * columns, -7);
  std::vector<AssignmentStatus> statuses(problems);
  linear_sum_assignment(cost, {col4row.data(), row4col.data(), statuses.data()}, options);
  std::vector<Assignment> result;
  for (std::int64_t n = 0; n < problems; ++n)
    result.push_back({{col4row.begin() + n * rows, col4row.begin() + (n + 1) * rows},
                      {row4col.begin() + n * columns, row4col.begin() + (n + 1) * columns},
                      static_cast<int>(statuses[n])});
  return result;
}

constexpr AssignmentOptions kAny{.on_unsolvable = OnUnsolvable::unmatched};

template <typename T = double>
Assignment solve(const Matrix& cost, const AssignmentOptions& options = kAny) {
  const auto data = flat<T>(cost);
  return solve(contiguous(data.data(), {1, std::ssize(cost), std::ssize(cost[0])}), options)[0];
}

// Checks one problem in several memory layouts, minimised and maximised.
template <typename T>
void expect_right(const Matrix& given) {
  const Matrix cost = each(given, [](double x) { return value(element<T>(x)); });
  const std::int64_t rows = std::ssize(cost), columns = std::ssize(cost[0]);
  const Assignment expected = oracle::assignment(cost, cost[0].size());
  SCOPED_TRACE(::testing::Message() << rows << " x " << columns << ", " << sizeof(T) << " bytes");
  EXPECT_EQ(solve<T>(cost), expected);
  const auto across = flat<T>(oracle::transposed(cost));
  EXPECT_EQ(solve(View<const T, 3>{across.data(), {1, rows, columns}, {0, 1, rows}}, kAny)[0],
            expected)
      << "column-major";
  EXPECT_EQ(solve<T>(each(cost, std::negate<>()),
                     {.maximize = true, .on_unsolvable = OnUnsolvable::unmatched}),
            expected)
      << "maximised";
}

// The oracle itself.
TEST(Oracle, TheAssignmentEqualsBruteForce) {
  Random random(1);
  for (std::int64_t rows = 1; rows <= 6; ++rows) {
    for (std::int64_t columns = rows; columns <= 6; ++columns) {
      for (int repeat = 0; repeat < 12; ++repeat) {
        const Matrix cost =
            repeat % 2 ? gaussian(rows, columns, random) : whole(rows, columns, random, 5);
        const Indices matches = oracle::crouse(cost);
        double total = 0;
        for (std::int64_t r = 0; r < rows; ++r) total += cost[r][matches[r]];
        EXPECT_NEAR(total, oracle::least_total(cost), 1e-12);
        EXPECT_TRUE(oracle::is_optimal(cost, matches, 1e-12));
      }
    }
  }
  const Matrix cost = {{0, 1, 9}, {1, 0, 9}};
  EXPECT_TRUE(oracle::is_optimal(cost, {0, 1}, 0));
  EXPECT_FALSE(oracle::is_optimal(cost, {1, 0}, 0));
  EXPECT_FALSE(oracle::is_optimal(cost, {0, 2}, 0));
}

// Each matrix has SciPy's answer only if the named tie rule is followed.
TEST(LinearSumAssignment, TiesFallAsInScipy) {
  EXPECT_EQ(solve({{0, 0}, {0, 0}}).col4row, (Indices{0, 1}))
      << "columns are looked at from the last to the first";
  EXPECT_EQ(solve({{1, 2, 0}, {2, 2, 1}}).col4row, (Indices{2, 1}))
      << "a closed column's place is taken by the last one";
  EXPECT_EQ(solve({{1, 1}, {0, 0}}).col4row, (Indices{0, 1}))
      << "a free column goes before a taken one";
  EXPECT_EQ(solve({{2, 2}, {0, 0}}).col4row, (Indices{0, 1}))
      << "of free columns the one that is looked at last";
}

// Boxes on a line: 1 - the intersection over the union, of most pairs 1.
Matrix overlaps(std::int64_t rows, std::int64_t columns, Random& random) {
  const auto boxes = [&](std::int64_t count) {
    std::vector<std::pair<double, double>> result;
    for (std::int64_t i = 0; i < count; ++i) {
      const double start = std::uniform_real_distribution<>(0, 20)(random);
      result.emplace_back(start, start + std::uniform_real_distribution<>(.5, 2)(random));
    }
    return result;
  };
  const auto a = boxes(rows), b = boxes(columns);
  return matrix_of(rows, columns, [&](auto r, auto c) {
    const double both =
        std::max(0.0, std::min(a[r].second, b[c].second) - std::max(a[r].first, b[c].first));
    const double lengths = a[r].second - a[r].first + b[c].second - b[c].first;
    return 1 - both / (lengths - both);
  });
}

// A number of the row plus a number of the column: all assignments cost the same, up to rounding.
Matrix sums(const Matrix& of_row, const Matrix& of_column) {
  return matrix_of(std::ssize(of_row), std::ssize(of_column),
                   [&](auto r, auto c) { return of_row[r][0] + of_column[c][0]; });
}

struct Costs {
  const char* name;
  Matrix (*costs)(std::int64_t rows, std::int64_t columns, Random& random);
};

const Costs kCosts[] = {
    {"Gaussian", gaussian},
    {"nearly permuted",
     [](std::int64_t r, std::int64_t c, Random& random) {
       Matrix cost = gaussian(r, c, random);
       for (std::int64_t i = 0; i < r; ++i) cost[i][(i * 7 + 3) % c] -= 3;
       return cost;
     }},
    {"equal", [](std::int64_t r, std::int64_t c,
                 Random&) { return Matrix(r, std::vector<double>(c, .25)); }},
    {"0 and 1",
     [](std::int64_t r, std::int64_t c, Random& random) { return whole(r, c, random, 2); }},
    {"few zeros",
     [](std::int64_t r, std::int64_t c, Random& random) {
       return matrix_of(r, c, [&](auto, auto) { return pick(c, random) > 1 ? 1.0 : 0.0; });
     }},
    {"whole numbers below 10",
     [](std::int64_t r, std::int64_t c, Random& random) { return whole(r, c, random, 10); }},
    {"whole numbers below 200",
     [](std::int64_t r, std::int64_t c, Random& random) { return whole(r, c, random, 200); }},
    {"tenths",  // sums of tenths are rounded
     [](std::int64_t r, std::int64_t c, Random& random) {
       return matrix_of(r, c,
                        [&](auto, auto) { return static_cast<double>(-pick(7, random)) / 10; });
     }},
    {"overlaps", overlaps},
    {"duplicated rows",
     [](std::int64_t r, std::int64_t c, Random& random) {
       Matrix cost = gaussian(r, c, random);
       for (auto& row : cost) row = cost[pick(r, random)];
       return cost;
     }},
    {"duplicated columns",
     [](std::int64_t r, std::int64_t c, Random& random) {
       const Matrix cost = gaussian(r, c, random);
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
    {"some NaN and unbounded",
     [](std::int64_t r, std::int64_t c, Random& random) {
       Matrix cost = whole(r, c, random, 5);
       const double bad[] = {kNaN, -kInfinity, kInfinity};
       for (std::int64_t n = pick(4, random); n > 0; --n)
         cost[pick(r, random)][pick(c, random)] = bad[pick(3, random)];
       return cost;
     }},
    {"sums of whole numbers",
     [](std::int64_t r, std::int64_t c, Random& random) {
       return sums(whole(r, 1, random, 9), whole(c, 1, random, 9));
     }},
    {"rounded sums",
     [](std::int64_t r, std::int64_t c, Random& random) {
       return sums(gaussian(r, 1, random), gaussian(c, 1, random));
     }},
    {"the lesser index",
     [](std::int64_t r, std::int64_t c, Random&) {
       return matrix_of(r, c, [](auto i, auto k) { return static_cast<double>(std::min(i, k)); });
     }},
    {"products of indices",  // no ties, long paths
     [](std::int64_t r, std::int64_t c, Random&) {
       return matrix_of(r, c,
                        [](auto i, auto k) { return static_cast<double>((i + 1) * (k + 1)); });
     }},
    {"differences of places",
     [](std::int64_t r, std::int64_t c, Random& random) {
       const Matrix a = whole(r, 1, random, 20), b = whole(c, 1, random, 20);
       return matrix_of(r, c, [&](auto i, auto k) { return std::abs(a[i][0] - b[k][0]); });
     }},
};

TEST(LinearSumAssignment, EveryIndexIsThatOfCrousesAlgorithm) {
  Random random(20);
  for (const Costs& costs : kCosts) {
    SCOPED_TRACE(costs.name);
    for (int repeat = 0; repeat < 400; ++repeat) {
      const std::int64_t most = repeat % 10 == 0 ? 90 : 24;
      const std::int64_t rows = 1 + pick(most, random),
                         columns = repeat % 3 == 0 ? rows : 1 + pick(most, random);
      const Matrix cost = costs.costs(rows, columns, random);
      expect_right<double>(cost);
      expect_right<float>(cost);
      if (repeat % 4 == 0) expect_right<float16>(cost);
      if (repeat % 4 == 0) expect_right<bfloat16>(cost);
    }
  }
}

// Solvers search columns in words of 64, and in groups of words: sizes on either side of both.
TEST(LinearSumAssignment, EveryIndexIsRightAcrossWordsOfColumns) {
  Random random(21);
  for (const Costs& costs : kCosts) {
    SCOPED_TRACE(costs.name);
    for (const auto& [rows, columns] : {std::pair{63, 65},
                                        {64, 64},
                                        {127, 129},
                                        {40, 257},
                                        {300, 80},
                                        {30, 600},
                                        {1, 200},
                                        {200, 1},
                                        {200, 200},
                                        {256, 256}}) {
      const Matrix cost = costs.costs(rows, columns, random);
      expect_right<double>(cost);
      expect_right<float>(cost);
    }
  }
}

// Batches of small problems. Some are solved at once, others are collected and solved together.
// Batches lie forwards in memory, and backwards with adjacent columns, for several numbers of
// threads.
TEST(LinearSumAssignment, ABatchIsManyProblems) {
  Random random(22);
  for (const auto& [rows, columns] : {std::pair{6, 6}, {12, 16}, {30, 11}}) {
    std::vector<Matrix> costs;
    for (int repeat = 0; repeat < 60; ++repeat) {
      for (const Costs& some : kCosts) costs.push_back(some.costs(rows, columns, random));
    }
    std::vector<float> data, strided;
    std::vector<Assignment> expected;
    for (Matrix& cost : costs) {
      cost = each(cost, [](double x) { return static_cast<float>(x); });
      const auto costs_of_one = flat<float>(cost);
      data.insert(data.end(), costs_of_one.begin(), costs_of_one.end());
      expected.push_back(oracle::assignment(cost, cost[0].size()));
    }
    for (std::int64_t n = std::ssize(costs) - 1; n >= 0; --n) {
      for (const auto& column : oracle::transposed(costs[n])) {
        for (const double x : column) strided.push_back(static_cast<float>(x));
        strided.insert(strided.end(), 2, std::nanf(""));
      }
    }
    const std::int64_t count = std::ssize(costs), column_stride = rows + 2,
                       problem_stride = columns * column_stride;
    for (const int threads : {1, 2, 3, 7}) {
      ThreadPool pool(threads);
      const AssignmentOptions options{.on_unsolvable = OnUnsolvable::unmatched, .executor = &pool};
      EXPECT_EQ(solve(contiguous<const float>(data.data(), {count, rows, columns}), options),
                expected);
      EXPECT_EQ(solve(View<const float, 3>{strided.data() + (count - 1) * problem_stride,
                                           {count, rows, columns},
                                           {-problem_stride, 1, column_stride}},
                      options),
                expected);
    }
  }
}

// Scaling by a power of two is exact, and changes no answer: also where sums overflow.
TEST(LinearSumAssignment, MagnitudeDoesNotMatter) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Random random(seed);
    const auto size = static_cast<std::int64_t>(1 + seed % 20);
    const Matrix cost = seed % 2 ? gaussian(size, size, random) : whole(size, size, random, 9);
    for (const int exponent : {-1000, -500, -90, 90, 500, 1019}) {
      EXPECT_EQ(solve(each(cost, [=](double x) { return std::ldexp(x, exponent); })), solve(cost))
          << exponent;
    }
  }
}

// Costs base + k * unit with whole numbers k from 0 to 9, whose differences are near the rounding
// of the type. Their optimum is that of the numbers k, up to the rounding of base + k * unit in
// double: `tolerance` units per row.
template <typename T>
void expect_optimal_on(double base, double unit, double tolerance = 0) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE(::testing::Message() << base << ", " << unit << ", seed " << seed);
    Random random(seed);
    const auto rows = static_cast<std::int64_t>(1 + seed % 18),
               columns = static_cast<std::int64_t>(rows + seed % 3);
    const Matrix numbers = whole(rows, columns, random, 10);
    const Assignment answer = solve<T>(each(numbers, [=](double x) { return base + x * unit; }));
    EXPECT_TRUE(oracle::is_optimal(numbers, answer.col4row, tolerance * static_cast<double>(rows)));
  }
}

TEST(LinearSumAssignment, NearTiesAndDenormalsAreToldApart) {
  expect_optimal_on<float>(1, 0x1p-23);
  expect_optimal_on<float>(0, 0x1p-149);
  expect_optimal_on<float>(0x1p127, 0x1p104);
  expect_optimal_on<double>(1, 0x1p-52, 4);
  expect_optimal_on<double>(1, 0x1p-40);
  expect_optimal_on<double>(0, 0x1p-1074);
  expect_optimal_on<double>(0x1p1023, 0x1p980);
}

TEST(LinearSumAssignment, CostsOfAnyMagnitudeTogether) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  EXPECT_EQ(solve({{kLargest, -kLargest, kLargest},
                   {-kLargest, kLargest, kLargest},
                   {kLargest, -kLargest, -kLargest}})
                .col4row,
            (Indices{1, 0, 2}));
  // Row 0 moves over from the cheapest column to the dearest: the path's length is three times the
  // largest double.
  EXPECT_EQ(solve({{-kLargest, kLargest}, {kLargest, kInfinity}}).col4row, (Indices{1, 0}));
  // The last column is dear to both rows, so the answer is the others' best; were all costs scaled
  // down for its sake, theirs would be 0.
  EXPECT_EQ(solve({{2e-307, 1e-307, 1e300}, {1e-307, 2e-307, 1e300}}).col4row, (Indices{1, 0}));
  EXPECT_EQ(solve({{1e-307, 2e-307, 1e300}, {2e-307, 1e-307, 1e300}}).col4row, (Indices{0, 1}));
}

// Beside costs of 1e30 those of 1 are lost in rounding, so that the order of the sums decides.
template <typename T>
void expect_layouts_agree(std::int64_t rows, std::int64_t columns, Random& random) {
  const Matrix cost = each(gaussian(rows, columns, random), [&](double x) {
    return x * std::pow(10, std::uniform_real_distribution<>(-40, 33)(random));
  });
  const std::vector<T> data = flat<T>(cost), by_columns = flat<T>(oracle::transposed(cost));
  EXPECT_EQ(
      solve(View<const T, 3>{by_columns.data(), {1, rows, columns}, {rows * columns, 1, rows}}),
      solve(contiguous(data.data(), {1, rows, columns})))
      << rows << " x " << columns;
}

TEST(LinearSumAssignment, LayoutDoesNotMatterHoweverMagnitudesDiffer) {
  Random random(23);
  for (int repeat = 0; repeat < 2000; ++repeat) {
    const std::int64_t rows = 1 + pick(12, random),
                       columns = repeat % 2 == 0 ? rows : 1 + pick(12, random);
    expect_layouts_agree<double>(rows, columns, random);
    expect_layouts_agree<float>(rows, columns, random);
  }
}

TEST(LinearSumAssignment, AProblemWithoutAnAnswerIsAnErrorThatNamesIt) {
  const std::vector<std::pair<Matrix, std::string>> cases = {
      {{{1, 2}, {3, kNaN}}, "a cost is NaN"},
      {{{-kInfinity, 2}, {3, 4}}, "a cost is -inf"},
      {{{kInfinity, kInfinity}, {3, 4}}, "infinite costs leave no full assignment"},
  };
  for (const auto& [bad, why] : cases) {
    std::vector<double> data = {1, 0, 0, 1};
    const auto bad_data = flat<double>(bad);
    data.insert(data.end(), bad_data.begin(), bad_data.end());
    try {
      linear_sum_assignment(contiguous(data.data(), {2, 2, 2}), {});
      FAIL() << "no error";
    } catch (const AssignmentError& error) {
      EXPECT_EQ(error.problem, 1);
      EXPECT_EQ(std::string(error.what()), "cost: problem 1 of 2 has no answer: " + why);
    }
  }
  EXPECT_EQ(std::string(
                try_linear_sum_assignment(contiguous(&kInfinity, {1, 1, 1}), {}, {.maximize = true})
                    .text()),
            "cost: problem 0 of 1 has no answer: a cost is +inf");
}

TEST(LinearSumAssignment, MoreMemoryThanThereCanBeIsAnErrorAndNotAWrappedSize) {
  const double cost = 1;
  for (const std::int64_t rows : {(std::int64_t{1} << 30) - 13, std::int64_t{1} << 30}) {
    std::int64_t untouched = -7;
    const View<const double, 3> huge{&cost, {1, rows, (std::int64_t{1} << 30) - 1}, {}};
    EXPECT_EQ(try_linear_sum_assignment(huge, {.col4row = &untouched}).code(),
              StatusCode::out_of_memory);
    EXPECT_EQ(untouched, -7);
  }
}

}  // namespace
}  // namespace osc
