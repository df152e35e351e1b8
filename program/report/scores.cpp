#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>

#include "report/numbers.hpp"
#include "report/templates.hpp"
#include "report/views.hpp"

namespace osc::program {
namespace {

using nlohmann::json;

// Where the scores of a row are, in result.json as in the view.
constexpr std::array<const char*, 9> kMaskScores = {
    "/clean/fg_ari", "/clean/ari",     "/clean/miou", "/weak/fg_ari", "/weak/ari",
    "/weak/miou",    "/strong/fg_ari", "/strong/ari", "/strong/miou"};
constexpr std::array<const char*, 7> kRecognitionScores = {
    "/category_recall",         "/category_recall_weak",   "/category_recall_strong",
    "/instance_recall_weak",    "/instance_recall_strong", "/matching_accuracy_weak",
    "/matching_accuracy_strong"};

// A number in every format in which the page shows one.
json number_view(std::optional<double> value) {
  if (!value) return {{"score", score(value)}};
  return {{"value", *value},
          {"score", score(value)},
          {"short", fixed(*value, 2)},
          {"percent", fixed(100 * *value, 0)},
          {"count", grouped(*value)}};
}

json scores_view(const json& scores, std::span<const char* const> paths) {
  json view;
  for (const char* path : paths)
    view[json::json_pointer(path)] = number_view(number_at(scores, path));
  return view;
}

// The model's row, those of the known baselines, in their order, and those of all others. In each
// column every score that prints as the best one is marked.
json table_view(const std::string& name, const json& model, const json& baselines,
                std::span<const char* const> columns) {
  static const json kLabels = json::parse(template_text("baselines.json"));
  json unknown = baselines.is_object() ? baselines : json::object();
  json rows = json::array();
  for (const json& label : kLabels.at(name)) {
    const bool is_model = !label.contains("key");
    const json& scores = is_model ? model : value_at(baselines, "/" + std::string(label.at("key")));
    if (!is_model && !scores.is_object()) continue;
    rows.push_back(label);
    rows.back()["model"] = is_model;
    rows.back().update(scores_view(scores, columns));
    if (!is_model) unknown.erase(std::string(label.at("key")));
  }
  for (const auto& [key, scores] : unknown.items()) {
    if (!scores.is_object()) continue;
    rows.push_back({{"name", key}, {"model", false}});
    rows.back().update(scores_view(scores, columns));
  }

  bool has_score = false;
  for (const std::string column : columns) {
    std::optional<double> best;
    for (const json& row : rows) best = std::max(best, number_at(row, column + "/value"));
    has_score = has_score || best;
    for (json& row : rows) {
      json& cell = row[json::json_pointer(column)];
      cell["best"] = best && cell["score"] == score(best);
    }
  }
  return has_score ? json{{"rows", rows}} : json();
}

}  // namespace

json result_view(const json& result) {
  const json& recognition = value_at(result, "/recognition");
  const json& baselines = value_at(result, "/baselines");
  json view = {{"recognition", scores_view(recognition, kRecognitionScores)},
               {"has_recognition", recognition.is_object()}};
  bool scored = false;
  for (const std::string key : {"fg_ari", "ari", "miou"}) {
    const std::optional<double> value = number_at(result, "/" + key);
    view[key] = number_view(value);
    scored = scored || value;
  }
  for (const char* path : kRecognitionScores) scored = scored || number_at(recognition, path);
  view["scored"] = scored;
  for (const std::string key : {"candidates_weak", "candidates_strong"})
    view["recognition"][key] = number_view(number_at(recognition, "/" + key));

  if (const json& scores = value_at(baselines, "/masks/kmeans_seeded"); scores.is_object())
    view["kmeans_seeded"] = scores_view(scores, kMaskScores);
  if (const json& scores = value_at(baselines, "/recognition/random_matching"); scores.is_object())
    view["random_matching"] = scores_view(scores, kRecognitionScores);
  view["crop"] = value_at(baselines, "/recognition/untrained_embedding").is_object() ||
                 value_at(baselines, "/recognition/template").is_object();

  if (const auto steps = number_at(result, "/steps")) view["steps"] = grouped(*steps);
  if (const auto seconds = number_at(result, "/seconds"))
    view["training_time"] = duration(*seconds);
  if (const json& seed = value_at(result, "/seed"); seed.is_number_integer())
    view["seed"] = seed.dump();
  if (const json& source = value_at(result, "/source"); source.is_string()) view["source"] = source;
  if (const auto images = number_at(result, "/images")) view["images"] = grouped(*images);
  return view;
}

json tables_view(const json& result) {
  json masks = value_at(result, "/masks");
  // A result without this has its clean scores at the root.
  if (!masks.is_object()) masks = {{"clean", result}};
  json view = {
      {"masks", table_view("masks", masks, value_at(result, "/baselines/masks"), kMaskScores)},
      {"recognition", table_view("recognition", value_at(result, "/recognition"),
                                 value_at(result, "/baselines/recognition"), kRecognitionScores)}};
  if (view["masks"].is_null() && view["recognition"].is_null()) return nullptr;
  return view;
}

}  // namespace osc::program
