// What is said of each operator: how it is called in C++, and what it must give, from its
// definition: plain loops in long double, whose range no norm, product or exponential of doubles
// leaves.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "call.hpp"
#include "cpp_door.hpp"
#include "oracle.hpp"
#include "osc/assignment.hpp"
#include "osc/contrastive_loss.hpp"
#include "osc/similarity_loss.hpp"
#include "osc/small_to_large_loss.hpp"
#include "osc/variance_covariance_loss.hpp"

namespace osc {

using Real = long double;
using Row = std::vector<Real>;

// A number, and what the arithmetic of a type may be off.
struct Bound {
  Real value, slack;
};
using Expected = std::map<std::string, std::vector<Bound>>;  // by the name of an array

// Half a unit in the last place: arithmetic() of the type computed in, rounding() of the type
// itself.
inline Real arithmetic(std::int32_t dtype) { return dtype == OSC_FLOAT64 ? 0x1p-53L : 0x1p-24L; }
inline Real rounding(std::int32_t dtype) {
  return dtype == OSC_FLOAT16 ? 0x1p-11L : dtype == OSC_BFLOAT16 ? 0x1p-8L : arithmetic(dtype);
}
inline Real smallest(std::int32_t dtype) {
  return dtype == OSC_FLOAT64   ? 0x1p-1074L
         : dtype == OSC_FLOAT16 ? 0x1p-24L
         : dtype == OSC_FLOAT32 ? 0x1p-149L
                                : 0x1p-133L;
}
inline Real greatest(std::int32_t dtype) {
  return dtype == OSC_FLOAT64   ? std::numeric_limits<double>::max()
         : dtype == OSC_FLOAT16 ? 65504
                                : std::numeric_limits<float>::max();
}

// Whether a result is within its bound. Where the bound reaches the greatest number of the type,
// the result may be infinite.
inline bool is_near(std::int32_t dtype, double given, const Bound& wanted) {
  if (std::isnan(given) || std::isnan(wanted.value))
    return std::isnan(given) == std::isnan(wanted.value);
  if (std::abs(wanted.value) + wanted.slack >= 0.98L * greatest(dtype)) return true;
  return std::abs(given - wanted.value) <=
         wanted.slack + 2 * rounding(dtype) * std::abs(wanted.value) + smallest(dtype);
}

inline std::vector<Row> rows_of(const Array& array) {
  const std::int64_t length = array.sizes.back();
  std::vector<Row> rows(
      static_cast<std::size_t>(product(array.sizes) / std::max<std::int64_t>(length, 1)));
  if (length == 0)
    rows.resize(static_cast<std::size_t>(product({array.sizes.begin(), array.sizes.end() - 1})));
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i].assign(array.values.begin() + static_cast<std::int64_t>(i) * length,
                   array.values.begin() + static_cast<std::int64_t>(i + 1) * length);
  return rows;
}

inline Real dot(const Row& a, const Row& b) {
  Real sum = 0;
  for (std::size_t c = 0; c < a.size(); ++c) sum += a[c] * b[c];
  return sum;
}
inline Row times(Real factor, Row a) {
  for (Real& x : a) x *= factor;
  return a;
}
inline Row plus(Row a, const Row& b) {
  for (std::size_t c = 0; c < a.size(); ++c) a[c] += b[c];
  return a;
}
inline Real floored_norm(const Row& x, Real eps) { return std::max(std::sqrt(dot(x, x)), eps); }
inline Row unit(const Row& x, Real eps) {
  const Real norm = floored_norm(x, eps);
  Row result;
  for (const Real value : x) result.push_back(value / norm);
  return result;
}
inline bool is_finite(const Row& x) {
  return std::all_of(x.begin(), x.end(), [](Real value) { return std::isfinite(value); });
}

