#include "report/svg_curves.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "report/html.hpp"
#include "report/numbers.hpp"

namespace osc::program {
namespace {

constexpr double kWidth = 360;
constexpr double kHeight = 200;
constexpr double kLeft = 46;
constexpr double kTop = 10;
constexpr double kBottom = 24;
constexpr double kRight = 12;
constexpr double kRightWithLabels = 58;
constexpr double kHalfLabel = 20;  // room to either side of a step's number

constexpr double kLogarithmicFrom = 20;  // times the smallest value
constexpr double kSmallestLogarithmic =
    1e-300;  // next to it, powers of ten cease to be normal numbers
constexpr std::size_t kDrawnPoints =
    600;  // more are thinned to the extremes of as many buckets as half of this
constexpr std::size_t kDrawnVertices = 300;
constexpr std::size_t kMarkedPoints =
    40;  // up to so many, each point of a line gets a visible mark

struct Axis {
  double low = 0;
  double high = 1;
  bool logarithmic = false;
  std::vector<double> ticks;
  double place(double value) const {
    return logarithmic ? std::log(value / low) / std::log(high / low)
                       : (value - low) / (high - low);
  }
};

// 1, 2 or 5 times a power of ten, so that the span holds at most `intervals` of it or little more.
double tidy_step(double span, int intervals) {
  const double power = std::pow(10, std::floor(std::log10(span / intervals)));
  const double rough = span / intervals / power;
  return power * (rough <= 1.5 ? 1 : rough <= 3.5 ? 2 : rough <= 7.5 ? 5 : 10);
}

std::vector<double> ticks_within(double low, double high, double step) {
  std::vector<double> ticks;
  const double slack = 1e-9 * (high - low);
  for (double k = std::ceil((low - slack) / step); k * step <= high + slack && ticks.size() < 20;
       ++k)
    ticks.push_back(k * step);
  return ticks;
}

Axis linear_axis(double low, double high, int intervals, bool tidy_ends) {
  if (high - low <= 1e-12 * std::max(std::abs(low), std::abs(high)) ||
      high - low <= std::numeric_limits<double>::min()) {
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
  return {low, high, false, ticks_within(low, high, step)};
}

Axis logarithmic_axis(double low, double high) {
  constexpr std::size_t kMostTicks = 6;
  const auto ladder = [&](const std::vector<double>& mantissas) {
    std::vector<double> rungs;
    for (double power = std::floor(std::log10(low)) - 1; power <= std::ceil(std::log10(high)) + 1;
         ++power) {
      for (const double mantissa : mantissas) rungs.push_back(mantissa * std::pow(10, power));
    }
    return rungs;
  };
  Axis axis;
  axis.logarithmic = true;
  for (const std::vector<double>& mantissas : {std::vector<double>{1, 2, 5}, {1, 3}, {1}}) {
    const std::vector<double> rungs = ladder(mantissas);
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

std::string tick_label(double value, double step) {
  const double size = std::abs(value);
  if (size < 1e-12 * step) return "0";
  if (size >= 1e5 || size < 1e-4) {
    std::string text = brief(value);  // "1.00e+05"
    for (const std::string_view padding : {"0e", "0e", ".e"}) {
      const std::size_t at = text.find(padding);
      if (at != std::string::npos) text.erase(at, 1);
    }
    return text;
  }
  return fixed(value, std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9))));
}

std::pair<double, double> extent(const CurveChart& chart, double CurvePoint::* member) {
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
  const std::size_t buckets = kDrawnPoints / 2;
  for (std::size_t b = 0; b < buckets; ++b) {
    const auto first = points.begin() + static_cast<std::ptrdiff_t>(b * points.size() / buckets);
    const auto last =
        points.begin() + static_cast<std::ptrdiff_t>((b + 1) * points.size() / buckets);
    const auto [low, high] = std::minmax_element(
        first, last, [](const CurvePoint& a, const CurvePoint& c) { return a.y < c.y; });
    kept.push_back(*low);
    if (high != low) kept.push_back(*high);
  }
  return kept;
}

// The end of every curve and some hundred points between.
std::vector<std::size_t> vertex_indices(std::size_t count) {
  const std::size_t vertices = std::min(count, kDrawnVertices);
  std::vector<std::size_t> indices(vertices);
  for (std::size_t i = 0; i < vertices; ++i)
    indices[i] = vertices == 1 ? 0 : i * (count - 1) / (vertices - 1);
  return indices;
}

std::string text_at(double x, double y, std::string_view anchor, const std::string& text) {
  return "<text" + attribute("x", coordinate(x)) + attribute("y", coordinate(y)) +
         attribute("text-anchor", anchor) + ">" + text + "</text>";
}

std::string description(const CurveChart& chart) {
  std::string text = chart.name;
  for (const Curve& curve : chart.curves) {
    if (curve.points.empty()) continue;
    const CurvePoint& first = curve.points.front();
    const CurvePoint& last = curve.points.back();
    text += curve.label.empty() ? ": " : "; " + curve.label + ": ";
    text += brief(first.y) + " at step " + grouped(first.x) + ", " + brief(last.y) + " at step " +
            grouped(last.x);
  }
  return text;
}

}  // namespace

bool is_logarithmic(const CurveChart& chart) {
  const auto [low, high] = extent(chart, &CurvePoint::y);
  return !chart.range && low > kSmallestLogarithmic && high >= kLogarithmicFrom * low;
}

std::vector<double> smoothed(const std::vector<CurvePoint>& points, bool logarithmic) {
  const std::size_t count = points.size();
  const std::size_t half = count / 40;
  std::vector<double> sums(count + 1, 0.0);
  for (std::size_t i = 0; i < count; ++i)
    sums[i + 1] = sums[i] + (logarithmic ? std::log(points[i].y) : points[i].y);
  std::vector<double> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    // Symmetric at the start, where a loss falls steeply; cut off at the end, where it is flat and
    // noisy.
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
  for (std::size_t i = 0; i < count; ++i) {
    placed[order[i]] = std::max(wanted[order[i]], i == 0 ? low : placed[order[i - 1]] + spacing);
  }
  for (std::size_t i = count; i-- > 0;) {
    placed[order[i]] =
        std::min(placed[order[i]], i + 1 == count ? high : placed[order[i + 1]] - spacing);
  }
  return placed;
}

std::string draw_chart(const CurveChart& chart) {
  const auto [first_step, last_step] = extent(chart, &CurvePoint::x);
  if (first_step > last_step) return "";
  const auto [lowest, highest] = extent(chart, &CurvePoint::y);
  const bool labelled = chart.curves.size() > 1;

  const Axis x_axis = linear_axis(first_step > 0 && first_step < 0.1 * last_step ? 0 : first_step,
                                  last_step, 4, false);
  Axis y_axis;
  if (chart.range) {
    y_axis = linear_axis(std::min(chart.range->first, lowest),
                         std::max(chart.range->second, highest), 5, true);
  } else {
    y_axis = is_logarithmic(chart) ? logarithmic_axis(lowest, highest)
                                   : linear_axis(lowest, highest, 4, true);
  }
  const double plot_width = kWidth - kLeft - (labelled ? kRightWithLabels : kRight);
  const double plot_height = kHeight - kTop - kBottom;
  const auto to_x = [&](double step) { return kLeft + plot_width * x_axis.place(step); };
  const auto to_y = [&](double value) { return kTop + plot_height * (1 - y_axis.place(value)); };
  const auto at = [&](double step, double value) {
    return coordinate(to_x(step)) + " " + coordinate(to_y(value));
  };

  std::string svg = "<svg class=\"chart\" role=\"img\"" +
                    attribute("viewBox", "0 0 " + coordinate(kWidth) + " " + coordinate(kHeight)) +
                    attribute("aria-label", description(chart)) + ">";
  std::string grid;
  std::string labels;
  const double y_step = y_axis.ticks.size() > 1 ? y_axis.ticks[1] - y_axis.ticks[0] : 1;
  for (const double tick : y_axis.ticks) {
    grid += "M" + coordinate(kLeft) + " " + coordinate(to_y(tick)) + "h" + coordinate(plot_width);
    labels += text_at(kLeft - 6, to_y(tick) + 3.5, "end",
                      tick_label(tick, y_axis.logarithmic ? tick : y_step));
  }
  const double x_step = x_axis.ticks.size() > 1 ? x_axis.ticks[1] - x_axis.ticks[0] : 1;
  for (const double tick : x_axis.ticks) {
    // Steps are whole: a tick between two of them would only confuse.
    if (x_step < 1 && tick != std::round(tick)) continue;
    const bool at_edge = to_x(tick) + kHalfLabel > kWidth;
    labels += text_at(at_edge ? kWidth : to_x(tick), kHeight - kBottom + 15,
                      at_edge ? "end" : "middle", grouped(tick));
  }
  svg += "<path class=\"grid\" d=\"" + grid + "\"/><g class=\"ticks\">" + labels + "</g>";

  std::vector<double> label_places;
  for (const Curve& curve : chart.curves) {
    if (!curve.points.empty()) label_places.push_back(to_y(curve.points.back().y) + 3.5);
  }
  label_places = spread(label_places, 13, kTop + 6, kHeight - kBottom);

  std::size_t drawn = 0;
  for (std::size_t c = 0; c < chart.curves.size(); ++c) {
    const std::vector<CurvePoint>& points = chart.curves[c].points;
    if (points.empty()) continue;
    const std::string kind = "curve-" + std::to_string(c);
    const std::vector<double> line =
        chart.smooth ? smoothed(points, y_axis.logarithmic) : std::vector<double>();
    const auto value = [&](std::size_t i) { return chart.smooth ? line[i] : points[i].y; };
    if (chart.smooth || points.size() <= kMarkedPoints) {
      std::string dots;
      for (const CurvePoint& point : thinned(points)) dots += "M" + at(point.x, point.y) + "h0";
      svg += "<path class=\"" + std::string(points.size() <= kMarkedPoints ? "marks " : "dots ") +
             kind + "\" d=\"" + dots + "\"/>";
    }
    std::string path;
    for (const std::size_t i : vertex_indices(points.size()))
      path += (path.empty() ? "M" : "L") + at(points[i].x, value(i));
    svg += "<path class=\"line " + kind + "\" d=\"" + path + "\"/>";
    if (labelled) {
      svg += "<g class=\"label " + kind + "\">" +
             text_at(kLeft + plot_width + 7, label_places[drawn], "start",
                     escape_html(chart.curves[c].label)) +
             "</g>";
    }
    ++drawn;
  }
  return svg + "</svg>";
}

}  // namespace osc::program
