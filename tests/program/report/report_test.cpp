#include "report/report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "page_check.hpp"
#include "report/drawing.hpp"
#include "report/picture_sections.hpp"
#include "report/tables.hpp"
#include "report/training_curves.hpp"

namespace osc::program {
namespace {

using nlohmann::json;
using test::Page;
using test::read_page;

constexpr int kSide = 36;

// Noise, which no PNG encoder makes small: sizes measured with it are the largest there are.
Image noise(std::mt19937& random, int side = kSide) {
  Image image{side, side, std::vector<std::uint8_t>(static_cast<std::size_t>(side) * side * 3)};
  for (std::uint8_t& value : image.pixels) value = static_cast<std::uint8_t>(random() % 256);
  return image;
}

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
  result["masks"] = all_mask_scores(0.973);
  result["recognition"] = recognition_scores(0.933);
  result["baselines"]["masks"] = {{"untrained", all_mask_scores(0.3)},
                                  {"attention", all_mask_scores(0.874)},
                                  {"one_start", all_mask_scores(0.917)},
                                  {"kmeans_colour", all_mask_scores(0.6)},
                                  {"kmeans_seeded", all_mask_scores(0.971)}};
  for (const char* name : {"slot_feature", "template", "template_position", "untrained_embedding",
                           "random_matching", "what", "which", "untrained"}) {
    result["baselines"]["recognition"][name] = recognition_scores(0.5);
  }
  result["images"] = 400;
  result["source"] = "tetrominoes (final, seed 7)";
  result["steps"] = 2600;
  result["seconds"] = 271.4;
  result["seed"] = 7;
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
                 {"seconds", step * 0.1}};
    line.update({{"gradient_norm", 1.0}, {"learning_rate", 1e-3}});
    if (step % 100 == 0) line.update(mask_scores(0.9));
    metrics.push_back(line);
  }
  for (int step = 301; step <= 350; ++step) {
    metrics.push_back({{"stage", 2},
                       {"step", step},
                       {"loss", 3.0},
                       {"what", 1.0},
                       {"which", 2.0},
                       {"control", 4.0},
                       {"images_per_second", 130}});
  }
  return metrics;
}

ObjectView object_view(std::mt19937& random, std::string name, int slot, int side = kSide) {
  ObjectView object;
  object.name = std::move(name);
  object.image = noise(random, side);
  object.mask = stripes(4, side);
  object.slot = slot;
  return object;
}

ReportContents full_contents(int side = kSide) {
  std::mt19937 random(3);
  ReportContents contents;
  contents.title = "Tetrominoes";
  contents.config_toml = "seed = 7\n[model]\nslots = 4\n";
  contents.result = full_result();
  contents.metrics = some_metrics();
  for (int i = 0; i < 24; ++i)
    contents.wall.push_back(
        {"image " + std::to_string(i), noise(random, side), stripes(3, side), stripes(4, side), 4});
  for (int i = 0; i < 6; ++i) {
    const Mask slots = stripes(4, side);
    contents.pairs.push_back({std::to_string(i),
                              {noise(random, side), noise(random, side)},
                              {slots, slots},
                              {1, 0, 3, 2},
                              {0.9, 0.8, 0.7, 0.6}});
  }
  for (int i = 0; i < 12; ++i) {
    Retrieval retrieval;
    retrieval.query = object_view(random, "query", 1, side);
    for (int k = 0; k < 8; ++k) {
      retrieval.nearest.push_back(object_view(random, "near", k % 4, side));
      retrieval.nearest.back().similarity = 0.95 - 0.1 * k;
      retrieval.nearest.back().same_kind = k < 5;
    }
    contents.retrievals.push_back(retrieval);
  }
  return contents;
}

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size())
    ++count;
  return count;
}

// A fragment read as a page.
Page read_fragment(const std::string& html) { return read_page("<!DOCTYPE html>\n" + html); }

const std::vector<std::string> kNoErrors;
const std::vector<std::string> kSections = {"wall",    "matching", "retrieval",    "scores",
                                            "reading", "curves",   "configuration"};

