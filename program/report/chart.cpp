#include "report/chart.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "report/numbers.hpp"

namespace osc::program {
namespace {

using nlohmann::json;

// The drawing's size is that of the view box in chart.html.
constexpr double kWidth = 360;
constexpr double kHeight = 200;
constexpr double kLeft = 46;
constexpr double kTop = 10;
constexpr double kBottom = 24;
constexpr double kRight = 12;
constexpr double kRightWithLabels = 58;
constexpr double kHalfTick = 20;  // room to either side of a step's number

constexpr double kLogarithmicFrom = 20;  // a scale is logarithmic if max / min is at least this
constexpr double kSmallestLogarithmic = 1e-300;  // smaller powers of ten are denormal numbers
// Of more points, the extremes of half as many buckets are drawn.
constexpr std::size_t kDrawnPoints = 600;
constexpr std::size_t kDrawnVertices = 300;
constexpr std::size_t kMarkedPoints = 40;  // up to so many, each point gets a visible mark

struct Axis {
  double low = 0;
  double high = 1;
  bool logarithmic = false;
  std::vector<double> ticks;

  // 0 at the low end, 1 at the high end.
  double place(double value) const {
    return logarithmic ? (std::log(value) - std::log(low)) / (std::log(high) - std::log(low))
                       : (value - low) / (high - low);
  }
  double step() const { return ticks.size() > 1 ? ticks[1] - ticks[0] : 1; }
};

// 1, 2 or 5 times a power of ten, so that the span holds about `intervals` of it.
double tidy_step(double span, int intervals) {
  const double power = std::pow(10, std::floor(std::log10(span / intervals)));
  const double rough = span / intervals / power;
  return power * (rough <= 1.5 ? 1 : rough <= 3.5 ? 2 : rough <= 7.5 ? 5 : 10);
}

Axis linear_axis(double low, double high, int intervals, bool tidy_ends) {
  if (high - low <= std::max(1e-12 * std::max(std::abs(low), std::abs(high)),
                             std::numeric_limits<double>::min())) {
    const double around = low == 0 ? 1 : std::abs(low) / 2;
    low -= around;
    high += around;
  }
  const double step = tidy_step(high - low, intervals);
  if (tidy_ends) {
    if (low > 0 && low < 0.4 * high) low = 0;
    low = std::floor(low / step + 1e-9) * step;
    high = std::ceil(high / step - 1e-9) * step;
  }
  Axis axis{low, high, false, {}};
  const double slack = 1e-9 * (high - low);
  for (double k = std::ceil((low - slack) / step); k * step <= high + slack; ++k) {
    axis.ticks.push_back(k * step);
    if (axis.ticks.size() == 20) break;  // steps below the rounding of the values
  }
  return axis;
}

// From the last tick at or below `low` to the first at or above `high`.
Axis logarithmic_axis(double low, double high) {
  constexpr std::size_t kMostTicks = 6;
  Axis axis;
  axis.logarithmic = true;
  for (const std::vector<double>& mantissas : {std::vector<double>{1, 2, 5}, {1, 3}, {1}}) {
    std::vector<double> rungs;
    for (double power = std::floor(std::log10(low)) - 1; power <= std::ceil(std::log10(high)) + 1;
         ++power) {
      for (const double mantissa : mantissas) rungs.push_back(mantissa * std::pow(10, power));
    }
    const auto first = std::prev(std::upper_bound(rungs.begin(), rungs.end(), low * (1 + 1e-9)));
    const auto last = std::lower_bound(rungs.begin(), rungs.end(), high * (1 - 1e-9));
    axis.low = *first;
    axis.high = *last;
    axis.ticks.assign(first, std::next(last));
    if (axis.ticks.size() <= kMostTicks) return axis;
  }
  const std::size_t stride = (axis.ticks.size() + kMostTicks - 1) / kMostTicks;
  std::vector<double> sparse;
  for (std::size_t i = 0; i < axis.ticks.size(); i += stride) sparse.push_back(axis.ticks[i]);
  axis.ticks = sparse;
  return axis;
}

std::string tick_text(double value, double step) {
  const double size = std::abs(value);
  if (size < 1e-12 * step) return "0";
  if (size >= 1e5 || size < 1e-4) return brief(value);
  return fixed(value, std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9))));
}

