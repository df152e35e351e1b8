#include "report/report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "page_check.hpp"
#include "report/drawing.hpp"
#include "report/templates.hpp"
#include "report/views.hpp"

namespace osc::program {
namespace {

using nlohmann::json;
using test::Page;
using test::Texts;

// Vertical stripes of 0 … slots-1.
Mask stripes(int slots, int side = 36) {
  Mask mask{side, side, std::vector<std::uint8_t>(static_cast<std::size_t>(side) * side)};
  for (int i = 0; i < side * side; ++i)
    mask.values[i] = static_cast<std::uint8_t>(i % side * slots / side);
  return mask;
}

json mask_scores(double fg_ari, double ari, double miou) {
  return {{"fg_ari", fg_ari}, {"ari", ari}, {"miou", miou}};
}

// Seven scores, each 0.1 above the one before it.
json recognition_scores(double value) {
  json scores = {{"candidates_weak", 1197}, {"candidates_strong", 1140}};
  for (const char* key :
       {"category_recall", "category_recall_weak", "category_recall_strong", "instance_recall_weak",
        "instance_recall_strong", "matching_accuracy_weak", "matching_accuracy_strong"}) {
    scores[key] = value;
    value += 0.1;
  }
  return scores;
}

json full_result() {
  const json masks = {{"clean", mask_scores(0.91, 0.92, 0.93)},
                      {"weak", mask_scores(0.81, 0.82, 0.83)},
                      {"strong", mask_scores(0.71, 0.72, 0.73)}};
  json result = mask_scores(0.973, 0.963, 0.953);
  result.update({{"masks", masks}, {"recognition", recognition_scores(0.2)}, {"images", 400}});
  result.update({{"source", "scenes"}, {"steps", 2600}, {"seconds", 271.4}, {"seed", 1234567}});
  for (const char* key : {"untrained", "attention", "one_start", "kmeans_colour", "kmeans_seeded"})
    result["baselines"]["masks"][key] = masks;
  for (const char* key :
       {"slot_feature", "template", "template_position", "untrained_embedding", "random_matching",
        "category", "instance", "instance_random_matching", "instance_untrained", "untrained"})
    result["baselines"]["recognition"][key] = recognition_scores(0.1);
  return result;
}

std::vector<json> some_metrics() {
  std::vector<json> metrics;
  for (int step = 1; step <= 350; ++step) {
    json line = {{"stage", step <= 300 ? 1 : 2}, {"step", step}, {"loss", 2.0 / step}};
    if (step <= 300) line.update({{"explain", 2.0 / step}, {"gradient_norm", 1}, {"seconds", 1}});
    if (step > 300) line.update({{"contrastive", 1}, {"global", 2}, {"control", 4}});
    if (step % 100 == 0) line.update(mask_scores(0.9, 0.8, 0.7));
    line["images_per_second"] = step <= 300 ? 200 : 130;
    metrics.push_back(line);
  }
  return metrics;
}

struct Samples {
  int side = 36;
  std::mt19937 random{3};