TEST(Report, IsOneSoundFile) {
  const std::string html = render_report(full_contents());
  const Page page = read_page(html);
  EXPECT_EQ(page.errors, kNoErrors);
  EXPECT_EQ(html.find("http"), std::string::npos);
  EXPECT_EQ(html.find("url("), std::string::npos);
  EXPECT_EQ(html.find("@import"), std::string::npos);
  EXPECT_EQ(page.count("h1"), 1U);
  for (const std::string& id : kSections) EXPECT_TRUE(page.has_section(id)) << id;
  EXPECT_EQ(page.count("h2"), kSections.size());
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
  const std::string html = render_report(contents);
  EXPECT_EQ(read_page(html).errors, kNoErrors);
  EXPECT_LT(html.size(), 3'000'000U);
}

TEST(Report, SaysWhatWasLearned) {
  const Page page = read_page(render_report(full_contents()));
  for (const std::string words :
       {"by 0.95 on average", "k-means, which learns nothing, reaches 0.95",
        "93 times in 100 among 1,197", "among 1,140", "2,600", "4 min 31 s",
        "tetrominoes (final, seed 7)", "0.973", "0.933", "image 5, mean cosine 0.75"}) {
    EXPECT_NE(page.text.find(words), std::string::npos) << words;
  }
}

TEST(Report, LeavesOutWhatIsNotThere) {
  for (const json& result :
       {json(nullptr), json::object(), json::array({1, 2}), json("text"), json(3)}) {
    ReportContents contents;
    contents.title = "Empty";
    contents.result = result;
    const Page page = read_page(render_report(contents));
    EXPECT_EQ(page.errors, kNoErrors);
    EXPECT_EQ(page.count("section"), 0U) << result;
    EXPECT_EQ(page.count("nav"), 0U);
    EXPECT_NE(page.text.find("no scores"), std::string::npos);
  }
  for (const std::string& missing : kSections) {
    ReportContents contents = full_contents();
    if (missing == "wall") contents.wall.clear();
    if (missing == "matching") contents.pairs.clear();
    if (missing == "retrieval") contents.retrievals.clear();
    if (missing == "scores" || missing == "reading") contents.result = nullptr;
    if (missing == "curves") contents.metrics.clear();
    if (missing == "configuration") contents.config_toml.clear();
    const Page page = read_page(render_report(contents));
    EXPECT_EQ(page.errors, kNoErrors);
    for (const std::string& id : kSections) {
      const bool gone =
          id == missing || (contents.result.is_null() && (id == "scores" || id == "reading"));
      EXPECT_EQ(page.has_section(id), !gone) << id << " without " << missing;
    }
  }
}

TEST(Report, StandsResultsOfOtherShapes) {
  ReportContents contents;
  contents.result = {{"fg_ari", "high"}, {"ari", nullptr},        {"miou", 0.5},
                     {"masks", 3},       {"recognition", {1, 2}}, {"baselines", "none"},
                     {"steps", {1, 2}},  {"seconds", nullptr},    {"seed", "x"},
                     {"source", 4},      {"images", -1}};
  const Page page = read_page(render_report(contents));
  EXPECT_EQ(page.errors, kNoErrors);
  EXPECT_NE(page.text.find("0.500"), std::string::npos);
  contents.result = {{"baselines",
                      {{"masks", {{"kmeans_seeded", 3}, {"other", nullptr}}},
                       {"recognition", {{"random_matching", {{"same_kind", "?"}}}}}}}};
  EXPECT_EQ(read_page(render_report(contents)).errors, kNoErrors);
}

TEST(Report, EscapesEveryName) {
  const std::string hostile = "</style></script><b x=\"1' & \xFF\x01>";
  std::mt19937 random(4);
  ReportContents contents = full_contents();
  contents.title = hostile;
  contents.config_toml = hostile;
  contents.result["source"] = hostile;
  contents.result["baselines"]["masks"][hostile] = all_mask_scores(0.1);
  contents.result["baselines"]["recognition"][hostile] = recognition_scores(0.1);
  contents.wall[0].name = hostile;
  contents.pairs[0].name = hostile;
  contents.retrievals[0].query.name = hostile;
  contents.retrievals[0].nearest[0].name = hostile;
  contents.metrics[0]["stage"] = hostile;
  contents.metrics[1][hostile] = 3;
  const std::string html = render_report(contents);
  EXPECT_EQ(read_page(html).errors, kNoErrors);
  EXPECT_EQ(html.find("<b x"), std::string::npos);
  EXPECT_EQ(html.find('\xFF'), std::string::npos);
  EXPECT_GE(occurrences(html, "&lt;b x=&quot;1&#39; &amp; "), 11U);
}

