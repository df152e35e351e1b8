// The contrastive loss, its gradient and its accuracy, slot by slot in double.
#pragma once

#include <algorithm>
#include <cmath>

#include "oracle.hpp"

namespace osc::oracle {

struct Contrast {
  Vector losses, log_sums;
  std::vector<Vector> gradient;  // of the losses, each times what comes in for it, added up
  double accuracy;
};

// rows: 2BS slots in the order (view, image, slot). matching [B, S] as match_slots gives it; an
// image whose row of it is -1 takes no part. is_candidate(i, j): whether row i is told apart from
// row j, which is another one.
template <typename IsCandidate>
Contrast contrast(const std::vector<Vector>& rows, std::int64_t images, std::int64_t slots,
                  const Indices& matching, const IsCandidate& is_candidate, double temperature,
                  double eps, const Vector& incoming) {
  const std::int64_t n = 2 * images * slots;
  std::vector<Vector> units;
  for (const Vector& row : rows) units.push_back(unit(row, eps));
  Indices match(n, -1);
  for (std::int64_t i = 0; i < images * slots; ++i) {
    if (matching[i] < 0) continue;
    match[i] = images * slots + i / slots * slots + matching[i];
    match[match[i]] = i;
  }
  Contrast result{Vector(n, NAN), Vector(n, NAN), {}, 0};
  std::vector<Vector> of_unit;
  for (const Vector& row : rows) of_unit.emplace_back(row.size(), 0.0);
  double taking_part = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    if (match[i] < 0) continue;
    ++taking_part;
    Indices candidates;
    for (std::int64_t j = 0; j < n; ++j) {
      if (j != i && match[j] >= 0 && is_candidate(i, j)) candidates.push_back(j);
    }
    double greatest = -2, rival = -2, sum = 0;
    for (const std::int64_t j : candidates) {
      greatest = std::max(greatest, product(units[i], units[j]));
      if (j != match[i]) rival = std::max(rival, product(units[i], units[j]));
    }
    for (const std::int64_t j : candidates)
      sum += std::exp((product(units[i], units[j]) - greatest) / temperature);
    const double of_match = product(units[i], units[match[i]]);
    result.log_sums[i] = std::log(sum) + greatest / temperature;
    result.losses[i] = std::log(sum) + (greatest - of_match) / temperature;
    if (of_match > rival) ++result.accuracy;
    for (const std::int64_t j : candidates) {
      const double share = std::exp((product(units[i], units[j]) - greatest) / temperature) / sum -
                           (j == match[i] ? 1 : 0);
      for (std::size_t c = 0; c < rows[i].size(); ++c) {
        of_unit[i][c] += incoming[i] * share * units[j][c] / temperature;
        of_unit[j][c] += incoming[i] * share * units[i][c] / temperature;
      }
    }
  }
  result.accuracy /= taking_part;
  for (std::int64_t i = 0; i < n; ++i) {
    const double scale = largest(rows[i]),
                 norm = length(scaled(rows[i]));  // |row| = scale * norm, which may be no double
    const bool exceeds = norm > eps / scale;
    const double along = exceeds ? product(units[i], of_unit[i]) : 0;
    for (std::size_t c = 0; c < rows[i].size(); ++c) {
      const double slope = match[i] < 0 ? NAN : of_unit[i][c] - along * units[i][c];
      of_unit[i][c] = exceeds ? slope / norm / scale : slope / eps;
    }
  }
  result.gradient = of_unit;
  return result;
}

}  // namespace osc::oracle