  Image image() { return test::noise(random, side, side); }
  WallItem wall_item() { return {"0", image(), stripes(3, side), stripes(4, side), 4}; }
  MatchedViews pair() {
    const Mask slots = stripes(4, side);
    return {"a pair", {image(), image()}, {slots, slots}, {1, 0, 3, 2}, {0.91, 0.82, 0.73, -0.62}};
  }
  ObjectView object(int slot, double similarity, std::optional<bool> same_category) {
    return {"object", image(), stripes(4, side), slot, similarity, same_category};
  }
  ReportContents full() {
    ReportContents contents{"Tetrominoes", "seed = 7\n", full_result(), some_metrics(), {}, {}, {}};
    for (int i = 0; i < 24; ++i) contents.wall.push_back(wall_item());
    for (int i = 0; i < 6; ++i) contents.pairs.push_back(pair());
    for (int i = 0; i < 12; ++i) {
      contents.retrievals.push_back({object(1, 1, {}), {}});
      for (int k = 0; k < 8; ++k)
        contents.retrievals.back().nearest.push_back(object(k % 4, 0.95 - 0.1 * k, k < 5));
    }
    return contents;
  }
};

// The page, which must have these sections.
Page page_of(const ReportContents& contents, const Texts& sections) {
  Page page = test::read_page(render_report(contents));
  EXPECT_EQ(page.errors, Texts());
  EXPECT_EQ(page.texts("section", "id"), sections);
  EXPECT_EQ(page.texts("a"), page.texts("h2")) << "a link to each section";
  return page;
}

Page page_of_result(const json& result, const Texts& sections = {"scores", "reading"}) {
  return page_of({"", "", result, {}, {}, {}, {}}, sections);
}

Page page_of_metrics(const std::vector<json>& metrics, const Texts& sections = {"curves"}) {
  return page_of({"", "", {}, metrics, {}, {}, {}}, sections);
}

const Texts kSections = {"wall",    "matching", "retrieval",    "scores",
                         "reading", "curves",   "configuration"};

TEST(Report, IsOneSelfContainedFileOfModestSize) {
  for (const int side : {36, 128}) {
    const ReportContents contents = Samples{side}.full();
    const std::string html = render_report(contents);
    EXPECT_TRUE(html.starts_with("<!DOCTYPE html>\n") && html.ends_with("</html>\n"));
    EXPECT_NE(html.find("--paper: #fdfdfb"), std::string::npos) << "the style sheet";
    for (const char* outside : {"http", "url(", "@import"})
      EXPECT_EQ(html.find(outside), std::string::npos) << outside;
    EXPECT_LT(html.size(), side == 36 ? 3'000'000U : 7'000'000U) << "and images of noise";
    const Page page = page_of(contents, kSections);
    EXPECT_EQ(page.texts("h1"), Texts{"Tetrominoes"});
    EXPECT_EQ(page.texts("pre"), Texts{"seed = 7"});
    EXPECT_EQ(page.texts("img", "width"), Texts(24 * 7 + 12 * 9, side == 36 ? "36" : "72"));
    EXPECT_EQ(page.texts("img.sharp").empty(), side == 128);
  }
}

TEST(Report, SaysWhatWasLearned) {
  const Page page = page_of_result(full_result());
  EXPECT_EQ(page.texts("small").size(), 6U + 11U) << "the model and every baseline explained";
  for (const char* words :
       {"by 0.95 on average", "Seeded k-means, which learns nothing, reaches 0.93.",
        "its category in 20% of cases", "found again in 50% of cases, among 1,197 objects.",
        "in 60% of cases, among 1,140", "steps 2,600 training time 4 min 31 s seed 1234567",
        "scored on scenes images scored 400", "reaches FG-ARI 0.910 and mIoU 0.930",
        "the model 0.973 and 0.953", "on clean images: 0.200 against 0.100",
        "in weak views: 0.500 against 0.400; in strong views: 0.600 against 0.500"})
    EXPECT_TRUE(page.says(words)) << words;
  EXPECT_EQ(page.texts("dd"), (Texts{"0.973", "0.963", "0.953", "0.200", "0.500", "0.600"}));
}

TEST(Report, StandsAnyResult) {
  for (const json& result : {json(nullptr), json::object(), json::array({1, 2}), json(3)})
    EXPECT_TRUE(page_of_result(result, {}).says("no scores")) << result;
  const Page old = page_of_result(mask_scores(0.5, 0.6, 0.7));
  EXPECT_EQ(old.texts("dd"), (Texts{"0.500", "0.600", "0.700", "–", "–", "–"}));
  EXPECT_TRUE(old.texts("tr").back().ends_with("0.500 0.600 0.700 – – – – – –"));
  const Page odd = page_of_result(json::parse(R"({
      "fg_ari": "high", "ari": null, "miou": 0.5, "masks": 3, "recognition": [1, 2], "seed": "x",
      "baselines": "none", "steps": [1, 2], "seconds": null, "source": 4, "images": -1})"));
  EXPECT_EQ(odd.texts("dd"), (Texts{"–", "–", "0.500", "–", "–", "–"}));
  EXPECT_EQ(odd.texts("p.facts"), Texts{"images scored −1"});
  page_of_result(json::parse(R"({"baselines": {
      "masks": {"kmeans_seeded": 3, "other": null},
      "recognition": {"random_matching": {"category_recall": "?"}}}})"),
                 {});
}

