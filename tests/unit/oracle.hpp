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

// Slots as plain arrays: x[view][image][slot][channel].
using Vector = std::vector<double>;
using Slots = std::vector<std::vector<std::vector<Vector>>>;

inline double largest(const Vector& x) {
  double result = 0;
  for (const double value : x) result = std::max(result, std::abs(value));
  return result;
}

// x / largest(x), so that squares neither overflow nor vanish; a vector of zeros as it is.
inline Vector scaled(Vector x) {
  const double scale = largest(x);
  for (double& value : x) value = scale == 0 ? 0 : value / scale;
  return x;
}

inline double length(const Vector& x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return std::sqrt(sum);
}

// x / max(|x|, eps)
inline Vector unit(const Vector& x, double eps) {
  Vector result = scaled(x);
  const double norm =
      std::max(length(result), eps / largest(x));  // where x is zero, so is the result: 0 / inf
  for (double& value : result) value /= norm;
  return result;
}

inline double product(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t c = 0; c < a.size(); ++c) sum += a[c] * b[c];
  return sum;
}

inline double cosine(const Vector& a, const Vector& b, double eps) {
  return product(unit(a, eps), unit(b, eps));
}

// The cosines of one image that are matched, negated: costs.
inline Matrix costs(const Slots& f, std::size_t image, double eps) {
  Matrix result, units;
  for (const Vector& b : f[1][image]) units.push_back(unit(b, eps));
  for (const Vector& a : f[0][image]) {
    const Vector unit_a = unit(a, eps);
    result.emplace_back();
    for (const Vector& unit_b : units) result.back().push_back(-product(unit_a, unit_b));
  }
  return result;
}

// The slot of the other view that slot (view, image, slot) is compared with.
inline std::size_t target_of(const std::vector<Indices>& matching, std::size_t view,
                             std::size_t image, std::size_t slot) {
  const Indices& row = matching[image];
  return view == 0 ? static_cast<std::size_t>(row[slot])
                   : static_cast<std::size_t>(
                         std::find(row.begin(), row.end(), static_cast<std::int64_t>(slot)) -
                         row.begin());
}

// The losses in the order (view, image, slot), for a given matching [B][S].
inline Vector losses(const Slots& f, const Slots& p, const std::vector<Indices>& matching,
                     double eps) {
  const std::size_t images = p[0].size();
  Vector result;
  for (std::size_t view = 0; view < 2; ++view) {
    for (std::size_t image = 0; image < images; ++image) {
      for (std::size_t slot = 0; slot < p[0][image].size(); ++slot) {
        const Vector& target = f[1 - view][image][target_of(matching, view, image, slot)];
        result.push_back((1 - cosine(p[view][image][slot], target, eps)) / 2);
      }
    }
  }
  return result;
}

// The gradient of `incoming` times the loss of one slot of p: -incoming (u - c p/n) / (2n) where n
// = |p| exceeds eps, else -incoming u / (2 eps).
inline Vector gradient(const Vector& p, const Vector& target, double incoming, double eps) {
  Vector result = unit(target, eps);
  const double c = cosine(p, target, eps), scale = largest(p);
  const Vector small = scaled(p);
  const double n = length(small);  // in units of `scale`: n * scale may be no double
  const bool exceeds = n > eps / scale;
  for (std::size_t k = 0; k < p.size(); ++k) {
    if (exceeds) result[k] = -incoming * (result[k] - c * (small[k] / n)) / 2 / n / scale;
    if (!exceeds) result[k] = -incoming * result[k] / 2 / eps;
  }
  return result;
}

// The same in long double, whose range nothing of it leaves.
inline std::vector<long double> wide_gradient(const Vector& p, const Vector& target,
                                              long double incoming, long double eps) {
  const auto product = [](const auto& a, const auto& b) {
    long double sum = 0;
    for (std::size_t k = 0; k < a.size(); ++k) sum += static_cast<long double>(a[k]) * b[k];
    return sum;
  };
  const auto unit = [&](const Vector& x) {
    const long double norm = std::max(std::sqrt(product(x, x)), eps);
    std::vector<long double> result;
    for (const double value : x) result.push_back(value / norm);
    return result;
  };
  const long double n = std::sqrt(product(p, p));
  const std::vector<long double> direction = unit(p), u = unit(target);
  std::vector<long double> result;
  for (std::size_t k = 0; k < p.size(); ++k) {
    result.push_back(n > eps ? -incoming * (u[k] - product(direction, u) * direction[k]) / (2 * n)
                             : -incoming * u[k] / (2 * eps));
  }
  return result;
}

}  // namespace osc::oracle
