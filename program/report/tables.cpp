#include "report/tables.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "report/html.hpp"
#include "report/numbers.hpp"

namespace osc::program {
namespace {

struct RowName {
  std::string_view key;
  std::string_view name;
  std::string_view words;
};

constexpr RowName kModelMasks = {
    "", "This model",
    "each pixel goes to the slot that explains it best; the best of several random starts"};
constexpr RowName kModelRecognition = {"", "This model",
                                       "the embedding: what it is and which one it is, together"};

// In the order in which a reader wants to compare them.
constexpr RowName kMaskBaselines[] = {
    {"one_start", "One start", "as above, from a single random start"},
    {"attention", "Attention", "the slots’ attention enlarged to pixels, the usual reading"},
    {"untrained", "Untrained", "the same networks before training"},
    {"kmeans_seeded", "k-means, seeded",
     "no learning: farthest-point seeds on the same colours and positions, pixels read by the same "
     "rule"},
    {"kmeans_colour", "k-means on colour", "no learning: the colours of the pixels alone"},
};
constexpr RowName kRecognitionBaselines[] = {
    {"what", "what, alone", "the part of the embedding for the kind of object"},
    {"which", "which, alone", "the part of the embedding for this very object"},
    {"random_matching", "Matched at random",
     "trained alike, but with the slots of two views paired at random"},
    {"which_random_matching", "which, matched at random", "its part for this very object"},
    {"untrained_embedding", "Untrained embedding",
     "the embedding’s networks before training, on this model’s masks"},
    {"which_untrained", "which, untrained", "its part for this very object"},
    {"slot_feature", "Slot feature", "the feature that found the object, as it is"},
    {"template", "Template by hand", "no learning: the object’s shape and mean colour"},
    {"template_position", "Template and place",
     "no learning: the same, with the object’s position"},
    {"untrained", "Untrained", "masks and embedding of the networks before training"},
};

struct Column {
  std::string name;
  std::vector<std::string_view> path;  // within a row's scores
};

struct ColumnGroup {
  std::string name;
  std::vector<Column> columns;
};

struct Row {
  std::string name;
  std::string words;
  std::vector<std::optional<double>> values;
};

std::optional<double> at_path(const nlohmann::json& scores,
                              const std::vector<std::string_view>& path) {
  const nlohmann::json* here = &scores;
  for (std::size_t i = 0; i + 1 < path.size(); ++i) here = &value_at(*here, {path[i]});
  return number_at(*here, {path.back()});
}

Row read_row(std::string name, std::string words, const nlohmann::json& scores,
             const std::vector<ColumnGroup>& groups) {
  Row row{std::move(name), std::move(words), {}};
  for (const ColumnGroup& group : groups) {
    for (const Column& column : group.columns) row.values.push_back(at_path(scores, column.path));
  }
  return row;
}

template <std::size_t N>
std::vector<Row> read_rows(const RowName& model, const nlohmann::json& model_scores,
                           const RowName (&known)[N], const nlohmann::json& baselines,
                           const std::vector<ColumnGroup>& groups) {
  std::vector<Row> rows;
  rows.push_back(read_row(std::string(model.name), std::string(model.words), model_scores, groups));
  for (const RowName& name : known) {
    const nlohmann::json& scores = value_at(baselines, {name.key});
    if (scores.is_object())
      rows.push_back(read_row(std::string(name.name), std::string(name.words), scores, groups));
  }
  if (!baselines.is_object()) return rows;
  for (const auto& [key, scores] : baselines.items()) {
    const bool is_known =
        std::any_of(std::begin(known), std::end(known),
                    [&key = key](const RowName& name) { return name.key == key; });
    if (!is_known && scores.is_object()) rows.push_back(read_row(key, "", scores, groups));
  }
  return rows;
}

// Of each column, the best value as it is printed, so that rows that read the same are marked
// alike.
std::vector<std::string> best_values(const std::vector<Row>& rows) {
  std::vector<std::string> best(rows.front().values.size());
  for (std::size_t c = 0; c < best.size(); ++c) {
    std::optional<double> highest;
    for (const Row& row : rows) highest = std::max(highest, row.values[c]);
    if (highest) best[c] = score(highest);
  }
  return best;
}

std::string table(const std::string& caption, const std::string& corner,
                  const std::vector<ColumnGroup>& groups, const std::vector<Row>& rows) {
  const bool any = std::any_of(rows.begin(), rows.end(), [](const Row& row) {
    return std::any_of(row.values.begin(), row.values.end(),
                       [](const auto& value) { return value.has_value(); });
  });
  if (!any) return "";

  std::string html = "<figure class=\"table\"><figcaption>" + caption +
                     "</figcaption>\n<div class=\"scroll\"><table>\n";
  html += "<thead>\n<tr><th scope=\"col\" rowspan=\"2\">" + corner + "</th>";
  for (const ColumnGroup& group : groups) {
    html += "<th scope=\"colgroup\" class=\"group\" colspan=\"" +
            std::to_string(group.columns.size()) + "\">" + escape_html(group.name) + "</th>";
  }
  html += "</tr>\n<tr>";
  for (const ColumnGroup& group : groups) {
    for (std::size_t c = 0; c < group.columns.size(); ++c) {
      html += std::string("<th scope=\"col\"") + (c == 0 ? " class=\"first\">" : ">") +
              escape_html(group.columns[c].name) + "</th>";
    }
  }
  html += "</tr>\n</thead>\n<tbody>\n";

  const std::vector<std::string> best = best_values(rows);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    html += std::string(r == 0 ? "<tr class=\"model\">" : "<tr>") + "<th scope=\"row\">" +
            escape_html(rows[r].name);
    if (!rows[r].words.empty()) html += "<small>" + escape_html(rows[r].words) + "</small>";
    html += "</th>";
    std::size_t c = 0;
    for (const ColumnGroup& group : groups) {
      for (std::size_t in_group = 0; in_group < group.columns.size(); ++in_group, ++c) {
        const std::string value = score(rows[r].values[c]);
        html += std::string("<td") + (in_group == 0 ? " class=\"first\">" : ">");
        html += value == best[c] ? "<strong>" + value + "</strong>" : value;
        html += "</td>";
      }
    }
    html += "</tr>\n";
  }
  return html + "</tbody>\n</table></div></figure>\n";
}

std::string among(const nlohmann::json& result, std::string_view key) {
  const std::optional<double> candidates = number_at(result, {"recognition", key});
  return candidates ? ", among " + grouped(*candidates) : "";
}

}  // namespace