// The gradient of x, given that of its unit: the unit is x / max(|x|, eps).
inline Row through_unit(const Row& x, const Row& of_unit, Real eps) {
  const Real norm = std::sqrt(dot(x, x));
  if (!(norm > eps)) return times(1 / eps, of_unit);
  const Row u = unit(x, eps);
  return times(1 / norm, plus(of_unit, times(-dot(u, of_unit), u)));
}

inline Real nan() { return std::numeric_limits<Real>::quiet_NaN(); }

// grad_output of the loss at index i, with `losses` losses per rank.
inline Real grad_of_loss(const Call& call, std::size_t i, std::size_t losses,
                         std::size_t rank = 0) {
  const Array& grad_output = call["grad_output"];
  const int reduction = call.code("reduction");
  const Real given = !grad_output.is_given
                         ? 1
                         : grad_output.values[reduction == OSC_NONE ? rank * losses + i : rank];
  return reduction == OSC_MEAN ? given / static_cast<Real>(losses) : given;
}

inline std::vector<Bound> reduced(const Call& call, const std::vector<Bound>& losses,
                                  std::size_t count) {
  const int reduction = call.code("reduction");
  if (reduction == OSC_NONE) return losses;
  Bound sum{0, 0};
  for (const Bound& loss : losses) sum.value += loss.value, sum.slack += loss.slack;
  sum.slack += static_cast<Real>(losses.size()) * 0x1p-53L * sum.value;  // losses are not negative
  if (reduction == OSC_MEAN)
    sum.value /= static_cast<Real>(count), sum.slack /= static_cast<Real>(count);
  return {sum};
}

// Slots [2B, S, C] as rows in the order (view, image, slot), with what a matching makes of them.
struct Matched {
  std::vector<Row> units;
  std::vector<bool> is_masked;        // of each image: not finite, or without a matching
  std::vector<std::int64_t> partner;  // of each row, by the call's own matching
  std::string problem;                // what is wrong with that; "" for nothing

  // Cosines may have an error of `slack` each. The slots of `finite_with` must be finite as well.
  Matched(const Call& call, const std::vector<Row>& rows, const std::vector<Row>& finite_with,
          Real slack)
      : is_masked(static_cast<std::size_t>(call.size("B")), false), partner(rows.size(), -1) {
    const auto images = static_cast<std::size_t>(call.size("B")),
               slots = static_cast<std::size_t>(call.size("S"));
    for (const Row& row : rows) units.push_back(unit(row, call.option("eps")));
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (!is_finite(rows[i]) || !is_finite(finite_with[i])) is_masked[i / slots % images] = true;
    }
    const bool is_given = call.has("given_matching") && call["given_matching"].is_given;
    const std::vector<double>& matching =
        is_given ? call["given_matching"].values : call["matching"].values;
    for (std::size_t image = 0; image < images && slots > 0; ++image) {
      if (is_given && matching[image * slots] < 0) is_masked[image] = true;
      oracle::Indices row;
      for (std::size_t s = 0; s < slots; ++s) {
        const double match = call["matching"].is_given ? call["matching"].values[image * slots + s]
                                                       : matching[image * slots + s];
        const double wanted = is_masked[image] ? -1
                              : is_given       ? matching[image * slots + s]
                                               : match;
        if (match != wanted) problem = "the matching of image " + std::to_string(image);
        if (!is_masked[image]) row.push_back(static_cast<std::int64_t>(match));
      }
      if (is_masked[image] || !problem.empty()) continue;
      oracle::Indices sorted = row;
      std::sort(sorted.begin(), sorted.end());
      for (std::size_t s = 0; s < slots; ++s) {
        if (sorted[s] != static_cast<std::int64_t>(s)) problem = "no permutation";
      }
      if (!problem.empty()) return;
      oracle::Matrix costs(slots, std::vector<double>(slots));
      for (std::size_t s = 0; s < slots; ++s) {
        for (std::size_t t = 0; t < slots; ++t)
          costs[s][t] = static_cast<double>(
              -dot(units[image * slots + s], units[(images + image) * slots + t]));
        partner[image * slots + s] = static_cast<std::int64_t>((images + image) * slots) + row[s];
        partner[static_cast<std::size_t>(partner[image * slots + s])] =
            static_cast<std::int64_t>(image * slots + s);
      }
      if (!is_given && !oracle::is_optimal(costs, row, static_cast<double>(2 * slack)))
        problem = "the matching of image " + std::to_string(image) + " is not optimal";
    }
  }
};

