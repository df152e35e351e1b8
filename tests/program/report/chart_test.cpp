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

std::vector<CurvePoint> points_of(const std::vector<double>& values) {
  std::vector<CurvePoint> points;
  for (const double value : values)
    points.push_back({static_cast<double>(points.size() + 1), value});
  return points;
}

Chart noisy(std::vector<CurvePoint> points) {
  return {"loss", {{"", std::move(points)}}, true, std::nullopt};
}

std::vector<std::string> tick_texts(const json& view) {
  std::vector<std::string> texts;
  for (const json& tick : view["ticks"]) texts.push_back(tick["text"]);
  return texts;
}

// Drawn by its template, the chart is well-formed and stays inside its view box.
void expect_sound(const Chart& chart) {
  const json view = chart_view(chart);
  const std::string svg = render_template("chart.html", view);
  EXPECT_EQ(test::read_page(svg).errors, std::vector<std::string>()) << svg;
  EXPECT_GE(view["ticks"].size(), 3U) << svg;
  for (const json& curve : view["curves"]) {
    for (const std::string path : {curve["line"], curve["points"]}) {
      for (std::size_t at = 0; (at = path.find_first_of("ML", at)) != std::string::npos; ++at) {
        double x = -1, y = -1;
        ASSERT_EQ(std::sscanf(path.c_str() + at + 1, "%lf %lf", &x, &y), 2) << svg;
        EXPECT_TRUE(x >= 0 && x <= 360 && y >= 0 && y <= 200) << svg;
      }
    }
  }
}

TEST(Chart, IsNothingWithoutPoints) {
  EXPECT_TRUE(chart_view({}).is_null());
  EXPECT_TRUE(chart_view(noisy({})).is_null());
}

TEST(Chart, StandsAnyNumbers) {
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
    expect_sound(noisy(points_of(values)));
  expect_sound(noisy({{7, 1}, {7, 2}}));
  expect_sound(noisy({{1e9, 1}, {1e9 + 1, 2}}));
}

TEST(Chart, IsLogarithmicWhereMuchIsSpanned) {
  const auto logarithmic = [](const Chart& chart) { return chart_view(chart)["logarithmic"]; };
  EXPECT_TRUE(logarithmic(noisy(points_of({2, 0.05}))));
  for (const double low : {0.5, 0.0, -1.0}) EXPECT_FALSE(logarithmic(noisy(points_of({2, low}))));
  Chart ranged = noisy(points_of({1, 0.01}));
  ranged.range = {0.0, 1.0};
  EXPECT_FALSE(logarithmic(ranged));
}

TEST(Chart, LabelsItsAxes) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(tick_texts(chart_view(noisy({{0, 0}, {2000, 4}}))),
            (Texts{"0", "1", "2", "3", "4", "0", "500", "1,000", "1,500", "2,000"}));
  EXPECT_EQ(tick_texts(chart_view(noisy({{1, 0.011}, {3, 0.9}}))),
            (Texts{"0.01", "0.03", "0.1", "0.3", "1", "1", "2", "3"}));
  EXPECT_EQ(tick_texts(chart_view(noisy({{0, 1e-8}, {10, 1e5}})))[0], "1e−08");
}

TEST(Chart, HigherValuesStandHigher) {
  const json view = chart_view({"", {{"a", {{1, 0.2}, {2, 0.9}}}}, false, {{0.0, 1.0}}});
  double x1 = 0, y1 = 0, x2 = 0, y2 = 0;
  const std::string line = view["curves"][0]["line"];
  ASSERT_EQ(std::sscanf(line.c_str(), "M%lf %lfL%lf %lf", &x1, &y1, &x2, &y2), 4);
  EXPECT_LT(x1, x2);
  EXPECT_NEAR((y1 - y2) / 166, 0.7, 0.01);  // 166 of the drawing's 200 units are the plot's
}

TEST(Chart, OfManyPointsStaysSmallAndKeepsTheExtremes) {
  std::mt19937 random(1);
  std::lognormal_distribution<double> values;
  std::vector<CurvePoint> points;
  for (int i = 1; i <= 100'000; ++i) points.push_back({static_cast<double>(i), values(random)});
  EXPECT_LT(chart_view(noisy(points)).dump().size(), 20'000U);

  std::vector<double> spike(50'000, 1.0);
  spike[31'234] = 9.5;
  const std::string dots = chart_view(noisy(points_of(spike)))["curves"][0]["points"];
  EXPECT_NE(dots.find(" 18.3h0"), std::string::npos)
      << "9.5 of an axis to 10: a twentieth of 166 below the top at 10";
}

TEST(Chart, LabelsSeveralCurves) {
  const Chart chart{
      "scores <held-out>",
      {{"FG-ARI", points_of({0.1, 0.97})}, {"ARI", {}}, {"m<IoU", points_of({0.1, 1})}},
      false,
      {{0.0, 1.0}}};
  expect_sound(chart);
  const test::Page page = test::read_page(render_template("chart.html", chart_view(chart)));
  EXPECT_EQ(page.texts("g", "class", "label curve-0"), (std::vector<std::string>{"FG-ARI"}));
  EXPECT_TRUE(page.all("path", "class", "line curve-1").empty());
  EXPECT_EQ(page.texts("g", "class", "label curve-2"), (std::vector<std::string>{"m<IoU"}));
  EXPECT_EQ(page.all("svg")[0].attributes.at("aria-label"),
            "scores <held-out>; FG-ARI: 0.100 at step 1, 0.970 at step 2; m<IoU: 0.100 at step 1, "
            "1.00 at step 2");
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
      double sum = 0;
      int count = 0;
      for (int j = i - reach; j <= std::min(399, i + reach); ++j, ++count)
        sum += logarithmic ? std::log(values[j]) : values[j];
      EXPECT_NEAR(smooth[i], logarithmic ? std::exp(sum / count) : sum / count, 1e-12) << i;
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
  for (std::size_t i = 0; i < crowded.size(); ++i)
    EXPECT_NEAR(crowded[i], 5.0 * static_cast<double>(i), 1e-9);
}

}  // namespace
}  // namespace osc::program
