#include "report/svg_curves.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>

#include "page_check.hpp"

namespace osc::program {
namespace {

std::vector<CurvePoint> points_of(const std::vector<double>& values) {
  std::vector<CurvePoint> points;
  for (const double value : values)
    points.push_back({static_cast<double>(points.size() + 1), value});
  return points;
}

CurveChart noisy(std::vector<CurvePoint> points) {
  CurveChart chart;
  chart.name = "loss";
  chart.curves = {{"", std::move(points)}};
  chart.smooth = true;
  return chart;
}

// All the numbers of all paths: pairs of x and y, but for the relative moves of the grid.
std::vector<double> coordinates_of(const test::Page& page) {
  std::vector<double> numbers;
  for (const test::Tag& tag : page.tags) {
    if (tag.name != "path") continue;
    for (const auto& [name, value] : tag.attributes) {
      if (name != "d") continue;
      for (const char* at = value.c_str(); *at != '\0';) {
        char* end = nullptr;
        const double number = std::strtod(at, &end);
        if (end == at) {
          ++at;
        } else {
          numbers.push_back(number);
          at = end;
        }
      }
    }
  }
  return numbers;
}

void expect_sound(const CurveChart& chart) {
  const std::string svg = draw_chart(chart);
  ASSERT_FALSE(svg.empty());
  const test::Page page = test::read_page("<!DOCTYPE html>\n" + svg);
  EXPECT_EQ(page.errors, std::vector<std::string>());
  EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
  EXPECT_EQ(svg.find("inf"), std::string::npos) << svg;
  for (const double number : coordinates_of(page)) {
    EXPECT_GE(number, 0) << svg;
    EXPECT_LE(number, 360) << svg;
  }
  EXPECT_GE(page.count("text"), 3U) << svg;
}

TEST(Chart, IsNothingWithoutPoints) {
  EXPECT_EQ(draw_chart({}), "");
  EXPECT_EQ(draw_chart(noisy({})), "");
}

TEST(Chart, StandsAnyNumbers) {
  expect_sound(noisy(points_of({0.5})));
  expect_sound(noisy(points_of({0, 0, 0})));
  expect_sound(noisy(points_of({2, 2, 2, 2})));
  expect_sound(noisy(points_of({-5, -1, -3})));
  expect_sound(noisy(points_of({1e-30, 1, 1e30})));
  expect_sound(noisy(points_of({1e100, -1e100})));
  expect_sound(noisy(points_of({1e-300, 2e-300})));
  expect_sound(noisy(points_of({5e-324, 1})));
  expect_sound(noisy(points_of({1, 1 + 1e-15})));
  expect_sound(noisy({{7, 1}, {7, 2}}));
  expect_sound(noisy({{1e9, 1}, {1e9 + 1, 2}}));
}

TEST(Chart, IsLogarithmicWhereMuchIsSpanned) {
  EXPECT_TRUE(is_logarithmic(noisy(points_of({2, 0.05}))));
  EXPECT_FALSE(is_logarithmic(noisy(points_of({2, 0.5}))));
  EXPECT_FALSE(is_logarithmic(noisy(points_of({2, 0}))));
  EXPECT_FALSE(is_logarithmic(noisy(points_of({2, -1}))));
  CurveChart ranged = noisy(points_of({1, 0.01}));
  ranged.range = {0.0, 1.0};
  EXPECT_FALSE(is_logarithmic(ranged));
}

TEST(Chart, LabelsItsAxes) {
  const test::Page linear =
      test::read_page("<!DOCTYPE html>\n" + draw_chart(noisy({{0, 0}, {2000, 4}})));
  for (const std::string tick : {"500", "1,000", "2,000"})
    EXPECT_NE(linear.text.find(tick), std::string::npos) << linear.text;
  EXPECT_TRUE(linear.text.starts_with("01234")) << linear.text;
  const test::Page logarithmic =
      test::read_page("<!DOCTYPE html>\n" + draw_chart(noisy({{0, 0.011}, {2000, 0.9}})));
  EXPECT_TRUE(logarithmic.text.starts_with("0.010.030.10.31")) << logarithmic.text;
  const test::Page wide =
      test::read_page("<!DOCTYPE html>\n" + draw_chart(noisy({{0, 1e-8}, {10, 1e5}})));
  EXPECT_NE(wide.text.find("1e−"), std::string::npos) << wide.text;
}

TEST(Chart, HigherValuesStandHigher) {
  CurveChart chart;
  chart.curves = {{"a", {{1, 0.2}, {2, 0.9}}}};
  chart.range = {0.0, 1.0};
  const std::string svg = draw_chart(chart);
  const std::size_t line = svg.find("class=\"line");
  const std::size_t path = svg.find("d=\"M", line) + 4;
  double x1 = 0, y1 = 0, x2 = 0, y2 = 0;
  ASSERT_EQ(std::sscanf(svg.c_str() + path, "%lf %lfL%lf %lf", &x1, &y1, &x2, &y2), 4);
  EXPECT_LT(x1, x2);
  EXPECT_GT(y1, y2);
  EXPECT_NEAR((y1 - y2) / 166, 0.7, 0.01);  // 166 of the drawing's 200 units are the plot's
}

TEST(Chart, DoesNotGrowWithItsPoints) {
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  std::vector<double> few, many;
  for (int i = 0; i < 2'000; ++i) few.push_back(std::exp(normal(random)));
  for (int i = 0; i < 100'000; ++i) many.push_back(std::exp(normal(random)));
  const std::string small = draw_chart(noisy(points_of(few)));
  const std::string large = draw_chart(noisy(points_of(many)));
  EXPECT_LT(large.size(), 20'000U);
  EXPECT_LT(large.size(), small.size() * 3 / 2);
}

TEST(Chart, ThinningKeepsTheExtremes) {
  std::vector<double> values(50'000, 1.0);
  values[31'234] = 9.5;
  const std::string with_spike = draw_chart(noisy(points_of(values)));
  values[31'234] = 1.0;
  EXPECT_NE(with_spike, draw_chart(noisy(points_of(values))));
  EXPECT_NE(with_spike.find(" 18.3h0"), std::string::npos)
      << "9.5 of an axis to 10: a twentieth of 166 below the top at 10";
}

TEST(Chart, TellsSeveralCurvesApartInWords) {
  CurveChart chart;
  chart.name = "scores <held-out>";
  chart.range = {0.0, 1.0};
  chart.curves = {
      {"FG-ARI", points_of({0.1, 0.97})}, {"ARI", {}}, {"m<IoU", points_of({0.1, 0.97})}};
  expect_sound(chart);
  const std::string svg = draw_chart(chart);
  EXPECT_NE(svg.find("FG-ARI</text>"), std::string::npos);
  EXPECT_NE(svg.find("m&lt;IoU</text>"), std::string::npos);
  EXPECT_EQ(svg.find(">ARI</text>"), std::string::npos);
  EXPECT_NE(svg.find("scores &lt;held-out&gt;; FG-ARI: 0.100 at step 1, 0.970 at step 2"),
            std::string::npos);
}

TEST(Smoothed, IsAMovingMean) {
  std::mt19937 random(2);
  std::uniform_real_distribution<double> uniform(0.1, 2);
  std::vector<double> values;
  for (int i = 0; i < 400; ++i) values.push_back(uniform(random));
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
  EXPECT_EQ(spread({10, 50}, 12, 0, 100), (std::vector<double>{10, 50}));
  EXPECT_EQ(spread({50, 50, 50}, 10, 0, 100), (std::vector<double>{50, 60, 70}));
  EXPECT_EQ(spread({99, 98}, 10, 0, 100), (std::vector<double>{100, 90}));
  EXPECT_EQ(spread({-5}, 10, 0, 100), (std::vector<double>{0}));
  EXPECT_TRUE(spread({}, 10, 0, 100).empty());
  const std::vector<double> crowded = spread(std::vector<double>(21, 40.0), 10, 0, 100);
  for (std::size_t i = 0; i < crowded.size(); ++i)
    EXPECT_NEAR(crowded[i], 5.0 * static_cast<double>(i), 1e-9);
}

}  // namespace
}  // namespace osc::program