std::string mask_table_html(const nlohmann::json& result) {
  std::vector<ColumnGroup> groups;
  for (const auto& [key, name] : {std::pair<std::string_view, std::string>("clean", "Clean images"),
                                  {"weak", "Weak views"},
                                  {"strong", "Strong views"}}) {
    groups.push_back(
        {name, {{"FG-ARI", {key, "fg_ari"}}, {"ARI", {key, "ari"}}, {"mIoU", {key, "miou"}}}});
  }
  nlohmann::json model = value_at(result, {"masks"});
  if (!model.is_object()) {
    model = {{"clean",
              {{"fg_ari", value_at(result, {"fg_ari"})},
               {"ari", value_at(result, {"ari"})},
               {"miou", value_at(result, {"miou"})}}}};
  }
  return table("Finding objects. The best of each column is in bold; 1 is perfect.", "Masks from",
               groups,
               read_rows(kModelMasks, model, kMaskBaselines,
                         value_at(result, {"baselines", "masks"}), groups));
}

std::string recognition_table_html(const nlohmann::json& result) {
  const std::vector<ColumnGroup> groups = {
      {"Same kind, in other images",
       {{"clean", {"same_kind"}}, {"weak", {"same_kind_weak"}}, {"strong", {"same_kind_strong"}}}},
      {"This very object",
       {{"weak" + among(result, "candidates_weak"), {"this_object_weak"}},
        {"strong" + among(result, "candidates_strong"), {"this_object_strong"}}}},
      {"Slot identity", {{"weak", {"slot_identity_weak"}}, {"strong", {"slot_identity_strong"}}}},
  };
  return table(
      "Recognising objects. Shares of objects; the best of each column is in bold.",
      "Objects compared by", groups,
      read_rows(kModelRecognition, value_at(result, {"recognition"}), kRecognitionBaselines,
                value_at(result, {"baselines", "recognition"}), groups));
}

}  // namespace osc::program