// The rounding error of a cosine of two units of this length.
inline Real cosine_slack(const Call& call, const std::string& length) {
  return (16 + static_cast<Real>(call.size(length)) / 4) * arithmetic(call.dtype());
}

inline std::vector<Bound> statuses_of(const std::vector<bool>& is_masked) {
  std::vector<Bound> result;
  for (const bool masked : is_masked) result.push_back({masked ? 1.0L : 0.0L, 0});
  return result;
}

inline Expected expect_similarity(const Call& call, std::string& problem) {
  const auto f = rows_of(call["f"]), p = rows_of(call["p"]);
  const Real eps = call.option("eps"), slack = cosine_slack(call, "C");
  const Matched matched(call, f, p, slack);
  problem = matched.problem;
  Expected expected;
  if (!problem.empty()) return expected;
  const auto slots = static_cast<std::size_t>(call.size("S")),
             images = static_cast<std::size_t>(call.size("B"));
  std::vector<Bound> losses;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (matched.is_masked[i / slots % images]) {
      losses.push_back({nan(), 0});
      expected["grad_p"].insert(expected["grad_p"].end(), p[i].size(), {nan(), 0});
      continue;
    }
    const Row& target = matched.units[static_cast<std::size_t>(matched.partner[i])];
    losses.push_back({(1 - dot(unit(p[i], eps), target)) / 2, slack});
    const Real g = grad_of_loss(call, i, p.size());
    for (const Real x : through_unit(p[i], times(-g / 2, target), eps))
      expected["grad_p"].push_back({x, 2 * slack * std::abs(g) / floored_norm(p[i], eps)});
  }
  expected["loss"] = reduced(call, losses, losses.size());
  expected["statuses"] = statuses_of(matched.is_masked);
  return expected;
}

inline Expected expect_match_slots(const Call& call, std::string& problem) {
  const auto rows = rows_of(call["slots"]);
  const Matched matched(call, rows, rows, cosine_slack(call, "C"));
  problem = matched.problem;
  return {{"statuses", statuses_of(matched.is_masked)}};
}

