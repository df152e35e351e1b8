// A small chart: points, a smoothed line through them, axes with labels. The template chart.html
// draws it.
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace osc::program {

struct CurvePoint {
  double x = 0;
  double y = 0;
};

struct Curve {
  std::string label;               // at the line's end; not drawn for a single curve
  std::vector<CurvePoint> points;  // finite, in the order of x
};

struct Chart {
  std::string name;           // read aloud where the chart cannot be seen
  std::vector<Curve> curves;  // the style sheet tells the first three apart by colour and dashes
  // Faint points with a moving average through them, for noisy series; else a line through all.
  bool smooth = false;
  // Of the vertical axis. By default what the points need, on a logarithmic scale where they are
  // positive and span much.
  std::optional<std::pair<double, double>> range;
};

// Null when no curve has a point. The size of the result does not grow with the number of points
// beyond some hundreds.
nlohmann::json chart_view(const Chart& chart);

// The moving average at every point; of the logarithms, for a logarithmic axis.
std::vector<double> smoothed(const std::vector<CurvePoint>& points, bool logarithmic);

// Positions in [low, high], in the order of `wanted` and near it, but `spacing` apart (closer where
// that does not fit): for labels that must not overlap.
std::vector<double> spread(const std::vector<double>& wanted, double spacing, double low,
                           double high);

}  // namespace osc::program
