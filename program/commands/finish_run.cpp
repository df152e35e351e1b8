#include "commands/finish_run.hpp"

#include <algorithm>
#include <cstdio>

#include "evaluation/evaluate.hpp"
#include "evaluation/pictures.hpp"
#include "report/report.hpp"
#include "support/error.hpp"
#include "support/files.hpp"
#include "support/interrupt.hpp"
#include "support/json.hpp"
#include "support/text.hpp"
#include "training/trainer.hpp"

namespace osc::program {

namespace {

constexpr std::int64_t kWallImages = 24;
constexpr std::int64_t kMatchedPairs = 8;
constexpr std::int64_t kRetrievals = 12;
constexpr std::int64_t kNearest = 8;

std::string score_text(const nlohmann::json& scores, const std::string& key) {
  char text[16] = "–";
  if (scores.is_object() && scores.contains(key) && scores[key].is_number())
    std::snprintf(text, sizeof text, "%5.3f", scores[key].get<double>());
  return text;
}

struct Column {
  std::string title, key;
};

// A row for the model, then one for each baseline.
std::string table_text(
    const std::string& title, const nlohmann::json& model, const nlohmann::json& baselines,
    const std::vector<Column>& columns, int width,
    const std::function<std::string(const nlohmann::json&, const std::string&)>& cell) {
  constexpr int kNameWidth = 22;
  const auto padded = [](const std::string& text, int to, bool left) {
    int shown = 0;
    for (const char c : text)
      shown +=
          (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // characters, not the bytes of a dash
    const std::string space(static_cast<std::size_t>(std::max(0, to - shown)), ' ');
    return left ? text + space : space + text;
  };
  std::string text = padded(title, kNameWidth, true);
  for (const Column& column : columns) text += padded(column.title, width, false);
  const auto row = [&](const std::string& label, const nlohmann::json& scores) {
    text += "\n" + padded(label, kNameWidth, true);
    for (const Column& column : columns) text += padded(cell(scores, column.key), width, false);
  };
  row("this model", model);
  if (baselines.is_object()) {
    for (const auto& [label, scores] : baselines.items()) row(label, scores);
  }
  return text + "\n";
}

}  // namespace

nlohmann::json score_run(const RunFolder& run, const RunConfig& config, const HeldOutImages& images,
                         Progress& progress) {
  const TrainedModel trained = load_model(run, config);
  nlohmann::json result = {{"fg_ari", nullptr},
                           {"ari", nullptr},
                           {"miou", nullptr},
                           {"recognition", nullptr},
                           {"baselines", nullptr}};
  if (images.scored.has_masks()) {
    const EvaluationInput input{
        trained.model, make_model(config), &images.scored,
        images.scored.has_objects() && images.gallery.has_objects() ? &images.gallery : nullptr,
        static_cast<std::uint64_t>(config.seed)};
    result.update(evaluate(input, [&](const std::string& what) {
      if (interrupted())
        throw Interrupted("stopped while scoring; go on with: osc train --resume " +
                          run.path.string());
      progress.show("scoring: " + what);
    }));
  }
  const std::vector<nlohmann::ordered_json> metrics = read_metrics(run);
  result["source"] = images.scored.source;
  result["images"] = images.scored.size();
  result["steps"] = trained.steps;
  result["seconds"] = metrics.empty() ? nlohmann::json(nullptr)
                                      : nlohmann::json(metrics.back().value("seconds", 0.0));
  result["seed"] = config.seed;
  result["objective"] = config.objective;
  return result;
}

void write_result(const RunFolder& run, const nlohmann::json& result) {
  write_file_atomically(run.result(),
                        result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) +
                            "\n");  // a folder's name need not be UTF-8
}

void write_report(const RunFolder& run, const RunConfig& config, const HeldOutImages& images) {
  const TrainedModel trained = load_model(run, config);
  const auto seed = static_cast<std::uint64_t>(config.seed);
  ReportContents contents;
  contents.title = "What osc learned from " + config.data + ": " + run.path.filename().string();
  contents.config_toml = read_file(run.config());
  std::error_code ignored;
  if (std::filesystem::exists(run.result(), ignored)) {
    const std::string again = "; osc eval " + run.path.string() + " makes it again";
    const std::string text = read_file(run.result());
    try {
      contents.result = parse_json(text);
    } catch (const UserError& error) {
      throw UserError(run.result().string() + " " + error.what() + again);
    }
    if (contents.result.is_discarded())
      throw UserError(run.result().string() + " is malformed" + again);
  }
  for (const nlohmann::ordered_json& line : read_metrics(run)) contents.metrics.push_back(line);
  contents.wall =
      wall_items(trained.model, images.scored, std::min(kWallImages, images.scored.size()), seed);
  contents.pairs = matched_views(trained.model, images.scored,
                                 std::min(kMatchedPairs, images.scored.size()), seed);
  contents.retrievals = retrievals(trained.model, images.scored, images.gallery,
                                   std::min(kRetrievals, images.scored.size()), kNearest, seed);
  write_file_atomically(run.report(), render_report(contents));
}

std::string result_text(const nlohmann::json& result) {
  if (!result.contains("masks"))
    return "scored on " + printable(result.value("source", "")) + ": no true masks, so no scores\n";
  std::string text = "scored on " + std::to_string(result.value("images", 0)) +
                     " images: " + printable(result.value("source", "")) + "\n\n";
  const nlohmann::json none;
  const nlohmann::json& baselines =
      result.contains("baselines") && result["baselines"].is_object() ? result["baselines"] : none;
  const auto of = [&](const char* kind) {
    return baselines.is_object() && baselines.contains(kind) ? baselines[kind] : none;
  };
  const auto mask_cell = [](const nlohmann::json& scores, const std::string& view) {
    const nlohmann::json& one =
        scores.is_object() && scores.contains(view) ? scores[view] : nlohmann::json();
    return score_text(one, "fg_ari") + " " + score_text(one, "ari") + " " + score_text(one, "miou");
  };
  text += table_text("FG-ARI, ARI, mIoU", result["masks"], of("masks"),
                     {{"clean", "clean"}, {"weak view", "weak"}, {"strong view", "strong"}}, 20,
                     mask_cell);
  if (result.contains("recognition") && result["recognition"].is_object()) {
    text +=
        "\nRecall at 1: an object of the same shape and colour in other images; this very object "
        "among another view's; and slots matched as their objects are.\n" +
        table_text("", result["recognition"], of("recognition"),
                   {{"same kind", "same_kind"},
                    {"weak", "same_kind_weak"},
                    {"strong", "same_kind_strong"},
                    {"this: weak", "this_object_weak"},
                    {"strong", "this_object_strong"},
                    {"slots: weak", "slot_identity_weak"},
                    {"strong", "slot_identity_strong"}},
                   12, score_text);
  }
  return text;
}

}  // namespace osc::program