// The contrastive loss. The slots of other ranks are only candidates.
inline Expected expect_contrastive(const Call& call, std::string& problem) {
  const bool is_gathered = call.has("given_log_sum_exp") && call["slots"].sizes.size() == 4;
  const auto images = static_cast<std::size_t>(call.size("B")),
             slots = static_cast<std::size_t>(call.size("S")), losses = 2 * images * slots;
  const auto rank = is_gathered ? static_cast<std::size_t>(call.option("rank")) : 0;
  const bool by_image = !is_gathered && call.code("candidates") == OSC_CANDIDATES_IMAGE;
  const Real eps = call.option("eps"), temperature = call.option("temperature"),
             slack = cosine_slack(call, "C");
  const auto all = rows_of(call["slots"]);
  const std::vector<Row> own(all.begin() + static_cast<std::ptrdiff_t>(rank * losses),
                             all.begin() + static_cast<std::ptrdiff_t>((rank + 1) * losses));
  const Matched matched(call, own, own, slack);
  problem = matched.problem;
  Expected expected;
  if (!problem.empty()) return expected;
  // Every row of every rank: its unit, and whether it is a candidate at all.
  std::vector<Row> units;
  std::vector<bool> is_masked(all.size(), false);
  for (std::size_t r = 0; r < all.size(); ++r) {
    units.push_back(unit(all[r], eps));
    for (std::size_t s = 0; s < slots; ++s) {
      for (const std::size_t view : {0, 1}) {
        const std::size_t first =
            r / losses * losses + (view * images + r / slots % images) * slots;
        if (!is_finite(all[first + s])) is_masked[r] = true;
      }
    }
    if (r / losses == rank && matched.is_masked[r / slots % images]) is_masked[r] = true;
  }
  const Real of_logit = 4 * slack / temperature + 64 * arithmetic(call.dtype());
  std::vector<Bound> each;
  std::vector<Row> of_unit(losses, Row(static_cast<std::size_t>(call.size("C")), 0));
  Real computed = 0, accurate = 0, doubtful = 0, largest = 0;
  for (std::size_t row = 0; row < all.size(); ++row) {
    const bool is_own = row / losses == rank;
    const std::size_t i = row % losses;
    if (is_masked[row]) {
      if (is_own) each.push_back({nan(), 0}), expected["log_sum_exp"].push_back({nan(), 0});
      continue;
    }
    if (!is_own && !call["grad_slots"].is_given) continue;
    // A slot of another rank is matched to no slot of this one.
    const std::size_t match =
        is_own ? rank * losses + static_cast<std::size_t>(matched.partner[i]) : all.size();
    std::vector<std::size_t> candidates;
    for (std::size_t r = 0; r < all.size(); ++r) {
      if (r != row && !is_masked[r] && (!by_image || r / slots % images == i / slots % images))
        candidates.push_back(r);
    }
    std::vector<Real> cosines(all.size());
    Real greatest = -2, hardest = -2, sum = 0;
    for (const std::size_t r : candidates) {
      cosines[r] = dot(units[row], units[r]);
      greatest = std::max(greatest, cosines[r]);
      if (r != match) hardest = std::max(hardest, cosines[r]);
    }
    // The match apart, so that a small loss has all of its digits.
    for (const std::size_t r : candidates)
      sum += r == match ? 0 : std::exp((cosines[r] - greatest) / temperature);
    const Real of_match = is_own ? std::exp((cosines[match] - greatest) / temperature) : 0;
    if (is_own) {
      const Real positive = cosines[match];
      const Real loss = of_match > 0 && std::isfinite(sum / of_match)
                            ? std::log1p(sum / of_match)
                            : std::log(sum + of_match) + (greatest - positive) / temperature;
      // A small loss is as exact as a large one, if logits are.
      each.push_back({loss, of_logit * (of_logit < 1 ? std::min<Real>(1, 2 * loss + 1e-30L) : 1)});
      expected["log_sum_exp"].push_back({loss + positive / temperature, of_logit});
      ++computed;
      accurate += positive > hardest;
      doubtful += std::abs(positive - hardest) <= 4 * slack;
    }
    const Real g = grad_of_loss(call, i, losses, row / losses);
    largest = std::max(largest, std::abs(g));
    for (const std::size_t r : candidates) {
      const Real share = r == match
                             ? -sum / (sum + of_match)
                             : std::exp((cosines[r] - greatest) / temperature) / (sum + of_match);
      if (is_own) of_unit[i] = plus(of_unit[i], times(g * share / temperature, units[r]));
      if (r / losses == rank)
        of_unit[r % losses] = plus(of_unit[r % losses], times(g * share / temperature, units[row]));
    }
  }
  // The error of the gradient of a unit; unbounded in practice if the softmax shares are unknown.
  const Real of_share = 4 * of_logit < 1 ? 64 * of_logit : 16 + static_cast<Real>(2 * losses);
  for (std::size_t i = 0; i < losses; ++i) {
    const bool masked = matched.is_masked[i / slots % images];
    for (const Real x : through_unit(own[i], of_unit[i], eps))
      expected["grad_slots"].push_back(
          {masked ? nan() : x, of_share * largest / temperature / floored_norm(own[i], eps)});
  }
  expected["loss"] = reduced(call, each, losses);
  expected["accuracy"] = {
      {accurate / computed, 1.000001L * doubtful / std::max<Real>(computed, 1)}};
  expected["statuses"] = statuses_of(matched.is_masked);
  return expected;
}

