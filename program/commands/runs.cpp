#include "commands/runs.hpp"

#include <torch/torch.h>

#include <algorithm>

#include "evaluation/evaluate.hpp"
#include "evaluation/pictures.hpp"
#include "osc/system.hpp"
#include "report/numbers.hpp"
#include "report/report.hpp"
#include "report/views.hpp"
#include "support/error.hpp"
#include "support/files.hpp"
#include "support/json.hpp"
#include "support/text.hpp"
#include "training/trainer.hpp"

namespace osc::program {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

// Numbers of pictures in the report.
constexpr std::int64_t kWallImages = 24;
constexpr std::int64_t kMatchedPairs = 8;
constexpr std::int64_t kRetrievals = 12;
constexpr std::int64_t kNearest = 8;

struct Column {
  std::string title;
  std::vector<std::string> scores;  // JSON pointers into a row of tables_view()
};

// A table of tables_view() as text; empty if there is no such table.
std::string table_text(const json& table, const std::string& title,
                       const std::vector<Column>& columns, std::size_t width) {
  constexpr std::size_t kNameWidth = 28;
  if (!table.is_object()) return "";
  const auto space = [](const std::string& text, std::size_t to) {
    const auto is_character = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
    const auto shown = static_cast<std::size_t>(std::ranges::count_if(text, is_character));
    return std::string(to - std::min(shown, to), ' ');
  };
  std::string text = "\n" + title + space(title, kNameWidth);
  for (const Column& column : columns) text += space(column.title, width) + column.title;
  for (const json& row : table["rows"]) {
    const std::string name = printable(std::string(row["name"]));
    text += "\n" + name + space(name, kNameWidth);
    for (const Column& column : columns) {
      std::string cell;
      for (const std::string& pointer : column.scores)
        cell += (cell.empty() ? "" : " ") + std::string(value_at(row, pointer + "/score"));
      text += space(cell, width) + cell;
    }
  }
  return text + "\n";
}

Column mask_column(const std::string& title, const std::string& view) {
  return {title, {view + "/fg_ari", view + "/ari", view + "/miou"}};
}

}  // namespace

int use_threads(std::int64_t wanted) {
  const int threads = wanted > 0 ? static_cast<int>(wanted) : available_cores();
  torch::set_num_threads(threads);
  return threads;
}

void check_run_outputs(const RunFolder& run, const RunConfig& config,
                       const std::vector<fs::path>& outputs, std::vector<fs::path> inputs) {
  for (const fs::path& file : run.files()) {
    if (std::ranges::find(outputs, file) == outputs.end()) inputs.push_back(file);
  }
  std::ranges::move(data_files(config), std::back_inserter(inputs));
  std::vector<Output> named;
  for (const fs::path& path : outputs) named.push_back({path.string(), path});
  check_outputs(named, inputs);
}

ObjectIndex index_single_image(const Model& model, const RunConfig& config, const Image& image,
                               const std::string& name) {
  ImageSet set;
  set.source = name;
  set.side = static_cast<int>(config.image_size);
  set.names = {name};
  set.pixels = image.pixels;
  return build_object_index(model, set, static_cast<std::uint64_t>(config.seed));
}

json score_run(const RunFolder& run, const RunConfig& config, const RunImages& images,
               Progress& progress) {
  const TrainedModel trained = load_model(run, config);
  const bool has_labels = images.scored.has_objects() && images.gallery.has_objects();
  const EvaluationInput input{trained.model, make_model(config), &images.scored,
                              has_labels ? &images.gallery : nullptr,
                              static_cast<std::uint64_t>(config.seed)};
  json result = evaluate(input, [&](const std::string& what) {
    if (interrupted())
      throw Interrupted("stopped while scoring; go on with: osc train --resume " +
                        run.path.string());
    progress.show("scoring: " + what);
  });
  const std::vector<nlohmann::ordered_json> metrics = read_metrics(run);
  result["steps"] = trained.steps;
  result["seconds"] = metrics.empty() ? json(nullptr) : json(metrics.back().value("seconds", 0.0));
  result["seed"] = config.seed;
  result["objective"] = config.objective;
  return result;
}

void write_result(const RunFolder& run, const json& result) {
  write_file_atomically(run.result(), json_text(result, 2) + "\n");
}

void write_report(const RunFolder& run, const RunConfig& config, const RunImages& images) {
  const Model model = load_model(run, config).model;
  const auto seed = static_cast<std::uint64_t>(config.seed);
  const std::int64_t count = images.scored.size();
  ReportContents contents;
  contents.title = "What osc learned from " + config.data + ": " + run.path.filename().string();
  contents.config_toml = read_file(run.config());
  std::error_code ignored;
  if (fs::exists(run.result(), ignored)) {
    const std::string file = run.result().string();
    contents.result = with_prefix(file + " ", [&] { return parse_json(read_file(run.result())); });
    if (contents.result.is_discarded())
      throw UserError(file + " is malformed; osc eval " + run.path.string() + " writes it again");
  }
  for (const nlohmann::ordered_json& line : read_metrics(run)) contents.metrics.push_back(line);
  contents.wall = wall_items(model, images.scored, std::min(kWallImages, count), seed);
  contents.pairs = matched_views(model, images.scored, std::min(kMatchedPairs, count), seed);
  contents.retrievals = retrievals(model, images.scored, images.gallery,
                                   std::min(kRetrievals, count), kNearest, seed);
  write_file_atomically(run.report(), render_report(contents));
}

std::string result_text(const json& result) {
  const std::string source = printable(result.value("source", ""));
  const json tables = tables_view(result);
  if (tables.is_null()) return "scored on " + source + ": no ground truth, hence no scores\n";
  std::string text =
      "scored on " + std::to_string(result.value("images", 0)) + " images: " + source + "\n";
  text += table_text(value_at(tables, "/masks"), "FG-ARI, ARI, mIoU",
                     {mask_column("clean", "/clean"), mask_column("weak views", "/weak"),
                      mask_column("strong views", "/strong")},
                     20);
  text += table_text(value_at(tables, "/recognition"), "recall at 1",
                     {{"category", {"/category_recall"}},
                      {"weak", {"/category_recall_weak"}},
                      {"strong", {"/category_recall_strong"}},
                      {"instance: weak", {"/instance_recall_weak"}},
                      {"strong", {"/instance_recall_strong"}},
                      {"matching: weak", {"/matching_accuracy_weak"}},
                      {"strong", {"/matching_accuracy_strong"}}},
                     15);
  return text;
}

}  // namespace osc::program