TEST(Wall, ShowsImageTruthPredictionAndEachSlot) {
  std::mt19937 random(5);
  const WallItem item{"a", noise(random), stripes(3), stripes(4), 4};
  const Page page = read_fragment(wall_html({item}));
  EXPECT_EQ(page.errors, kNoErrors);
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
  EXPECT_EQ(page.count("img", "class", "sharp"), 7U);
}

TEST(Wall, DoesWithoutTruthAndWithSlotsWithoutPixels) {
  std::mt19937 random(6);
  const Page page = read_fragment(wall_html({{"a", noise(random), std::nullopt, stripes(2), 11},
                                             {"b", noise(random), stripes(2), stripes(2), 0}}));
  EXPECT_EQ(page.errors, kNoErrors);
  EXPECT_EQ(test::pictures_of(page).size(), 2U + 11U + 3U);
  EXPECT_EQ(page.count("img", "alt", "truth"), 1U);
}

TEST(Wall, ShrinksLargeImagesInProportion) {
  std::mt19937 random(7);
  Image wide{300, 150, std::vector<std::uint8_t>(300 * 150 * 3, 90)};
  Mask mask{300, 150, std::vector<std::uint8_t>(300 * 150, 1)};
  const Page page = read_fragment(wall_html({{"wide", wide, mask, mask, 2}}));
  for (const Image& picture : test::pictures_of(page)) {
    EXPECT_EQ(picture.width, 72);
    EXPECT_EQ(picture.height, 36);
  }
  EXPECT_EQ(page.count("img", "class", "sharp"), 0U);
}

TEST(NumberedLike, GivesObjectsTheNumbersOfTheirSlots) {
  const Mask truth{6, 1, {0, 0, 0, 1, 1, 2}};
  EXPECT_EQ(numbered_like(truth, {6, 1, {3, 3, 3, 0, 0, 1}}).values,
            (std::vector<std::uint8_t>{3, 3, 3, 0, 0, 1}));
  // Object 2 shares its slot with object 1, which fills more of it: it gets a number that no slot
  // of the image has.
  EXPECT_EQ(numbered_like(truth, {6, 1, {1, 1, 1, 0, 0, 0}}).values,
            (std::vector<std::uint8_t>{1, 1, 1, 0, 0, 2}));
  EXPECT_EQ(numbered_like(truth, truth).values, truth.values);
  EXPECT_TRUE(numbered_like({}, {}).values.empty());
}

TEST(Pairs, JoinTheMatchedSlots) {
  std::mt19937 random(8);
  const MatchedViews pair{"a pair",
                          {noise(random), noise(random)},
                          {stripes(4), stripes(4)},
                          {1, 0, 3, 2},
                          {0.91, 0.82, 0.73, -0.62}};
  const std::string html = pairs_html({pair});
  const Page page = read_fragment(html);
  EXPECT_EQ(page.errors, kNoErrors);
  EXPECT_EQ(page.count("path", "class", "join"), 4U);
  for (const std::string cosine : {"0.91", "0.82", "0.73", "−0.62"})
    EXPECT_EQ(occurrences(html, ">" + cosine + "<"), 1U) << cosine;
  EXPECT_NE(page.text.find("mean cosine 0.46"), std::string::npos);
  // Slot 0 is the first of four stripes in the first view, its match the second one in the second
  // view: from x = 180 / 8 to 180 + 110 + 180 · 3 / 8.
  EXPECT_NE(html.find("d=\"M22.5 90C"), std::string::npos) << html;
  EXPECT_NE(html.find(" 357.5 90\""), std::string::npos);
  // Joined slots share a colour: the second view is drawn under the first view's numbers.
  Mask renumbered = stripes(4);
  for (std::uint8_t& value : renumbered.values) value = static_cast<std::uint8_t>(value ^ 1U);
  const std::vector<Image> pictures = test::pictures_of(page);
  ASSERT_EQ(pictures.size(), 2U);
  EXPECT_TRUE(test::same_image(pictures[0], draw_overlay(pair.view[0], pair.slot[0])));
  EXPECT_TRUE(test::same_image(pictures[1], draw_overlay(pair.view[1], renumbered)));
}