inline Expected expect_small_to_large(const Call& call, std::string& problem) {
  const auto f = rows_of(call["f_large"]), p = rows_of(call["p_small"]);
  const auto images = static_cast<std::size_t>(call.size("B")),
             large_crops = static_cast<std::size_t>(call.size("Al")),
             large_slots = static_cast<std::size_t>(call.size("L")),
             small_crops = static_cast<std::size_t>(call.size("As")),
             slots = static_cast<std::size_t>(call.size("S"));
  const Real eps = call.option("eps"), slack = cosine_slack(call, "C");
  const bool is_given = call["given_matching"].is_given;
  Expected expected;
  std::vector<bool> is_masked(images, false);
  for (std::size_t i = 0; i < f.size(); ++i)
    is_masked[i / (large_crops * large_slots)] =
        is_masked[i / (large_crops * large_slots)] || !is_finite(f[i]);
  for (std::size_t i = 0; i < p.size(); ++i)
    is_masked[i / (small_crops * slots)] = is_masked[i / (small_crops * slots)] || !is_finite(p[i]);
  std::vector<Bound> losses, counted_losses;
  std::vector<std::size_t> counts;
  bool any_masked = false;
  Real counted = 0;
  const std::vector<double>& matching = call["matching"].values;
  for (std::size_t image = 0; image < images; ++image) {
    for (std::size_t a = 0; a < large_crops; ++a) {
      for (std::size_t b = 0; b < small_crops; ++b) {
        const std::size_t pair = (image * large_crops + a) * small_crops + b;
        std::vector<Row> large, small;
        for (std::size_t l = 0; l < large_slots; ++l)
          large.push_back(unit(f[(image * large_crops + a) * large_slots + l], eps));
        for (std::size_t s = 0; s < slots; ++s)
          small.push_back(unit(p[(image * small_crops + b) * slots + s], eps));
        // By how much a slot's cosine with another is the greatest; negative where it is not.
        const auto lead = [&](const Row& x, const std::vector<Row>& others, std::size_t one) {
          Real best = -2;
          for (std::size_t i = 0; i < others.size(); ++i) {
            if (i != one) best = std::max(best, dot(x, others[i]));
          }
          return dot(x, others[one]) - best;
        };
        Real sum = 0;
        std::size_t count = 0;
        for (std::size_t s = 0; s < slots; ++s) {
          const double match = matching[pair * slots + s];
          if (is_masked[image]
                  ? match != -1
                  : is_given && match != call["given_matching"].values[pair * slots + s])
            problem = "the matching of pair " + std::to_string(pair);
          for (std::size_t l = 0; l < large_slots && !is_masked[image] && !is_given; ++l) {
            const Real least_lead = std::min(lead(small[s], large, l), lead(large[l], small, s));
            const bool is_match = match == static_cast<double>(l);
            if (is_match ? least_lead < -4 * slack : least_lead > 4 * slack)
              problem = "slot " + std::to_string(s) + " of pair " + std::to_string(pair);
          }
          if (match < 0 || is_masked[image]) continue;
          sum += (1 - dot(small[s], large[static_cast<std::size_t>(match)])) / 2;
          ++count;
        }
        counts.push_back(count);
        counted += static_cast<Real>(count);
        losses.push_back(
            {is_masked[image] || count == 0 ? nan() : sum / static_cast<Real>(count), slack});
        if (count > 0) counted_losses.push_back(losses.back());
        any_masked |= is_masked[image];
      }
    }
  }
  if (!problem.empty()) return expected;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const std::size_t image = i / (small_crops * slots), b = i / slots % small_crops, s = i % slots;
    Row of_unit(p[i].size(), 0);
    Real largest = 0;
    bool counts_anywhere = false;
    for (std::size_t a = 0; a < large_crops; ++a) {
      const std::size_t pair = (image * large_crops + a) * small_crops + b;
      const double match = matching[pair * slots + s];
      if (match < 0) continue;
      counts_anywhere = true;
      const Real g = grad_of_loss(call, pair, std::max<std::size_t>(counted_losses.size(), 1)) /
                     static_cast<Real>(counts[pair]);
      largest += std::abs(g);
      of_unit = plus(
          of_unit,
          times(-g / 2,
                unit(f[(image * large_crops + a) * large_slots + static_cast<std::size_t>(match)],
                     eps)));
    }
    for (const Real x : through_unit(p[i], of_unit, eps))
      expected["grad_p_small"].push_back(
          {is_masked[image]  ? nan()
           : counts_anywhere ? x
                             : 0,
           counts_anywhere ? (4 * slack * largest + smallest(OSC_FLOAT64)) / floored_norm(p[i], eps)
                           : 0});
  }
  expected["loss"] = call.code("reduction") == OSC_NONE
                         ? losses
                         : reduced(call, counted_losses, counted_losses.size());
  if (call.code("reduction") != OSC_NONE && any_masked) expected["loss"] = {{nan(), 0}};
  expected["counted_ratio"] = {
      {counted / static_cast<Real>(images * large_crops * small_crops * slots), 0}};
  expected["statuses"] = statuses_of(is_masked);
  return expected;
}