std::pair<double, double> extent(const Chart& chart, double CurvePoint::* member) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const Curve& curve : chart.curves) {
    for (const CurvePoint& point : curve.points) {
      low = std::min(low, point.*member);
      high = std::max(high, point.*member);
    }
  }
  return {low, high};
}

// All points, or the lowest and the highest of each of many buckets.
std::vector<CurvePoint> thinned(const std::vector<CurvePoint>& points) {
  if (points.size() <= kDrawnPoints) return points;
  std::vector<CurvePoint> kept;
  constexpr std::size_t kBuckets = kDrawnPoints / 2;
  for (std::size_t b = 0; b < kBuckets; ++b) {
    const auto at = [&](std::size_t bucket) {
      return points.begin() + static_cast<std::ptrdiff_t>(bucket * points.size() / kBuckets);
    };
    const auto [low, high] = std::minmax_element(
        at(b), at(b + 1), [](const CurvePoint& a, const CurvePoint& c) { return a.y < c.y; });
    kept.push_back(*low);
    if (high != low) kept.push_back(*high);
  }
  return kept;
}

std::string description(const Chart& chart) {
  std::string text = chart.name;
  for (const Curve& curve : chart.curves) {
    if (curve.points.empty()) continue;
    const auto at = [](const CurvePoint& point) {
      return brief(point.y) + " at step " + grouped(point.x);
    };
    text += (curve.label.empty() ? "" : "; " + curve.label) + ": " + at(curve.points.front()) +
            ", " + at(curve.points.back());
  }
  return text;
}

}  // namespace

std::vector<double> smoothed(const std::vector<CurvePoint>& points, bool logarithmic) {
  const std::size_t count = points.size();
  const std::size_t half = count / 40;
  std::vector<double> sums(count + 1, 0.0);
  for (std::size_t i = 0; i < count; ++i)
    sums[i + 1] = sums[i] + (logarithmic ? std::log(points[i].y) : points[i].y);
  std::vector<double> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    // The window is symmetric at the start, where a loss falls steeply, and cut off at the end,
    // where it is flat and noisy.
    const std::size_t reach = std::min(half, i);
    const std::size_t from = i - reach;
    const std::size_t to = std::min(count, i + reach + 1);
    const double mean = (sums[to] - sums[from]) / static_cast<double>(to - from);
    out[i] = logarithmic ? std::exp(mean) : mean;
  }
  return out;
}

std::vector<double> spread(const std::vector<double>& wanted, double spacing, double low,
                           double high) {
  const std::size_t count = wanted.size();
  if (count > 1) spacing = std::min(spacing, (high - low) / static_cast<double>(count - 1));
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return wanted[a] < wanted[b]; });
  std::vector<double> placed(count);
  for (std::size_t i = 0; i < count; ++i)
    placed[order[i]] = std::max(wanted[order[i]], i == 0 ? low : placed[order[i - 1]] + spacing);
  for (std::size_t i = count; i-- > 0;)
    placed[order[i]] =
        std::min(placed[order[i]], i + 1 == count ? high : placed[order[i + 1]] - spacing);
  return placed;
}