TEST(Report, EscapesEveryText) {
  const std::string hostile = "</style></script><b x=\"1' & {{title}} {{>page.html}} \xFF\x01>";
  const std::string shown = "</style></script><b x=\"1' & {{title}} {{>page.html}} \uFFFD\uFFFD>";
  ReportContents contents = Samples{}.full();
  contents.title = contents.config_toml = contents.wall[0].name = contents.pairs[0].name = hostile;
  contents.retrievals[0].query.name = contents.retrievals[0].nearest[0].name = hostile;
  contents.result["source"] = hostile;
  for (const char* table : {"masks", "recognition"})
    contents.result["baselines"][table][hostile] = {{"category_recall", 1}};
  contents.metrics[0]["stage"] = hostile;
  contents.metrics[1][hostile] = 3;
  const Page page = page_of(contents, kSections);
  std::multiset<std::string> places;
  for (const test::Element& element : page.elements) {
    if (element.text.find(shown) != std::string::npos) places.insert(element.name);
    for (const auto& [name, value] : element.attributes)
      if (value.find(shown) != std::string::npos) places.insert(element.name + " " + name);
  }
  // Two tables' rows; a query, its neighbour and a row of the wall; a pair and two charts.
  for (const auto& [place, count] : {std::pair("title", 1),
                                     {"h1", 1},
                                     {"pre", 1},
                                     {"b", 1},
                                     {"th", 2},
                                     {"h3", 1},
                                     {"figcaption", 2},
                                     {"div title", 3},
                                     {"img alt", 3},
                                     {"svg aria-label", 4}})
    EXPECT_EQ(places.count(place), count) << place;
  for (const Template& part : templates()) {
    for (const char* unescaped : {"{{{", "{{&"})
      EXPECT_EQ(part.text.find(unescaped), std::string_view::npos) << part.file;
  }
}

TEST(Wall, ShowsImageTruthPredictionAndEachSlot) {
  const WallItem item = Samples{}.wall_item();
  ReportContents contents;
  contents.wall = {item};
  const Page page = page_of(contents, {"wall"});
  std::vector<Image> expected = {
      item.image, draw_overlay(item.image, numbered_like(*item.truth, item.prediction)),
      draw_overlay(item.image, item.prediction)};
  for (int slot = 0; slot < 4; ++slot)
    expected.push_back(draw_single_region(item.image, item.prediction, slot));
  Texts sources;
  for (const Image& image : expected) sources.push_back(png_data_uri(image));
  EXPECT_EQ(page.texts("img", "src"), sources);
  EXPECT_EQ(page.texts("div.tile"), (Texts{"image 0", "truth", "prediction", "0", "1", "2", "3"}));

  // Without truth, with slots without pixels, and wide.
  contents.wall = {{"a", Image{300, 150, std::vector<std::uint8_t>(300 * 150 * 3, 90)},
                    std::nullopt, Mask{300, 150, std::vector<std::uint8_t>(300 * 150, 1)}, 11}};
  EXPECT_EQ(page_of(contents, {"wall"}).texts("img", "height"), Texts(13, "36"));
}

