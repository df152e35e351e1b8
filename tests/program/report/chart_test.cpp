#include "report/chart.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>

#include "page_check.hpp"
#include "report/templates.hpp"

namespace osc::program {
namespace {

using nlohmann::json;
using test::Page;
using test::Texts;

std::vector<CurvePoint> points_of(const std::vector<double>& values) {
  std::vector<CurvePoint> points;
  for (const double value : values)
    points.push_back({1.0 + static_cast<double>(points.size()), value});
  return points;
}

Chart noisy(std::vector<CurvePoint> points) {
  return {"loss", {{"", std::move(points)}}, true, std::nullopt};
}

// The points of a path: M x y, L x y.
std::vector<CurvePoint> vertices(const std::string& path) {
  std::vector<CurvePoint> points;
  for (std::size_t at = 0; (at = path.find_first_of("ML", at)) != std::string::npos; ++at) {
    CurvePoint& point = points.emplace_back(CurvePoint{-1, -1});
    std::sscanf(path.c_str() + at + 1, "%lf %lf", &point.x, &point.y);
  }
  return points;
}

// Drawn by its template, the chart is well-formed and stays inside its view box.
Page drawn(const Chart& chart) {
  const std::string svg = render_template("chart.html", chart_view(chart));
  const Page page = test::read_page(svg);
  EXPECT_EQ(page.errors, Texts()) << svg;
  EXPECT_GE(page.texts("text").size(), 3U) << svg;
  for (const std::string& path : page.texts("path", "d")) {
    for (const auto& [x, y] : vertices(path))
      EXPECT_TRUE(x >= 0 && x <= 360 && y >= 0 && y <= 200) << svg;
  }
  return page;
}

TEST(Chart, StandsAnyNumbers) {
  EXPECT_TRUE(chart_view({}).is_null());
  EXPECT_TRUE(chart_view(noisy({})).is_null());
  for (const std::vector<double>& values : {std::vector<double>{0.5},
                                            {0, 0, 0},
                                            {2, 2, 2, 2},
                                            {-5, -1, -3},
                                            {1e-30, 1, 1e30},
                                            {1e100, -1e100},
                                            {1e-300, 2e-300},
                                            {1e-299, 1e100},
                                            {5e-324, 1},
                                            {1, 1 + 1e-15}})
    drawn(noisy(points_of(values)));
  drawn(noisy({{7, 1}, {7, 2}}));
  drawn(noisy({{1e9, 1}, {1e9 + 1, 2}}));
}

TEST(Chart, LabelsItsAxesLogarithmicWhereMuchIsSpanned) {
  EXPECT_EQ(drawn(noisy({{0, 0}, {2000, 4}})).texts("text"),
            (Texts{"0", "1", "2", "3", "4", "0", "500", "1,000", "1,500", "2,000"}));
  EXPECT_EQ(drawn(noisy({{1, 0.011}, {3, 0.9}})).texts("text"),
            (Texts{"0.01", "0.03", "0.1", "0.3", "1", "1", "2", "3"}));
  EXPECT_EQ(drawn(noisy({{0, 1e-8}, {10, 1e5}})).texts("text")[0], "1e−08");
  for (const double low : {0.05, 0.5, 0.0, -1.0})
    EXPECT_EQ(chart_view(noisy(points_of({2, low})))["logarithmic"], low == 0.05);
  Chart ranged = noisy(points_of({1, 0.01}));
  ranged.range = {0.0, 1.0};
  EXPECT_FALSE(chart_view(ranged)["logarithmic"]);
}

TEST(Chart, DrawsAndLabelsEachCurve) {
  const Page page = drawn({"scores <held-out>",
                           {{"a<", points_of({0.2, 0.9})}, {"b", {}}, {"c", points_of({0.1, 1})}},
                           false,
                           {{0.0, 1.0}}});
  EXPECT_EQ(page.texts("svg", "aria-label"),
            Texts{"scores <held-out>; a<: 0.200 at step 1, 0.900 at step 2; c: 0.100 at step 1, "
                  "1.00 at step 2"});
  EXPECT_EQ(page.texts("g.label curve-0"), Texts{"a<"});
  EXPECT_EQ(page.texts("g.label curve-2"), Texts{"c"});
  EXPECT_TRUE(page.texts("path.line curve-1").empty());
  const auto line = vertices(page.texts("path.line curve-0", "d")[0]);
  ASSERT_EQ(line.size(), 2U);
  EXPECT_LT(line[0].x, line[1].x);
  EXPECT_NEAR(line[0].y - line[1].y, 0.7 * 166, 1) << "166 of the 200 units are the plot's";
}

TEST(Chart, OfManyPointsStaysSmallAndKeepsTheExtremes) {
  std::mt19937 random(1);
  std::lognormal_distribution<double> distribution;
  std::vector<double> values(100'000);
  for (double& value : values) value = distribution(random);
  EXPECT_LT(chart_view(noisy(points_of(values))).dump().size(), 20'000U);
  values.assign(50'000, 1.0);
  values[31'234] = 9.5;
  const std::string dots = chart_view(noisy(points_of(values)))["curves"][0]["points"];
  EXPECT_NE(dots.find(" 18.3h0"), std::string::npos)
      << "9.5 of an axis to 10: a twentieth of 166 below the top at 10";
}

TEST(Smoothed, IsAMovingMean) {
  std::mt19937 random(2);
  std::uniform_real_distribution<double> uniform(0.1, 2);
  std::vector<double> values(400);
  for (double& value : values) value = uniform(random);
  for (const bool logarithmic : {false, true}) {
    const std::vector<double> smooth = smoothed(points_of(values), logarithmic);
    ASSERT_EQ(smooth.size(), values.size());
    for (int i = 0; i < 400; ++i) {
      const int reach = std::min(10, i);  // a fortieth of the points to either side
      const int last = std::min(399, i + reach);
      double sum = 0;
      for (int j = i - reach; j <= last; ++j) sum += logarithmic ? std::log(values[j]) : values[j];
      const double mean = sum / (last - (i - reach) + 1);
      EXPECT_NEAR(smooth[i], logarithmic ? std::exp(mean) : mean, 1e-12) << i;
    }
  }
}

TEST(Spread, KeepsOrderDistanceAndBounds) {
  using Places = std::vector<double>;
  EXPECT_EQ(spread({10, 50}, 12, 0, 100), (Places{10, 50}));
  EXPECT_EQ(spread({50, 50, 50}, 10, 0, 100), (Places{50, 60, 70}));
  EXPECT_EQ(spread({99, 98}, 10, 0, 100), (Places{100, 90}));
  EXPECT_EQ(spread({-5}, 10, 0, 100), (Places{0}));
  EXPECT_TRUE(spread({}, 10, 0, 100).empty());
  const Places crowded = spread(Places(21, 40.0), 10, 0, 100);
  for (int i = 0; i < 21; ++i) EXPECT_NEAR(crowded[i], 5.0 * i, 1e-9);
}

}  // namespace
}  // namespace osc::program
