// A small chart as inline SVG: points, a smoothed line through them, axes with labels. Its colours
// come from the page's style sheet.
#pragma once

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

struct CurveChart {
  std::string name;           // read aloud where the chart cannot be seen
  std::vector<Curve> curves;  // the style sheet tells the first three apart by colour and dashes
  bool smooth = false;  // faint points with a moving average through them, for noisy series; else a
                        // line from point to point
  std::optional<std::pair<double, double>>
      range;  // of the vertical axis; by default what the points need, logarithmic where they are
              // positive and span much
};

// Empty when no curve has a point. The size of the result does not grow with the number of points
// beyond some hundreds.
std::string draw_chart(const CurveChart& chart);

// Whether draw_chart takes a logarithmic vertical axis.
bool is_logarithmic(const CurveChart& chart);

// The moving average that draw_chart shows, at every point.
std::vector<double> smoothed(const std::vector<CurvePoint>& points, bool logarithmic);

// Positions in [low, high], in the order of `wanted` and near it, but `spacing` apart (closer where
// that does not fit): for labels that must not overlap.
std::vector<double> spread(const std::vector<double>& wanted, double spacing, double low,
                           double high);

}  // namespace osc::program
