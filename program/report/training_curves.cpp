#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "report/chart.hpp"
#include "report/numbers.hpp"
#include "report/views.hpp"

namespace osc::program {
namespace {

using nlohmann::json;

struct Series {
  std::vector<CurvePoint> points;
  std::size_t non_finite = 0;  // JSON has no NaN: it is written as null
};

struct Stage {
  std::string name;
  double first_step = 0;
  double last_step = 0;
  std::map<std::string, Series> series;
};

constexpr double kLargestDrawn = 1e100;  // beyond it the arithmetic of the axes would overflow

std::string stage_name(const json& line) {
  const json& stage = value_at(line, "/stage");
  if (stage.is_string()) return stage.get<std::string>();
  const std::optional<double> number = finite(stage);
  return number ? "Stage " + grouped(*number) : "Training";
}

std::vector<Stage> read_stages(const std::vector<json>& metrics) {
  std::vector<Stage> stages;
  for (const json& line : metrics) {
    if (!line.is_object()) continue;
    const std::string name = stage_name(line);
    auto stage = std::find_if(stages.begin(), stages.end(),
                              [&](const Stage& known) { return known.name == name; });
    const bool is_new = stage == stages.end();
    if (is_new) stage = stages.insert(stages.end(), Stage{name, 0, 0, {}});
    const double step = number_at(line, "/step").value_or(stage->last_step + 1);
    stage->first_step = is_new ? step : std::min(stage->first_step, step);
    stage->last_step = std::max(stage->last_step, step);
    for (const auto& [key, value] : line.items()) {
      if (key == "stage" || key == "step") continue;
      const std::optional<double> number = finite(value);
      if (number && std::abs(*number) <= kLargestDrawn) {
        stage->series[key].points.push_back({step, *number});
      } else if (value.is_number() || value.is_null()) {
        ++stage->series[key].non_finite;
      }
    }
  }
  for (Stage& stage : stages) {
    for (auto& [key, series] : stage.series)
      std::stable_sort(series.points.begin(), series.points.end(),
                       [](const CurvePoint& a, const CurvePoint& b) { return a.x < b.x; });
  }
  return stages;
}

// Appends a panel to `panels` where the stage has points for it.
void add_series(json& panels, Stage& stage, const std::string& key, const std::string& heading,
                const std::string& note = "") {
  const Series& series = stage.series[key];
  json panel = chart_view({stage.name + ", " + heading, {{"", series.points}}, true, {}});
  if (panel.is_null()) return;
  panel.update({{"heading", heading}, {"note", note}, {"non_finite", nullptr}});
  if (series.non_finite > 0) panel["non_finite"] = grouped(static_cast<double>(series.non_finite));
  panels.push_back(panel);
}

void add_scores(json& panels, Stage& stage) {
  json panel = chart_view({stage.name + ", scores on held-out images",
                           {{"FG-ARI", stage.series["fg_ari"].points},
                            {"ARI", stage.series["ari"].points},
                            {"mIoU", stage.series["miou"].points}},
                           false,
                           {{0.0, 1.0}}});
  if (panel.is_null()) return;
  panel.update({{"heading", "scores"}, {"note", "held-out images"}});
  panels.push_back(panel);
}

bool same_points(const std::vector<CurvePoint>& a, const std::vector<CurvePoint>& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](const CurvePoint& p, const CurvePoint& q) {
        return p.x == q.x && std::abs(p.y - q.y) <= 1e-5 * std::max(std::abs(p.y), std::abs(q.y));
      });
}

json median_speed(const Stage& stage) {
  const auto found = stage.series.find("images_per_second");
  if (found == stage.series.end() || found->second.points.empty()) return nullptr;
  std::vector<CurvePoint> speeds = found->second.points;
  const auto middle = speeds.begin() + static_cast<std::ptrdiff_t>(speeds.size() / 2);
  std::nth_element(speeds.begin(), middle, speeds.end(),
                   [](const CurvePoint& a, const CurvePoint& b) { return a.y < b.y; });
  return grouped(middle->y);
}

json stage_view(Stage& stage) {
  static const std::set<std::string> kNotTerms = {
      "loss",          "images_per_second", "seconds", "learning_rate",
      "gradient_norm", "control",           "fg_ari",  "ari",
      "miou"};
  std::vector<std::string> terms;
  for (const auto& [key, series] : stage.series) {
    if (!series.points.empty() && !kNotTerms.contains(key)) terms.push_back(key);
  }
  json panels = json::array();
  // A stage of one term of weight 1 has one curve, not the same one twice.
  if (terms.size() != 1 || !same_points(stage.series["loss"].points, stage.series[terms[0]].points))
    add_series(panels, stage, "loss", terms.empty() ? "loss" : "loss, all terms");
  for (const std::string& term : terms) add_series(panels, stage, term, term);
  add_scores(panels, stage);
  add_series(panels, stage, "control", "control", "slots matched at random");
  add_series(panels, stage, "gradient_norm", "gradient norm");
  if (panels.empty()) return nullptr;
  return {{"name", stage.name},
          {"first_step", grouped(stage.first_step)},
          {"last_step", grouped(stage.last_step)},
          {"images_per_second", median_speed(stage)},
          {"panels", panels}};
}

}  // namespace

json training_view(const std::vector<json>& metrics) {
  json stages = json::array();
  for (Stage& stage : read_stages(metrics)) {
    if (json view = stage_view(stage); !view.is_null()) stages.push_back(std::move(view));
  }
  return stages.empty() ? json() : json{{"stages", stages}};
}

}  // namespace osc::program