inline Expected expect_variance_covariance(const Call& call, std::string&) {
  const auto x = rows_of(call["x"]);
  const auto groups = static_cast<std::size_t>(call.size("G")),
             samples = static_cast<std::size_t>(call.size("N")),
             features = static_cast<std::size_t>(call.size("D"));
  const auto grad = [&](const std::string& name) -> Real {
    return call[name].is_given ? call[name].values[0] : 1;
  };
  const auto d_real = static_cast<Real>(features), pairs = d_real * (d_real - 1);
  Expected expected;
  Real variance = 0, covariance = 0, largest_k = 0, largest_y = 0;
  std::vector<Bound>& gradient = expected["grad_x"];
  for (std::size_t g = 0; g < groups; ++g) {
    Row mean(features, 0);
    std::vector<Row> y;
    for (std::size_t n = 0; n < samples; ++n)
      mean = plus(mean, times(1 / static_cast<Real>(samples), x[g * samples + n]));
    for (std::size_t n = 0; n < samples; ++n)
      y.push_back(plus(x[g * samples + n], times(-1, mean)));
    for (const Row& row : y) {
      for (const Real value : row) largest_y = std::max(largest_y, std::abs(value));
    }
    std::vector<Row> by_k(features, Row(features, 0));
    for (std::size_t d = 0; d < features; ++d) {
      for (std::size_t e = 0; e < features; ++e) {
        Real k = 0;
        for (std::size_t n = 0; n < samples; ++n)
          k += y[n][d] * y[n][e] / (static_cast<Real>(samples) - 1);
        if (samples == 1) k = nan();
        if (d == e) {
          const Real deviation = std::sqrt(k + 1e-4L);
          variance += deviation >= 1 ? 0 : (1 - deviation) / d_real;
          by_k[d][e] = deviation >= 1 ? 0 : -grad("grad_variance") / (2 * d_real * deviation);
        } else {
          covariance += k * k / pairs;
          by_k[d][e] = 2 * grad("grad_covariance") * k / pairs;
        }
        largest_k = std::max(largest_k, std::abs(k));
      }
    }
    for (std::size_t n = 0; n < samples; ++n) {
      for (std::size_t d = 0; d < features; ++d) {
        Real sum = samples == 1 ? nan() : 0;
        for (std::size_t e = 0; e < features; ++e)
          sum += 2 * by_k[e][d] * y[n][e] / (static_cast<Real>(samples) - 1);
        gradient.push_back({sum / static_cast<Real>(groups), 0});
      }
    }
  }
  const Real slack = 64 * arithmetic(call.dtype());
  Real largest = 0;
  for (const Bound& bound : gradient) {
    if (std::isfinite(bound.value)) largest = std::max(largest, std::abs(bound.value));
  }
  // The error of every covariance is bounded by that of the largest one.
  const Real of_k =
      features < 2
          ? 0
          : 4 * std::abs(grad("grad_covariance")) * largest_k * largest_y /
                ((d_real - 1) * (static_cast<Real>(samples) - 1) * static_cast<Real>(groups));
  for (Bound& bound : gradient) bound.slack = 2 * slack * (largest + of_k);
  const auto g = static_cast<Real>(groups);
  expected["variance"] = {
      {x.empty() || features == 0 ? nan() : variance / g, slack * (1 + largest_k)}};
  expected["covariance"] = {{x.empty() || features < 2 ? nan() : covariance / g,
                             slack * (covariance / g + largest_k * largest_k / 1024)}};
  return expected;
}

