// What the results must be, in loops that a reader can check at a glance.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
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

// Whether an assignment of every row of a matrix of R <= K is optimal, by linear programming duality: there are prices u of rows and v <= 0 of columns
// with u + v <= cost, equality on the matches, and v = 0 where a column is left over. Prices fall until they hold, which they do only at an optimum.
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

inline Matrix transposed(const Matrix& m) {
  Matrix result(m[0].size(), std::vector<double>(m.size()));
  for (std::size_t r = 0; r < m.size(); ++r) {
    for (std::size_t c = 0; c < m[0].size(); ++c) result[c][r] = m[r][c];
  }
  return result;
}

// Slots as plain arrays: x[view][image][slot][channel].
using Vector = std::vector<double>;
using Slots = std::vector<std::vector<std::vector<Vector>>>;

inline double length(const Vector& x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return std::sqrt(sum);
}

// <unit(a), unit(b)>
inline double cosine(const Vector& a, const Vector& b, double eps) {
  double sum = 0;
  for (std::size_t c = 0; c < a.size(); ++c) sum += a[c] / std::max(length(a), eps) * (b[c] / std::max(length(b), eps));
  return sum;
}

// The cosines of one image that are matched, negated: costs.
inline Matrix costs(const Slots& f, std::size_t image, double eps) {
  Matrix result;
  for (const Vector& a : f[0][image]) {
    result.emplace_back();
    for (const Vector& b : f[1][image]) result.back().push_back(-cosine(a, b, eps));
  }
  return result;
}

// The losses in the order (view, image, slot), for a given matching [B][S].
inline Vector losses(const Slots& f, const Slots& p, const std::vector<Indices>& matching, double eps) {
  const std::size_t images = p[0].size();
  Vector result;
  for (std::size_t view = 0; view < 2; ++view) {
    for (std::size_t image = 0; image < images; ++image) {
      for (std::size_t slot = 0; slot < p[0][image].size(); ++slot) {
        std::size_t target = static_cast<std::size_t>(matching[image][slot]);
        if (view == 1) target = std::find(matching[image].begin(), matching[image].end(), static_cast<std::int64_t>(slot)) - matching[image].begin();
        result.push_back((1 - cosine(p[view][image][slot], f[1 - view][image][target], eps)) / 2);
      }
    }
  }
  return result;
}

}  // namespace osc::oracle