TEST(NumberedLike, GivesObjectsTheNumbersOfTheirSlots) {
  using Values = std::vector<std::uint8_t>;
  const Mask truth{6, 1, {0, 0, 0, 1, 1, 2}};
  EXPECT_EQ(numbered_like(truth, {6, 1, {3, 3, 3, 0, 0, 1}}).values, (Values{3, 3, 3, 0, 0, 1}));
  // Object 2 shares its slot with object 1, which fills more of it: it gets a number that no slot
  // of the image has.
  EXPECT_EQ(numbered_like(truth, {6, 1, {1, 1, 1, 0, 0, 0}}).values, (Values{1, 1, 1, 0, 0, 2}));
  EXPECT_TRUE(numbered_like({}, {}).values.empty());
}

TEST(Matching, JoinsTheMatchedSlots) {
  const MatchedViews pair = Samples{}.pair();
  ReportContents contents;
  contents.pairs = {pair};
  const Page page = page_of(contents, {"matching"});
  EXPECT_EQ(page.texts("text"), (Texts{"0.91", "0.82", "0.73", "−0.62"}));
  EXPECT_EQ(page.texts("figcaption"), Texts{"a pair mean cosine similarity 0.46"});
  // Slot 0 is the first of four stripes in the first view, its match the second one in the second
  // view: from x = 180 / 8 to 180 + 110 + 180 · 3 / 8.
  const std::string line = page.texts("path.join", "d")[0];
  EXPECT_TRUE(line.starts_with("M22.5 90C") && line.ends_with(" 357.5 90")) << line;
  // Joined slots share a colour: the second view is drawn under the first view's numbers.
  Mask renumbered = stripes(4);
  for (std::uint8_t& value : renumbered.values) value = static_cast<std::uint8_t>(value ^ 1U);
  EXPECT_EQ(page.texts("image.sharp", "href"),
            (Texts{png_data_uri(draw_overlay(pair.view[0], pair.slot[0])),
                   png_data_uri(draw_overlay(pair.view[1], renumbered))}));

  // Slots without pixels, matches that are none, cosines that are missing or not finite.
  contents.pairs[0].slot[0] = stripes(2);
  contents.pairs[0].match = {0, 1, 2, -1, 900};
  contents.pairs[0].cosine = {0.9, std::nan("")};
  const Page partial = page_of(contents, {"matching"});
  EXPECT_EQ(partial.texts("text"), (Texts{"0.90", "–"}));
  EXPECT_TRUE(partial.texts("figcaption")[0].ends_with(
      "similarity 0.90 matches of slots without pixels, not drawn: 3"));
  contents.pairs[0].match.clear();
  EXPECT_TRUE(page_of(contents, {"matching"}).texts("path").empty());
}

TEST(Retrieval, MarksTheCategoryInWordsAndShape) {
  Samples samples;
  Retrieval retrieval{samples.object(2, 1, {}), {}};
  for (const std::optional<bool> same : {std::optional<bool>(true), {false}, {std::nullopt}})
    retrieval.nearest.push_back(samples.object(1, 0.75, same));
  ReportContents contents;
  contents.retrievals = {retrieval};
  const Page page = page_of(contents, {"retrieval"});
  EXPECT_EQ(page.texts("div.tile"), (Texts{"query", "0.75", "0.75", "0.75"}));
  EXPECT_EQ(page.texts("svg", "aria-label"), (Texts{"same category", "another category"}));
  Texts sources = {
      png_data_uri(draw_single_region(retrieval.query.image, retrieval.query.mask, 2))};
  for (const ObjectView& object : retrieval.nearest)
    sources.push_back(png_data_uri(draw_single_region(object.image, object.mask, 1)));
  EXPECT_EQ(page.texts("img", "src"), sources);
  contents.retrievals[0].nearest.clear();
  EXPECT_TRUE(page_of(contents, {"retrieval"}).says("no other object"));
}