inline Expected expect_assignment(const Call& call, std::string& problem) {
  const auto problems = static_cast<std::size_t>(call.size("N")),
             rows = static_cast<std::size_t>(call.size("R")),
             columns = static_cast<std::size_t>(call.size("K"));
  const double sign = call.option("maximize") != 0 ? -1 : 1;
  Expected expected;
  for (std::size_t n = 0; n < problems; ++n) {
    oracle::Matrix cost(rows, std::vector<double>(columns));
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t k = 0; k < columns; ++k)
        cost[r][k] = sign * call["cost"].values[(n * rows + r) * columns + k];
    }
    const auto part = [&](const char* name, std::size_t size) {
      const auto* const first = call[name].values.data() + n * size;
      return oracle::Indices(first, first + size);
    };
    // Sums of huge costs overflow in the oracle. Such costs are scaled down, and any optimum is
    // accepted.
    double largest = 0;
    for (const auto& row : cost) {
      for (const double x : row)
        largest = std::isfinite(x) ? std::max(largest, std::abs(x)) : largest;
    }
    const bool is_huge = largest >= 0x1p900;
    for (auto& row : cost) {
      for (double& x : row) x *= is_huge ? 0x1p-100 : 1;
    }
    oracle::Assignment wanted = oracle::assignment(cost, columns);
    if (is_huge && wanted.status == 0 && call["col4row"].is_given && call["row4col"].is_given) {
      const oracle::Indices shorter =
          rows <= columns ? part("col4row", rows) : part("row4col", columns);
      if (!oracle::is_optimal(rows <= columns ? cost : oracle::transposed(cost), shorter,
                              1e-14 * static_cast<double>(rows + columns) * largest * 0x1p-100))
        problem = "problem " + std::to_string(n) + " is not optimal";
      wanted = oracle::of_matches(shorter, rows, columns);
    }
    if ((call["col4row"].is_given && part("col4row", rows) != wanted.col4row) ||
        (call["row4col"].is_given && part("row4col", columns) != wanted.row4col))
      problem = "the matches of problem " + std::to_string(n);
    expected["statuses"].push_back({static_cast<Real>(wanted.status), 0});
  }
  return expected;
}

inline Expected expect(const Call& call, std::string& problem) {
  const std::string name = call.row().name;
  if (name == "matching_similarity_loss_per_img") return expect_similarity(call, problem);
  if (name == "matching_contrastive_loss" || name == "matching_contrastive_loss_gathered")
    return expect_contrastive(call, problem);
  if (name == "matching_similarity_loss_small_to_large")
    return expect_small_to_large(call, problem);
  if (name == "variance_covariance_loss") return expect_variance_covariance(call, problem);
  if (name == "match_slots") return expect_match_slots(call, problem);
  if (name == "linear_sum_assignment") return expect_assignment(call, problem);
  throw std::logic_error("no oracle for " + name);
}