json chart_view(const Chart& chart) {
  const auto [first_step, last_step] = extent(chart, &CurvePoint::x);
  const auto [lowest, highest] = extent(chart, &CurvePoint::y);
  if (first_step > last_step) return nullptr;
  const bool labelled = chart.curves.size() > 1;
  const bool logarithmic =
      !chart.range && lowest > kSmallestLogarithmic && highest >= kLogarithmicFrom * lowest;

  const bool from_zero = first_step > 0 && first_step < 0.1 * last_step;
  const Axis x_axis = linear_axis(from_zero ? 0 : first_step, last_step, 4, false);
  const Axis y_axis = logarithmic   ? logarithmic_axis(lowest, highest)
                      : chart.range ? linear_axis(std::min(chart.range->first, lowest),
                                                  std::max(chart.range->second, highest), 5, true)
                                    : linear_axis(lowest, highest, 4, true);
  const double plot_width = kWidth - kLeft - (labelled ? kRightWithLabels : kRight);
  const double plot_height = kHeight - kTop - kBottom;
  const auto to_x = [&](double step) { return kLeft + plot_width * x_axis.place(step); };
  const auto to_y = [&](double value) { return kTop + plot_height * (1 - y_axis.place(value)); };
  const auto at = [&](double step, double value) {
    return coordinate(to_x(step)) + " " + coordinate(to_y(value));
  };

  std::string grid;
  json ticks = json::array();
  for (const double tick : y_axis.ticks) {
    grid += "M" + coordinate(kLeft) + " " + coordinate(to_y(tick)) + "h" + coordinate(plot_width);
    ticks.push_back({{"x", kLeft - 6},
                     {"y", to_y(tick) + 3.5},
                     {"anchor", "end"},
                     {"text", tick_text(tick, logarithmic ? tick : y_axis.step())}});
  }
  for (const double tick : x_axis.ticks) {
    // Steps are whole: a tick between two of them would only confuse.
    if (x_axis.step() < 1 && tick != std::round(tick)) continue;
    const bool at_edge = to_x(tick) + kHalfTick > kWidth;
    ticks.push_back({{"x", at_edge ? kWidth : to_x(tick)},
                     {"y", kHeight - kBottom + 15},
                     {"anchor", at_edge ? "end" : "middle"},
                     {"text", grouped(tick)}});
  }

  std::vector<double> label_places;
  for (const Curve& curve : chart.curves) {
    if (!curve.points.empty()) label_places.push_back(to_y(curve.points.back().y) + 3.5);
  }
  label_places = spread(label_places, 13, kTop + 6, kHeight - kBottom);

  json view = {{"description", description(chart)}, {"grid", grid},    {"ticks", ticks},
               {"logarithmic", logarithmic},        {"last", nullptr}, {"curves", json::array()}};
  for (std::size_t c = 0; c < chart.curves.size(); ++c) {
    const std::vector<CurvePoint>& points = chart.curves[c].points;
    if (points.empty()) continue;
    const std::size_t count = points.size();
    std::vector<double> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = points[i].y;
    if (chart.smooth) values = smoothed(points, logarithmic);
    json curve = {{"style", "curve-" + std::to_string(c)},
                  {"mark", count <= kMarkedPoints ? "marks" : "dots"},
                  {"points", nullptr},
                  {"label", nullptr}};
    if (chart.smooth || count <= kMarkedPoints) {
      std::string dots;
      for (const CurvePoint& point : thinned(points)) dots += "M" + at(point.x, point.y) + "h0";
      curve["points"] = dots;
    }
    std::string line;
    const std::size_t vertices = std::min(count, kDrawnVertices);
    for (std::size_t v = 0; v < vertices; ++v) {
      const std::size_t i = v == 0 ? 0 : v * (count - 1) / (vertices - 1);
      line += (v == 0 ? "M" : "L") + at(points[i].x, values[i]);
    }
    curve["line"] = line;
    if (labelled) {
      curve["label"] = {{"x", kLeft + plot_width + 7},
                        {"y", label_places[view["curves"].size()]},
                        {"text", chart.curves[c].label}};
    } else {
      view["last"] = brief(values.back());
    }
    view["curves"].push_back(curve);
  }
  return view;
}

}  // namespace osc::program