TEST(Tables, ShowEachScoreInItsColumnTheBestInBold) {
  json result = full_result();
  result["baselines"] = json::parse(R"({"masks": {
      "kmeans_seeded": {"clean": {"fg_ari": 0.95, "ari": 0.9204, "miou": null}},
      "new_idea": {"clean": {"fg_ari": -0.1}}}})");
  const Page page = page_of_result(result);
  const Texts rows = page.texts("tr");
  const std::string dashes = " – – – – – –";
  ASSERT_EQ(rows.size(), 8U);
  EXPECT_TRUE(rows[2].ends_with(" 0.910 0.920 0.930 0.810 0.820 0.830 0.710 0.720 0.730"));
  EXPECT_TRUE(rows[3].ends_with(" 0.950 0.920 –" + dashes)) << rows[3];
  EXPECT_EQ(rows[4], "new_idea −0.100 – –" + dashes);
  EXPECT_EQ(rows[6], "clean weak strong weak, among 1,197 strong, among 1,140 weak strong");
  EXPECT_TRUE(rows[7].ends_with(" 0.200 0.300 0.400 0.500 0.600 0.700 0.800"));
  Texts best = page.texts("strong");
  std::erase_if(best, [](const std::string& text) { return !text.starts_with("0."); });
  EXPECT_EQ(best,
            (Texts{"0.920", "0.930", "0.810", "0.820", "0.830", "0.710", "0.720", "0.730", "0.950",
                   "0.920", "0.200", "0.300", "0.400", "0.500", "0.600", "0.700", "0.800"}))
      << "scores that print alike are marked alike";
}

TEST(TrainingCurves, HaveAPanelForEachTermOfEachStage) {
  const Page page = page_of_metrics(some_metrics());
  // Stage 1: explain, which is the whole loss. Stage 2: the control is no part of the loss.
  EXPECT_EQ(page.texts("span.name"), (Texts{"explain", "scores", "gradient norm", "loss, all terms",
                                            "contrastive", "global", "control"}));
  EXPECT_EQ(page.texts("h3"), (Texts{"Stage 1 steps 1 to 300, 200 images per second",
                                     "Stage 2 steps 301 to 350, 130 images per second"}));
  EXPECT_EQ(page.texts("g.label curve-0"), Texts{"FG-ARI"});
  // Lines may come in any order.
  std::vector<json> shuffled = some_metrics();
  std::rotate(shuffled.begin(), shuffled.begin() + 120, shuffled.begin() + 300);
  EXPECT_EQ(page_of_metrics(shuffled).texts("path", "d"), page.texts("path", "d"));
}

TEST(TrainingCurves, StandWhatMetricsMayHold) {
  page_of_metrics({3, "text", nullptr, json::object(), json::array()}, {});
  page_of_metrics({{{"step", 1}}, {{"loss", nullptr}, {"step", 2}}}, {});
  EXPECT_EQ(page_of_metrics({{{"loss", 0.5}}}).texts("h3"), Texts{"Training steps 1 to 1"});
  std::vector<json> metrics;
  for (int step = 1; step <= 60; ++step) {
    metrics.push_back({{"stage", "find"}, {"step", step}, {"loss", 1.0 / step}});
    metrics.back()["huge"] = step % 2 == 0 ? 1.7e308 : -1.7e308;
    if (step % 20 == 0) metrics.back()["loss"] = std::nan("");
    if (step % 30 == 0) metrics.back()["loss"] = nullptr;
  }
  const Page page = page_of_metrics(metrics);
  EXPECT_EQ(page.texts("h3"), Texts{"find steps 1 to 60"});
  // The average ends on that of the last two points: the root of 1/58 · 1/59.
  EXPECT_EQ(page.texts("figcaption"), Texts{"loss log scale non-finite values: 4 0.0171"});
  for (const std::string& path : page.texts("path", "d"))
    EXPECT_EQ(path.find_first_of("ain"), std::string::npos) << "nan or inf";
}

}  // namespace
}  // namespace osc::program