// Through the function in C++ of each operator.
template <typename T>
Status call_through_cpp(CppDoor<T>& door, const Call& call) {
  const std::string name = call.row().name;
  if (name == "matching_similarity_loss_per_img") {
    return try_matching_similarity_loss_per_img(
        door.slots("f"), door.slots("p"), door.template options<SimilarityLossOptions>(),
        {door.template data<T>("loss"), door.template data<std::int64_t>("matching"),
         door.template data<ImageStatus>("statuses"),
         door.template data<std::int32_t>("gradient_scales"), door.template data<T>("grad_output"),
         door.slots_gradient("grad_p")});
  }
  if (name == "matching_contrastive_loss") {
    auto options = door.template options<ContrastiveLossOptions>();
    options.candidates = static_cast<Candidates>(call.code("candidates"));
    return try_matching_contrastive_loss(door.slots("slots"), options, door.contrastive_results());
  }
  if (name == "matching_contrastive_loss_gathered") {
    const auto& sizes = call["slots"].sizes;
    return try_matching_contrastive_loss_gathered(
        contiguous(static_cast<const T*>(door.template data<T>("slots")),
                   {sizes[0], 2, sizes[1] / 2, sizes[2], sizes[3]}),
        static_cast<std::int64_t>(call.option("rank")),
        door.template options<ContrastiveLossOptions>(), door.contrastive_results());
  }
  if (name == "matching_similarity_loss_small_to_large") {
    return try_matching_similarity_loss_small_to_large(
        door.template view<const T, 4>("f_large"), door.template view<const T, 4>("p_small"),
        door.template options<SmallToLargeLossOptions>(),
        {door.template data<T>("loss"), door.template data<std::int64_t>("matching"),
         door.template data<float>("counted_ratio"), door.template data<ImageStatus>("statuses"),
         door.template data<T>("grad_output"), door.template view<T, 4>("grad_p_small")});
  }
  if (name == "variance_covariance_loss") {
    return try_variance_covariance_loss(
        door.template view<const T, 3>("x"), door.template options<VarianceCovarianceOptions>(),
        {door.template data<T>("variance"), door.template data<T>("covariance"),
         door.template data<T>("grad_variance"), door.template data<T>("grad_covariance"),
         door.template view<T, 3>("grad_x")});
  }
  if (name == "match_slots") {
    return try_match_slots(
        door.slots("slots"),
        {door.template data<std::int64_t>("matching"), door.template data<ImageStatus>("statuses")},
        door.template options<MatchSlotsOptions>());
  }
  auto options = door.template options<AssignmentOptions>();
  options.maximize = call.code("maximize") != 0;
  options.on_unsolvable = static_cast<OnUnsolvable>(call.code("on_unsolvable"));
  return try_linear_sum_assignment(
      door.template view<const T, 3>("cost"),
      {door.template data<std::int64_t>("col4row"), door.template data<std::int64_t>("row4col"),
       door.template data<AssignmentStatus>("statuses")},
      options);
}

// What of a call's results is not as it must be; "" for nothing.
inline std::string wrong_of(const Call& call) {
  std::string problem;
  const Expected expected = expect(call, problem);
  for (const auto& [name, bounds] : expected) {
    const Array& array = call[name];
    if (!array.is_given || !problem.empty()) continue;
    if (bounds.size() != array.values.size()) return name + " has an expectation of another size";
    for (std::size_t i = 0; i < bounds.size(); ++i) {
      if (is_near(array.dtype, array.values[i], bounds[i])) continue;
      char text[160];
      std::snprintf(text, sizeof(text), "%s[%zu] is %.17g; wanted %.17Lg up to %.3Lg", name.c_str(),
                    i, array.values[i], bounds[i].value, bounds[i].slack);
      return text;
    }
  }
  return problem;
}

}  // namespace osc
