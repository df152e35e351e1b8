#include "report/report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "page_check.hpp"
#include "report/drawing.hpp"
#include "report/picture_views.hpp"
#include "report/templates.hpp"

namespace osc::program {
namespace {

using nlohmann::json;
using test::Page;
using Texts = std::vector<std::string>;

constexpr int kSide = 36;

// Vertical stripes of 0 … slots-1.
Mask stripes(int slots, int side = kSide) {
  Mask mask{side, side, std::vector<std::uint8_t>(static_cast<std::size_t>(side) * side)};
  for (int i = 0; i < side * side; ++i)
    mask.values[i] = static_cast<std::uint8_t>(i % side * slots / side);
  return mask;
}

json mask_scores(double value) {
  return {{"fg_ari", value}, {"ari", value - 0.01}, {"miou", value - 0.02}};
}

json all_mask_scores(double value) {
  return {{"clean", mask_scores(value)},
          {"weak", mask_scores(value - 0.05)},
          {"strong", mask_scores(value - 0.1)}};
}

json recognition_scores(double value) {
  return {{"same_kind", value},          {"same_kind_weak", value},
          {"same_kind_strong", value},   {"this_object_weak", value},
          {"this_object_strong", value}, {"candidates_weak", 1197},
          {"slot_identity_weak", value}, {"slot_identity_strong", nullptr},
          {"candidates_strong", 1140}};
}

json full_result() {
  json result = mask_scores(0.973);
  result.update({{"masks", all_mask_scores(0.973)},
                 {"recognition", recognition_scores(0.933)},
                 {"images", 400},
                 {"source", "tetrominoes (final, seed 7)"},
                 {"steps", 2600},
                 {"seconds", 271.4},
                 {"seed", 1234567}});
  double value = 0.2;
  for (const char* key : {"untrained", "attention", "one_start", "kmeans_colour", "kmeans_seeded"})
    result["baselines"]["masks"][key] = all_mask_scores(value += 0.1);
  for (const char* key :
       {"slot_feature", "template", "template_position", "untrained_embedding", "random_matching",
        "what", "which", "which_random_matching", "which_untrained", "untrained"})
    result["baselines"]["recognition"][key] = recognition_scores(0.5);
  return result;
}

std::vector<json> some_metrics() {
  std::vector<json> metrics;
  for (int step = 1; step <= 300; ++step) {
    json line = {{"stage", 1},
                 {"step", step},
                 {"loss", 2.0 / step},
                 {"explain", 2.0 / step},
                 {"images_per_second", 200},
                 {"seconds", step * 0.1},
                 {"gradient_norm", 1.0},
                 {"learning_rate", 1e-3}};
    if (step % 100 == 0) line.update(mask_scores(0.9));
    metrics.push_back(line);
  }
  for (int step = 301; step <= 350; ++step)
    metrics.push_back({{"stage", 2},
                       {"step", step},
                       {"loss", 3.0},
                       {"what", 1.0},
                       {"which", 2.0},
                       {"control", 4.0},
                       {"images_per_second", 130}});
  return metrics;
}

struct Samples {
  std::mt19937 random{3};
  int side = kSide;

