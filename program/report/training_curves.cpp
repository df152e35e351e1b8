#include "report/training_curves.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <optional>

#include "report/html.hpp"
#include "report/numbers.hpp"
#include "report/svg_curves.hpp"

namespace osc::program {
namespace {

struct Measured {
  std::vector<CurvePoint> points;
  std::size_t not_finite = 0;  // JSON has no NaN: it is written as null
};

struct Stage {
  std::string name;
  double first_step = 0;
  double last_step = 0;
  std::map<std::string, Measured> series;
};

constexpr double kLargestDrawn = 1e100;  // beyond it the arithmetic of the axes would overflow

std::string stage_name(const nlohmann::json& line) {
  const nlohmann::json& stage = value_at(line, {"stage"});
  if (stage.is_string()) return stage.get<std::string>();
  const std::optional<double> number = number_at(line, {"stage"});
  return number ? "Stage " + grouped(*number) : "Training";
}

std::vector<Stage> read_stages(const std::vector<nlohmann::json>& metrics) {
  std::vector<Stage> stages;
  for (const nlohmann::json& line : metrics) {
    if (!line.is_object()) continue;
    const std::string name = stage_name(line);
    auto stage = std::find_if(stages.begin(), stages.end(),
                              [&](const Stage& known) { return known.name == name; });
    const bool is_new = stage == stages.end();
    if (is_new) stage = stages.insert(stages.end(), Stage{name, 0, 0, {}});
    const double step = number_at(line, {"step"}).value_or(stage->last_step + 1);
    stage->first_step = is_new ? step : std::min(stage->first_step, step);
    stage->last_step = std::max(stage->last_step, step);
    for (const auto& [key, value] : line.items()) {
      if (key == "stage" || key == "step") continue;
      const std::optional<double> number = number_at(line, {key});
      if (number && std::abs(*number) <= kLargestDrawn) {
        stage->series[key].points.push_back({step, *number});
      } else if (value.is_number() || value.is_null()) {
        ++stage->series[key].not_finite;
      }
    }
  }
  for (Stage& stage : stages) {
    for (auto& [key, measured] : stage.series) {
      std::stable_sort(measured.points.begin(), measured.points.end(),
                       [](const CurvePoint& a, const CurvePoint& b) { return a.x < b.x; });
    }
  }
  return stages;
}

std::string panel(const std::string& heading, const std::string& value, const std::string& note,
                  const std::string& chart) {
  std::string html = "<figure class=\"panel\"><figcaption><span class=\"name\">" +
                     escape_html(heading) + "</span>";
  if (!note.empty()) html += " <span class=\"note\">" + escape_html(note) + "</span>";
  if (!value.empty()) html += " <span class=\"value\">" + value + "</span>";
  return html + "</figcaption>" + chart + "</figure>\n";
}

std::string term_panel(const Stage& stage, const std::string& key, const std::string& heading,
                       std::string note = "") {
  const auto found = stage.series.find(key);
  if (found == stage.series.end() || found->second.points.empty()) return "";
  const Measured& measured = found->second;
  CurveChart chart;
  chart.name = stage.name + ", " + heading;
  chart.curves = {{"", measured.points}};
  chart.smooth = true;
  const auto add = [&note](const std::string& words) {
    note += (note.empty() ? "" : ", ") + words;
  };
  if (is_logarithmic(chart)) add("log scale");
  if (measured.not_finite > 0)
    add(grouped(static_cast<double>(measured.not_finite)) +
        (measured.not_finite == 1 ? " value not finite" : " values not finite"));
  return panel(heading, brief(smoothed(measured.points, is_logarithmic(chart)).back()), note,
               draw_chart(chart));
}

std::string score_panel(const Stage& stage) {
  CurveChart chart;
  chart.name = stage.name + ", scores on held-out images";
  chart.range = {0.0, 1.0};
  for (const auto& [key, label] :
       {std::pair("fg_ari", "FG-ARI"), {"ari", "ARI"}, {"miou", "mIoU"}}) {
    const auto found = stage.series.find(key);
    chart.curves.push_back(
        {label, found == stage.series.end() ? std::vector<CurvePoint>() : found->second.points});
  }
  const std::string drawn = draw_chart(chart);
  return drawn.empty() ? "" : panel("scores", "", "held-out images", drawn);
}

bool same_points(const std::vector<CurvePoint>& a, const std::vector<CurvePoint>& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](const CurvePoint& p, const CurvePoint& q) {
        return p.x == q.x && std::abs(p.y - q.y) <= 1e-5 * std::max(std::abs(p.y), std::abs(q.y));
      });
}

std::string stage_facts(Stage& stage) {
  std::string facts = stage.first_step == stage.last_step ? "step " + grouped(stage.last_step)
                                                          : "steps " + grouped(stage.first_step) +
                                                                " to " + grouped(stage.last_step);
  std::vector<CurvePoint>& speeds = stage.series["images_per_second"].points;
  if (!speeds.empty()) {
    const auto middle = speeds.begin() + static_cast<std::ptrdiff_t>(speeds.size() / 2);
    std::nth_element(speeds.begin(), middle, speeds.end(),
                     [](const CurvePoint& a, const CurvePoint& b) { return a.y < b.y; });
    facts += ", " + grouped(middle->y) + " images a second";
  }
  return facts;
}

std::string stage_html(Stage& stage) {
  static const std::vector<std::string> kNotTerms = {
      "loss",          "images_per_second", "seconds", "learning_rate",
      "gradient_norm", "control",           "fg_ari",  "ari",
      "miou"};
  std::vector<std::string> terms;
  for (const auto& [key, measured] : stage.series) {
    if (!measured.points.empty() &&
        std::find(kNotTerms.begin(), kNotTerms.end(), key) == kNotTerms.end())
      terms.push_back(key);
  }
  // A stage of one term of weight 1 has one curve, not the same one twice.
  const bool one_curve =
      terms.size() == 1 && same_points(stage.series["loss"].points, stage.series[terms[0]].points);
  std::string panels =
      one_curve ? "" : term_panel(stage, "loss", terms.empty() ? "loss" : "loss, all terms");
  for (const std::string& term : terms) panels += term_panel(stage, term, term);
  panels += score_panel(stage) +
            term_panel(stage, "control", "control", "slots matched at random") +
            term_panel(stage, "gradient_norm", "gradient norm");
  if (panels.empty()) return "";
  return "<h3>" + escape_html(stage.name) + " <span class=\"note\">" + stage_facts(stage) +
         "</span></h3>\n<div class=\"panels\">\n" + panels + "</div>\n";
}

}  // namespace

std::string training_curves_html(const std::vector<nlohmann::json>& metrics) {
  std::string html;
  for (Stage& stage : read_stages(metrics)) html += stage_html(stage);
  return html;
}

}  // namespace osc::program
