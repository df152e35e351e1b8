#include "report/report.hpp"

#include <optional>
#include <string_view>
#include <vector>

#include "report/html.hpp"
#include "report/numbers.hpp"
#include "report/picture_sections.hpp"
#include "report/stylesheet.hpp"
#include "report/tables.hpp"
#include "report/training_curves.hpp"

namespace osc::program {
namespace {

using nlohmann::json;

struct Section {
  std::string id;
  std::string heading;
  std::string words;  // HTML: a paragraph on what is seen
  std::string body;
};

std::string times_in_100(double share) { return fixed(100 * share, 0) + " times in 100"; }

bool has_scores(const json& result) {
  for (const std::string_view key : {"fg_ari", "ari", "miou"}) {
    if (number_at(result, {key})) return true;
  }
  const json& recognition = value_at(result, {"recognition"});
  if (!recognition.is_object()) return false;
  for (const auto& [key, value] : recognition.items()) {
    if (number_at(recognition, {key})) return true;
  }
  return false;
}

// What was learned, in sentences; only those whose numbers are there.
std::string lead(const json& result) {
  if (!has_scores(result))
    return "This run has no scores: they are computed on images with ground truth. What it found "
           "can be judged by the pictures.";
  std::string text;
  if (const auto miou = number_at(result, {"miou"})) {
    text +=
        "Trained without labels, the model divides an image into regions that overlap the true "
        "objects by " +
        fixed(*miou, 2) + " on average, where 1 is perfect.";
    if (const auto clusters =
            number_at(result, {"baselines", "masks", "kmeans_seeded", "clean", "miou"})) {
      text +=
          " Carefully seeded k-means, which learns nothing, reaches " + fixed(*clusters, 2) + ".";
    }
  }
  if (const auto kind = number_at(result, {"recognition", "same_kind"})) {
    text += " The object most like a given one, in other images, has its shape and colour " +
            times_in_100(*kind) + ".";
  }
  const auto weak = number_at(result, {"recognition", "this_object_weak"});
  const auto strong = number_at(result, {"recognition", "this_object_strong"});
  if (weak || strong) {
    text += " This very object is found again ";
    const auto among = [&](std::string_view key) {
      const auto candidates = number_at(result, {"recognition", key});
      return candidates ? " among " + grouped(*candidates) : std::string();
    };
    if (weak) text += times_in_100(*weak) + among("candidates_weak") + " in slightly changed views";
    if (weak && strong) text += ", and ";
    if (strong)
      text += times_in_100(*strong) + among("candidates_strong") + " in strongly changed ones";
    text += ".";
  }
  return text;
}

std::string score_list(const json& result) {
  struct Item {
    std::optional<double> value;
    std::string_view name;
  };
  const std::vector<Item> items = {
      {number_at(result, {"fg_ari"}), "FG-ARI"},
      {number_at(result, {"ari"}), "ARI"},
      {number_at(result, {"miou"}), "mIoU"},
      {number_at(result, {"recognition", "same_kind"}), "same kind, in other images"},
      {number_at(result, {"recognition", "this_object_weak"}), "this very object, weak views"},
      {number_at(result, {"recognition", "this_object_strong"}), "this very object, strong views"},
  };
  if (!has_scores(result)) return "";
  std::string html = "<dl class=\"scores\">\n";
  for (const Item& item : items)
    html +=
        "<div><dt>" + std::string(item.name) + "</dt><dd>" + score(item.value) + "</dd></div>\n";
  return html + "</dl>\n";
}

std::string facts(const json& result) {
  std::string html;
  const auto add = [&html](std::string_view name, const std::string& value) {
    html += "<span>" + std::string(name) + " <b>" + escape_html(value) + "</b></span>\n";
  };
  if (const auto steps = number_at(result, {"steps"})) add("steps", grouped(*steps));
  if (const auto seconds = number_at(result, {"seconds"})) add("training", duration(*seconds));
  if (const json& seed = value_at(result, {"seed"}); seed.is_number_integer())
    add("seed", seed.dump());
  if (const json& source = value_at(result, {"source"}); source.is_string())
    add("scored on", source.get<std::string>());
  if (const auto images = number_at(result, {"images"})) add("images scored", grouped(*images));
  return html.empty() ? "" : "<p class=\"facts\">\n" + html + "</p>\n";
}

std::string how_to_read(const json& result) {
  std::string items;
  const auto add = [&items](std::string_view name, const std::string& words) {
    items += "<li><strong>" + std::string(name) + "</strong> " + words + "</li>\n";
  };
  const json& mask_baselines = value_at(result, {"baselines", "masks"});
  const json& recognition_baselines = value_at(result, {"baselines", "recognition"});

  if (number_at(result, {"fg_ari"})) {
    add("The three mask scores belong together.",
        "FG-ARI asks whether the pixels of true objects are grouped as in the truth, and leaves "
        "the background out. ARI asks it of all pixels. mIoU is the mean "
        "overlap of each true object with the slot matched to it. FG-ARI alone misleads: plain "
        "image regions, with no notion of an object, score 0.6 to 0.7.");
  }
  if (number_at(result, {"masks", "weak", "fg_ari"}) ||
      number_at(result, {"recognition", "this_object_weak"})) {
    add("Views",
        "are random changes of an image: weak ones are cropped a little and changed in brightness, "
        "contrast and colour; strong ones are cropped further and may be "
        "mirrored.");
  }
  if (mask_baselines.contains("kmeans_seeded")) {
    const auto pair = [](const json& scores) {
      return score(number_at(scores, {"fg_ari"})) + " and mIoU " +
             score(number_at(scores, {"miou"}));
    };
    add("Clean scenes are a smoke test.",
        "On simple synthetic scenes a careful k-means finds objects as well as learning does. In "
        "this run it reaches FG-ARI " +
            pair(value_at(mask_baselines, {"kmeans_seeded", "clean"})) + ", the model " +
            pair(result) +
            ". A claim about finding objects needs harder images than those on which the two are "
            "close.");
  }
  if (value_at(result, {"recognition"}).is_object()) {
    add("Recognition",
        "is measured on the model’s own masks. Same kind: the nearest object in other images has "
        "the same shape and colour. This very object: the nearest of all "
        "objects in the other views is this one, which is harder the more there are. Slot "
        "identity: the matching of the loss joins the slots of one object in two "
        "views.");
  }
  if (recognition_baselines.contains("untrained_embedding") ||
      recognition_baselines.contains("template")) {
    add("The crop keeps the shape.",
        "An embedding sees each object cut out and centred. That already carries shape and colour: "
        "the rows without learning show how far it goes, and only what "
        "lies above them was learned.");
  }
  if (recognition_baselines.contains("random_matching")) {
    const json& random = recognition_baselines.at("random_matching");
    const auto against = [&](std::string_view key) {
      return score(number_at(result, {"recognition", key})) + " against " +
             score(number_at(random, {key}));
    };
    add("What matching the slots buys",
        "is the difference to “Matched at random”, trained alike but with slots paired by chance. "
        "Here: same kind, clean, " +
            against("same_kind") + "; this very object, weak views, " +
            against("this_object_weak") + "; strong views, " + against("this_object_strong") +
            ". It may go either way from column to column. No matching loss finds the objects: in "
            "the recipe the masks come from explaining the image.");
  }
  return items.empty() ? "" : "<ul>\n" + items + "</ul>\n";
}

std::vector<Section> sections(const ReportContents& contents) {
  const json& result = contents.result;
  std::string config;
  if (!contents.config_toml.empty())
    config = "<pre>" + escape_html(contents.config_toml) + "</pre>\n";
  return {
      {"wall", "What it finds",
       "Each row: the image, the truth where it is known, what the model found, and the region of "
       "each slot alone with the rest faded. Truth and prediction share "
       "colours where a slot and an object overlap most.",
       wall_html(contents.wall)},
      {"matching", "Two views, one matching",
       "Two random views of one image and the slots found in each. Lines join the slots that the "
       "matching of the loss pairs, with the cosine of their features.",
       pairs_html(contents.pairs)},
      {"retrieval", "This object, and the nearest ones",
       "On the left an object; then the most similar ones in other images, with the cosine of "
       "their embeddings. A tick marks the same shape and colour, a cross any "
       "other, where the truth is known.",
       retrievals_html(contents.retrievals)},
      {"scores", "Scores beside baselines",
       "All rows were computed in one run on the same images. A dash stands where a number could "
       "not be computed.",
       mask_table_html(result) + recognition_table_html(result)},
      {"reading", "How to read this", "", how_to_read(result)},
      {"curves", "Training",
       "Points are single measurements, lines their moving average; the number is where the "
       "average ends.",
       training_curves_html(contents.metrics)},
      {"configuration", "Configuration", "Everything that was chosen for this run.", config},
  };
}

}  // namespace

std::string render_report(const ReportContents& contents) {
  std::string navigation;
  std::string body;
  for (const Section& section : sections(contents)) {
    if (section.body.empty()) continue;
    navigation += "<a href=\"#" + section.id + "\">" + section.heading + "</a>\n";
    body += "<section id=\"" + section.id + "\">\n<h2>" + section.heading + "</h2>\n";
    if (!section.words.empty()) body += "<p>" + section.words + "</p>\n";
    body += section.body + "</section>\n";
  }
  const std::string title = escape_html(contents.title);
  std::string html =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta "
      "name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  html += "<title>" + title + "</title>\n<style>";
  html += report_stylesheet();
  html += "</style>\n</head>\n<body>\n<main>\n<header>\n<h1>" + title + "</h1>\n";
  html += "<p class=\"lead\">" + lead(contents.result) + "</p>\n" + score_list(contents.result) +
          facts(contents.result);
  if (!navigation.empty()) html += "<nav>\n" + navigation + "</nav>\n";
  html += "</header>\n" + body + "</main>\n</body>\n</html>\n";
  return html;
}

}  // namespace osc::program