TEST(Pairs, LeaveOutWhatHasNoPlace) {
  std::mt19937 random(9);
  MatchedViews pair{"a",
                    {noise(random), noise(random)},
                    {stripes(2), stripes(3)},
                    {0, 1, 2, -1, 900},
                    {0.9, std::numeric_limits<double>::quiet_NaN()}};
  const Page page = read_fragment(pairs_html({pair}));
  EXPECT_EQ(page.errors, kNoErrors);
  EXPECT_EQ(page.count("path", "class", "join"), 2U);
  EXPECT_NE(page.text.find("3 matches join slots without pixels"), std::string::npos);
  EXPECT_NE(page.text.find("mean cosine 0.90"), std::string::npos);
  pair.match = {0, 1};
  pair.slot[1] = stripes(1);
  const Page half = read_fragment(pairs_html({pair}));
  EXPECT_EQ(half.count("path", "class", "join"), 1U);
  EXPECT_NE(half.text.find("1 match joins a slot without pixels"), std::string::npos);
  pair.match.clear();
  EXPECT_EQ(read_fragment(pairs_html({pair})).errors, kNoErrors);
}

TEST(Retrievals, MarkTheKindInWordsAndShape) {
  std::mt19937 random(10);
  Retrieval retrieval;
  retrieval.query = object_view(random, "query", 2);
  for (const std::optional<bool> same : {std::optional<bool>(true), {false}, {std::nullopt}}) {
    retrieval.nearest.push_back(object_view(random, "near", 1));
    retrieval.nearest.back().same_kind = same;
    retrieval.nearest.back().similarity = 0.75;
  }
  const Page page = read_fragment(retrievals_html({retrieval}));
  EXPECT_EQ(page.errors, kNoErrors);
  EXPECT_EQ(page.count("svg", "aria-label", "same kind"), 1U);
  EXPECT_EQ(page.count("svg", "aria-label", "another kind"), 1U);
  EXPECT_EQ(occurrences(page.text, "0.75"), 3U);
  const std::vector<Image> pictures = test::pictures_of(page);
  ASSERT_EQ(pictures.size(), 4U);
  EXPECT_TRUE(test::same_image(pictures[0],
                               draw_single_region(retrieval.query.image, retrieval.query.mask, 2)));
  EXPECT_TRUE(test::same_image(
      pictures[3], draw_single_region(retrieval.nearest[2].image, retrieval.nearest[2].mask, 1)));

  retrieval.nearest.clear();
  const Page alone = read_fragment(retrievals_html({retrieval}));
  EXPECT_EQ(alone.errors, kNoErrors);
  EXPECT_EQ(test::pictures_of(alone).size(), 1U);
}

TEST(Tables, MarkTheBestAndShowWhatIsMissingAsADash) {
  json result = mask_scores(0.9);
  result["masks"] = {{"clean", {{"fg_ari", 0.9}, {"ari", 0.8}, {"miou", 0.7}}}};
  result["baselines"]["masks"]["kmeans_seeded"]["clean"] = {
      {"fg_ari", 0.95}, {"ari", 0.8004}, {"miou", nullptr}};
  result["baselines"]["masks"]["new_idea"]["clean"] = {{"fg_ari", -0.1}};
  const std::string html = mask_table_html(result);
  EXPECT_EQ(read_fragment(html).errors, kNoErrors);
  EXPECT_NE(html.find("<strong>0.950</strong>"), std::string::npos);
  EXPECT_EQ(occurrences(html, "<strong>0.800</strong>"), 2U)
      << "rows that read the same are marked alike";
  EXPECT_NE(html.find("<strong>0.700</strong>"), std::string::npos);
  EXPECT_EQ(occurrences(html, "<strong>"), 4U);
  EXPECT_NE(html.find("k-means, seeded"), std::string::npos);
  EXPECT_NE(html.find("new_idea"), std::string::npos);
  EXPECT_NE(html.find(">−0.100<"), std::string::npos);
  // Three rows of nine columns, of which six hold a number.
  EXPECT_EQ(occurrences(html, ">–<"), 3U * 9U - 6U);
  EXPECT_EQ(recognition_table_html(result), "");
}

TEST(Tables, FallBackOnTheScoresOfTheWhole) {
  const std::string html = mask_table_html(mask_scores(0.5));
  for (const std::string value : {"0.500", "0.490", "0.480"})
    EXPECT_NE(html.find(value), std::string::npos);
  EXPECT_EQ(mask_table_html(json::object()), "");
  EXPECT_EQ(mask_table_html(nullptr), "");
}