  Image image() { return test::noise(random, side, side); }
  WallItem wall_item(const std::string& name) {
    return {name, image(), stripes(3, side), stripes(4, side), 4};
  }
  MatchedViews pair(const std::string& name) {
    const Mask slots = stripes(4, side);
    return {name, {image(), image()}, {slots, slots}, {1, 0, 3, 2}, {0.91, 0.82, 0.73, -0.62}};
  }
  ObjectView object(const std::string& name, int slot, double similarity,
                    std::optional<bool> same_kind) {
    return {name, image(), stripes(4, side), slot, similarity, same_kind};
  }
};

ReportContents full_contents(int side = kSide) {
  Samples samples{.side = side};
  ReportContents contents{"Tetrominoes", "seed = 7\n", full_result(), some_metrics(), {}, {}, {}};
  for (int i = 0; i < 24; ++i) contents.wall.push_back(samples.wall_item(std::to_string(i)));
  for (int i = 0; i < 6; ++i) contents.pairs.push_back(samples.pair(std::to_string(i)));
  for (int i = 0; i < 12; ++i) {
    Retrieval retrieval{samples.object("query", 1, 1, {}), {}};
    for (int k = 0; k < 8; ++k)
      retrieval.nearest.push_back(samples.object("near", k % 4, 0.95 - 0.1 * k, k < 5));
    contents.retrievals.push_back(retrieval);
  }
  return contents;
}

Page page_of(const ReportContents& contents) {
  Page page = test::read_page(render_report(contents));
  EXPECT_EQ(page.errors, Texts());
  return page;
}

Page page_of_result(const json& result) {
  ReportContents contents;
  contents.result = result;
  return page_of(contents);
}

Page page_of_metrics(const std::vector<json>& metrics) {
  ReportContents contents;
  contents.metrics = metrics;
  return page_of(contents);
}

TEST(Report, IsOneSelfContainedFile) {
  const std::string html = render_report(full_contents());
  const Page page = page_of(full_contents());
  for (const char* outside : {"http", "url(", "@import"})
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  EXPECT_TRUE(html.starts_with("<!DOCTYPE html>\n"));
  EXPECT_NE(html.find("--paper: #fdfdfb"), std::string::npos) << "the style sheet";
  EXPECT_EQ(page.texts("h1"), Texts{"Tetrominoes"});
  EXPECT_EQ(page.all("section").size(), 7U);
  EXPECT_EQ(page.texts("a"), page.texts("h2")) << "a link to each section";
  EXPECT_EQ(page.texts("pre"), Texts{"seed = 7"});
  EXPECT_LT(html.size(), 3'000'000U) << "with images of noise, the largest there are";
}

TEST(Report, StaysSmallWithLargerImages) {
  ReportContents contents = full_contents(128);
  // As rough as a photograph rather than noise.
  const auto calm = [](Image& image) {
    for (std::size_t i = 0; i < image.pixels.size(); ++i)
      image.pixels[i] =
          static_cast<std::uint8_t>(100 + image.pixels[i] / 16 + i / 3 % image.width / 2);
  };
  for (WallItem& item : contents.wall) calm(item.image);
  for (Retrieval& retrieval : contents.retrievals) {
    calm(retrieval.query.image);
    for (ObjectView& object : retrieval.nearest) calm(object.image);
  }
  EXPECT_LT(render_report(contents).size(), 3'000'000U);
  const Page page = page_of(contents);
  EXPECT_TRUE(page.all("img", "class", "sharp").empty());
  for (const test::Element& img : page.all("img")) EXPECT_EQ(img.attributes.at("width"), "72");
}

TEST(Report, SaysWhatWasLearned) {
  const Page page = page_of(full_contents());
  for (const std::string words :
       {"by 0.95 on average", "Seeded k-means, which learns nothing, reaches 0.68.",
        "its shape and colour in 93% of cases", "found again in 93% of cases, among 1,197 objects.",
        "among 1,140", "steps 2,600", "training time 4 min 31 s", "seed 1234567",
        "scored on tetrominoes (final, seed 7)", "images scored 400",
        "it reaches FG-ARI 0.700 and mIoU 0.680, the model 0.973 and 0.953",
        "Category recall@1 on clean images: 0.933 against 0.500"})
    EXPECT_TRUE(page.says(words)) << words;
  EXPECT_EQ(page.texts("dd"), (Texts{"0.973", "0.963", "0.953", "0.933", "0.933", "0.933"}));
}

TEST(Report, LeavesOutWhatIsNotThere) {
  for (const json& result :
       {json(nullptr), json::object(), json::array({1, 2}), json("text"), json(3)}) {
    const Page page = page_of_result(result);
    EXPECT_TRUE(page.all("section").empty()) << result;
    EXPECT_TRUE(page.all("a").empty());
    EXPECT_TRUE(page.says("no scores"));
  }
  ReportContents contents = full_contents();
  Texts sections = {"wall",    "matching", "retrieval",    "scores",
                    "reading", "curves",   "configuration"};
  const auto drop = [&](auto&& empty, const Texts& gone) {
    empty();
    for (const std::string& id : gone) std::erase(sections, id);
    Texts shown;
    for (const test::Element& section : page_of(contents).all("section"))
      shown.push_back(section.attributes.at("id"));
    EXPECT_EQ(shown, sections);
  };
  drop([] {}, {});
  drop([&] { contents.pairs.clear(); }, {"matching"});
  drop([&] { contents.config_toml.clear(); }, {"configuration"});
  drop([&] { contents.result = nullptr; }, {"scores", "reading"});
  drop([&] { contents.wall.clear(); }, {"wall"});
  drop([&] { contents.metrics.clear(); }, {"curves"});
  drop([&] { contents.retrievals.clear(); }, {"retrieval"});
}

TEST(Report, StandsResultsOfOtherShapes) {
  // An older result: no masks, no recognition.
  const Page old = page_of_result(mask_scores(0.5));
  EXPECT_EQ(old.texts("dd"), (Texts{"0.500", "0.490", "0.480", "–", "–", "–"}));
  EXPECT_EQ(old.texts("td"), (Texts{"0.500", "0.490", "0.480", "–", "–", "–", "–", "–", "–"}));
  const Page odd = page_of_result({{"fg_ari", "high"},
                                   {"ari", nullptr},
                                   {"miou", 0.5},
                                   {"masks", 3},
                                   {"recognition", {1, 2}},
                                   {"baselines", "none"},
                                   {"steps", {1, 2}},
                                   {"seconds", nullptr},
                                   {"seed", "x"},
                                   {"source", 4},
                                   {"images", -1}});
  EXPECT_EQ(odd.texts("dd")[2], "0.500");
  EXPECT_EQ(odd.texts("p", "class", "facts"), Texts{"images scored −1"});
  page_of_result({{"baselines",
                   {{"masks", {{"kmeans_seeded", 3}, {"other", nullptr}}},
                    {"recognition", {{"random_matching", {{"same_kind", "?"}}}}}}}});
}

TEST(Report, EscapesEveryText) {
  const std::string hostile = "</style></script><b x=\"1' & {{title}} {{>page.html}} \xFF\x01>";
  const std::string shown = "</style></script><b x=\"1' & {{title}} {{>page.html}} \uFFFD\uFFFD>";
  ReportContents contents = full_contents();
  contents.title = contents.config_toml = hostile;
  contents.wall[0].name = contents.pairs[0].name = hostile;
  contents.retrievals[0].query.name = contents.retrievals[0].nearest[0].name = hostile;
  contents.result["source"] = hostile;
  contents.result["baselines"]["masks"][hostile] = all_mask_scores(0.1);
  contents.result["baselines"]["recognition"][hostile] = recognition_scores(0.1);
  contents.metrics[0]["stage"] = hostile;
  contents.metrics[1][hostile] = 3;
  const Page page = page_of(contents);
  EXPECT_TRUE(page.all("b", "x").empty());
  std::set<std::string> places;
  for (const test::Element& element : page.elements) {
    if (element.text.find(shown) != std::string::npos) places.insert(element.name);
    for (const auto& [name, value] : element.attributes) {
      if (value.find(shown) != std::string::npos) places.insert(element.name + " " + name);
    }
  }
  for (const char* place : {"title", "h1", "pre", "b", "th", "h3", "span", "figcaption",
                            "div title", "img alt", "svg aria-label"})
    EXPECT_TRUE(places.contains(place)) << place;
  for (const Template& part : templates()) {
    for (const char* unescaped : {"{{{", "{{&"})
      EXPECT_EQ(part.text.find(unescaped), std::string_view::npos) << part.file;
  }
}

TEST(Wall, ShowsImageTruthPredictionAndEachSlot) {
  Samples samples;
  const WallItem item = samples.wall_item("a");
  ReportContents contents;
  contents.wall = {item};
  const Page page = page_of(contents);
  const std::vector<Image> pictures = test::pictures_of(page);
  ASSERT_EQ(pictures.size(), 7U);
  EXPECT_TRUE(test::same_image(pictures[0], item.image));
  EXPECT_TRUE(test::same_image(
      pictures[1], draw_overlay(item.image, numbered_like(*item.truth, item.prediction))));
  EXPECT_TRUE(test::same_image(pictures[2], draw_overlay(item.image, item.prediction)));
  for (int slot = 0; slot < 4; ++slot)
    EXPECT_TRUE(
        test::same_image(pictures[3 + slot], draw_single_region(item.image, item.prediction, slot)))
        << slot;
  EXPECT_EQ(page.all("img", "class", "sharp").size(), 7U);
  EXPECT_EQ(page.texts("div", "class", "tile"),
            (Texts{"a", "truth", "prediction", "0", "1", "2", "3"}));

  // Without truth, with slots without pixels, and large and wide.
  contents.wall = {{"7", Image{300, 150, std::vector<std::uint8_t>(300 * 150 * 3, 90)},
                    std::nullopt, Mask{300, 150, std::vector<std::uint8_t>(300 * 150, 1)}, 11}};
  const Page wide = page_of(contents);
  EXPECT_EQ(wide.texts("div", "class", "tile")[0], "image 7");
  EXPECT_EQ(test::pictures_of(wide).size(), 13U);
  for (const Image& picture : test::pictures_of(wide))
    EXPECT_TRUE(picture.width == 72 && picture.height == 36);
}

TEST(NumberedLike, GivesObjectsTheNumbersOfTheirSlots) {
  using Values = std::vector<std::uint8_t>;
  const Mask truth{6, 1, {0, 0, 0, 1, 1, 2}};
  EXPECT_EQ(numbered_like(truth, {6, 1, {3, 3, 3, 0, 0, 1}}).values, (Values{3, 3, 3, 0, 0, 1}));
  // Object 2 shares its slot with object 1, which fills more of it: it gets a number that no slot
  // of the image has.
  EXPECT_EQ(numbered_like(truth, {6, 1, {1, 1, 1, 0, 0, 0}}).values, (Values{1, 1, 1, 0, 0, 2}));
  EXPECT_EQ(numbered_like(truth, truth).values, truth.values);
  EXPECT_TRUE(numbered_like({}, {}).values.empty());
}

TEST(Matching, JoinsTheMatchedSlots) {
  Samples samples;
  const MatchedViews pair = samples.pair("a pair");
  ReportContents contents;
  contents.pairs = {pair};
  const Page page = page_of(contents);
  EXPECT_EQ(page.texts("text"), (Texts{"0.91", "0.82", "0.73", "−0.62"}));
  EXPECT_EQ(page.texts("figcaption"), Texts{"a pair mean cosine similarity 0.46"});
  // Slot 0 is the first of four stripes in the first view, its match the second one in the second
  // view: from x = 180 / 8 to 180 + 110 + 180 · 3 / 8.
  const std::vector<test::Element> lines = page.all("path", "class", "join");
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_TRUE(lines[0].attributes.at("d").starts_with("M22.5 90C"));
  EXPECT_TRUE(lines[0].attributes.at("d").ends_with(" 357.5 90"));
  // Joined slots share a colour: the second view is drawn under the first view's numbers.
  Mask renumbered = stripes(4);
  for (std::uint8_t& value : renumbered.values) value = static_cast<std::uint8_t>(value ^ 1U);
  const std::vector<Image> pictures = test::pictures_of(page);
  ASSERT_EQ(pictures.size(), 2U);
  EXPECT_TRUE(test::same_image(pictures[0], draw_overlay(pair.view[0], pair.slot[0])));
  EXPECT_TRUE(test::same_image(pictures[1], draw_overlay(pair.view[1], renumbered)));
}

TEST(Matching, LeavesOutWhatHasNoPlace) {
  Samples samples;
  ReportContents contents;
  contents.pairs = {{"a",
                     {samples.image(), samples.image()},
                     {stripes(2), stripes(3)},
                     {0, 1, 2, -1, 900},
                     {0.9, std::numeric_limits<double>::quiet_NaN()}}};
  const Page page = page_of(contents);
  EXPECT_EQ(page.texts("text"), (Texts{"0.90", "–"}));
  EXPECT_TRUE(page.says("mean cosine similarity 0.90"));
  EXPECT_TRUE(page.says("not drawn: 3"));
  contents.pairs[0].match.clear();
  EXPECT_TRUE(page_of(contents).all("path").empty());
}

TEST(Retrieval, MarksTheKindInWordsAndShape) {
  Samples samples;
  Retrieval retrieval{samples.object("query", 2, 1, {}), {}};
  for (const std::optional<bool> same : {std::optional<bool>(true), {false}, {std::nullopt}})
    retrieval.nearest.push_back(samples.object("near", 1, 0.75, same));
  ReportContents contents;
  contents.retrievals = {retrieval};
  const Page page = page_of(contents);
  EXPECT_EQ(page.texts("div", "class", "tile"), (Texts{"query", "0.75", "0.75", "0.75"}));
  Texts marks;
  for (const test::Element& svg : page.all("svg")) marks.push_back(svg.attributes.at("aria-label"));
  EXPECT_EQ(marks, (Texts{"same category", "another category"}));
  const std::vector<Image> pictures = test::pictures_of(page);
  ASSERT_EQ(pictures.size(), 4U);
  EXPECT_TRUE(test::same_image(pictures[0],
                               draw_single_region(retrieval.query.image, retrieval.query.mask, 2)));
  EXPECT_TRUE(test::same_image(
      pictures[3], draw_single_region(retrieval.nearest[2].image, retrieval.nearest[2].mask, 1)));

  contents.retrievals[0].nearest.clear();
  EXPECT_TRUE(page_of(contents).says("no other object"));
}

TEST(Tables, MarkTheBestAndShowWhatIsMissingAsADash) {
  json result = mask_scores(0.9);
  result["masks"] = {{"clean", {{"fg_ari", 0.9}, {"ari", 0.8}, {"miou", 0.7}}}};
  result["baselines"]["masks"]["kmeans_seeded"]["clean"] = {
      {"fg_ari", 0.95}, {"ari", 0.8004}, {"miou", nullptr}};
  result["baselines"]["masks"]["new_idea"]["clean"] = {{"fg_ari", -0.1}};
  const Page page = page_of_result(result);
  const std::string dash = "–";
  Texts cells = {"0.900", "0.800", "0.700", "0.950", "0.800", dash, "−0.100", dash, dash};
  for (const std::ptrdiff_t row : {3, 12, 21}) cells.insert(cells.begin() + row, 6, dash);
  EXPECT_EQ(page.texts("td"), cells);
  Texts best;
  for (const std::string& text : page.texts("strong")) {
    if (text.starts_with("0")) best.push_back(text);
  }
  EXPECT_EQ(best, (Texts{"0.800", "0.700", "0.950", "0.800"})) << "the same print, the same mark";
  EXPECT_TRUE(page.texts("th", "scope", "row").back() == "new_idea");
}

TEST(Tables, NameEveryBaselineAndPutEachScoreInItsColumn) {
  json result = full_result();
  int value = 0;
  json recognition;
  for (const char* key : {"same_kind", "same_kind_weak", "same_kind_strong", "this_object_weak",
                          "this_object_strong", "slot_identity_weak", "slot_identity_strong"})
    recognition[key] = ++value / 1000.0;
  result["baselines"]["recognition"] = {{"new", recognition}};
  const Texts cells = page_of_result(result).texts("td");
  EXPECT_EQ(Texts(cells.end() - 7, cells.end()),
            (Texts{"0.001", "0.002", "0.003", "0.004", "0.005", "0.006", "0.007"}));
  EXPECT_EQ(
      Texts(cells.begin(), cells.begin() + 9),
      (Texts{"0.973", "0.963", "0.953", "0.923", "0.913", "0.903", "0.873", "0.863", "0.853"}));

  const Page page = page_of_result(full_result());
  const Texts rows = page.texts("th", "scope", "row");
  EXPECT_EQ(rows.size(), 6U + 11U);
  for (const char* group : {"masks", "recognition"}) {
    for (const auto& [key, scores] : full_result()["baselines"][group].items())
      EXPECT_EQ(std::count(rows.begin(), rows.end(), key), 0) << key << " has no readable name";
  }
  EXPECT_TRUE(page.says("weak, among 1,197"));
}

TEST(TrainingCurves, HaveAPanelForEachTermOfEachStage) {
  const Page page = page_of_metrics(some_metrics());
  // Stage 1: explain, which is the whole loss, the scores and the gradient's norm. Stage 2: the
  // loss, two terms and the control, which is no part of the loss.
  EXPECT_EQ(
      page.texts("span", "class", "name"),
      (Texts{"explain", "scores", "gradient norm", "loss, all terms", "what", "which", "control"}));
  EXPECT_EQ(page.texts("h3"), (Texts{"Stage 1 steps 1 to 300, 200 images per second",
                                     "Stage 2 steps 301 to 350, 130 images per second"}));
  EXPECT_EQ(page.texts("g", "class", "label curve-0"), Texts{"FG-ARI"});
  // Lines may come in any order.
  std::vector<json> shuffled = some_metrics();
  std::rotate(shuffled.begin(), shuffled.begin() + 120, shuffled.begin() + 300);
  ReportContents contents, other;
  contents.metrics = some_metrics();
  other.metrics = shuffled;
  EXPECT_EQ(render_report(other), render_report(contents));
}

TEST(TrainingCurves, StandWhatMetricsMayHold) {
  for (const std::vector<json>& nothing : {std::vector<json>{},
                                           {3, "text", nullptr, json::object(), json::array()},
                                           {{{"step", 1}}, {{"loss", nullptr}, {"step", 2}}}})
    EXPECT_TRUE(page_of_metrics(nothing).all("h3").empty());
  EXPECT_TRUE(page_of_metrics({{{"loss", 0.5}}}).texts("h3")[0].starts_with("Training"));

  std::vector<json> metrics;
  for (int step = 1; step <= 60; ++step)
    metrics.push_back({{"stage", "find"},
                       {"step", step},
                       {"loss", step % 20 == 0   ? json(std::nan(""))
                                : step % 30 == 0 ? json(nullptr)
                                                 : json(1.0 / step)},
                       {"huge", step % 2 == 0 ? 1.7e308 : -1.7e308}});
  const Page page = page_of_metrics(metrics);
  EXPECT_TRUE(page.texts("h3")[0].starts_with("find"));
  EXPECT_TRUE(page.says("log scale non-finite values: 4"));
  EXPECT_EQ(page.texts("span", "class", "name"), Texts{"loss"});
  for (const test::Element& path : page.all("path"))
    EXPECT_EQ(path.attributes.at("d").find_first_of("ain"), std::string::npos) << "nan or inf";
}

}  // namespace
}  // namespace osc::program