TEST(Tables, NameEveryBaseline) {
  const json result = full_result();
  const std::string html = mask_table_html(result) + recognition_table_html(result);
  EXPECT_EQ(read_fragment(html).errors, kNoErrors);
  for (const char* group : {"masks", "recognition"}) {
    for (const auto& [key, scores] : result["baselines"][group].items()) {
      EXPECT_EQ(html.find(">" + key + "<"), std::string::npos) << key << " has no readable name";
    }
  }
  EXPECT_EQ(occurrences(html, "<th scope=\"row\">"), 6U + 9U);
  EXPECT_NE(html.find("weak, among 1,197"), std::string::npos);
}

TEST(TrainingCurves, HaveAPanelForEachTermOfEachStage) {
  const std::string html = training_curves_html(some_metrics());
  const Page page = read_fragment(html);
  EXPECT_EQ(page.errors, kNoErrors);
  EXPECT_EQ(page.count("h3"), 2U);
  // Stage 1: explain, which is the whole loss, the scores and the gradient's norm. Stage 2: the
  // loss, two terms and the control, which is no part of the loss.
  EXPECT_EQ(page.count("figure", "class", "panel"), 7U);
  for (const std::string name :
       {">explain<", ">scores<", ">gradient norm<", ">loss, all terms<", ">what<", ">which<",
        ">control<", "FG-ARI</text>", "steps 1 to 300, 200 images a second",
        "steps 301 to 350, 130 images a second"}) {
    EXPECT_NE(html.find(name), std::string::npos) << name;
  }
}

TEST(TrainingCurves, StandWhatMetricsMayHold) {
  EXPECT_EQ(training_curves_html({}), "");
  EXPECT_EQ(
      training_curves_html({json(3), json("text"), json(nullptr), json::object(), json::array()}),
      "");
  EXPECT_EQ(training_curves_html({{{"step", 1}}, {{"loss", nullptr}, {"step", 2}}}), "");
  const std::string one = training_curves_html({{{"loss", 0.5}}});
  EXPECT_EQ(read_fragment(one).errors, kNoErrors);
  EXPECT_NE(one.find("Training"), std::string::npos);

  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<json> metrics;
  for (int step = 1; step <= 60; ++step) {
    const json loss = step % 20 == 0   ? json(nan)
                      : step % 30 == 0 ? json(nullptr)
                                       : json(1.0 / step);
    metrics.push_back({{"stage", "find"},
                       {"step", step},
                       {"loss", loss},
                       {"huge", step % 2 == 0 ? 1.7e308 : -1.7e308}});
  }
  const std::string html = training_curves_html(metrics);
  EXPECT_EQ(read_fragment(html).errors, kNoErrors);
  EXPECT_NE(html.find(">find "), std::string::npos);
  EXPECT_NE(html.find("4 values not finite"), std::string::npos);
  EXPECT_EQ(html.find("nan"), std::string::npos);
  EXPECT_EQ(html.find("inf"), std::string::npos);
  EXPECT_EQ(html.find("huge"), std::string::npos);
}

TEST(TrainingCurves, TakeLinesInTheOrderOfTheirSteps) {
  const std::vector<json> metrics = some_metrics();
  std::vector<json> shuffled = metrics;
  std::rotate(shuffled.begin(), shuffled.begin() + 120, shuffled.begin() + 300);
  EXPECT_EQ(training_curves_html(shuffled), training_curves_html(metrics));
}

TEST(TrainingCurves, OfAHundredThousandLinesStaySmall) {
  std::mt19937 random(11);
  std::normal_distribution<double> normal;
  std::vector<json> metrics;
  for (int step = 1; step <= 100'000; ++step) {
    const double explain = std::exp(normal(random));
    metrics.push_back({{"stage", 1},
                       {"step", step},
                       {"loss", 1 + explain},
                       {"explain", explain},
                       {"contrastive", 1.0},
                       {"fg_ari", 0.9}});
  }
  const std::string html = training_curves_html(metrics);
  EXPECT_EQ(read_fragment(html).errors, kNoErrors);
  EXPECT_LT(html.size(), 100'000U);
}

}  // namespace
}  // namespace osc::program
