#include "evaluation/evaluate.hpp"

#include <gtest/gtest.h>

#include <set>

#include "fixtures.hpp"

namespace osc::program {
namespace {

using nlohmann::json;

std::set<std::string> keys(const json& object) {
  std::set<std::string> names;
  for (const auto& item : object.items()) names.insert(item.key());
  return names;
}

json evaluate_small(bool with_embedding, MaskReading reading, const ImageSet& images,
                    const ImageSet* gallery) {
  return evaluate({untrained_model(with_embedding, reading, 1),
                   untrained_model(with_embedding, reading, 2), &images, gallery, 5},
                  [](const std::string&) {});
}

const std::set<std::string> kMaskScores{"fg_ari", "ari", "miou"};
const std::set<std::string> kRecognitionScores{
    "category_recall",          "category_recall_weak",   "category_recall_strong",
    "instance_recall_weak",     "instance_recall_strong", "matching_accuracy_weak",
    "matching_accuracy_strong", "candidates_weak",        "candidates_strong"};

TEST(Evaluate, HasEveryScoreAndBaseline) {
  const ImageSet images = scenes(Split::final, 12), gallery = scenes(Split::gallery, 15);
  const json result = evaluate_small(true, MaskReading::explanation, images, &gallery);
  EXPECT_EQ(result["images"], 12);
  EXPECT_EQ(result["source"], images.source);
  EXPECT_EQ(result["categories"], 6 * 19);
  EXPECT_EQ(result["fg_ari"], result["masks"]["clean"]["fg_ari"]);
  EXPECT_EQ(keys(result["baselines"]["masks"]),
            (std::set<std::string>{"untrained", "attention", "one_start", "kmeans_colour",
                                   "kmeans_seeded"}));
  EXPECT_EQ(keys(result["baselines"]["recognition"]),
            (std::set<std::string>{"slot_feature", "template", "template_position",
                                   "untrained_embedding", "random_matching", "category", "instance",
                                   "instance_untrained", "instance_random_matching", "untrained"}));
  std::vector<json> mask_tables{result["masks"]}, recognition_tables{result["recognition"]};
  for (const json& table : result["baselines"]["masks"]) mask_tables.push_back(table);
  for (const json& table : result["baselines"]["recognition"]) recognition_tables.push_back(table);
  for (const json& table : mask_tables) {
    EXPECT_EQ(keys(table), (std::set<std::string>{"clean", "weak", "strong"}));
    for (const json& scores : table) {
      EXPECT_EQ(keys(scores), kMaskScores);
      for (const json& score : scores)
        EXPECT_TRUE(score.is_number() && score >= -1 && score <= 1) << score;
    }
  }
  for (const json& scores : recognition_tables) EXPECT_EQ(keys(scores), kRecognitionScores);
  EXPECT_GT(result["recognition"]["candidates_weak"],
            25);  // of 36 objects nearly all are visible in both weak views
  EXPECT_TRUE(result["recognition"]["category_recall_strong"].is_number());
  EXPECT_TRUE(result["baselines"]["recognition"]["template"]["matching_accuracy_weak"].is_null());
}

TEST(Evaluate, KmeansBaselinesFindTheScenesObjects) {
  const ImageSet images = scenes(Split::final, 40);
  const json masks =
      evaluate_small(false, MaskReading::attention, images, nullptr)["baselines"]["masks"];
  EXPECT_GT(masks["kmeans_seeded"]["clean"]["fg_ari"], 0.92);
  EXPECT_GT(masks["kmeans_seeded"]["strong"]["miou"], 0.8);
  EXPECT_GT(masks["kmeans_seeded"]["clean"]["miou"],
            masks["untrained"]["clean"]["miou"].get<double>() + 0.3);
  EXPECT_GT(masks["kmeans_colour"]["clean"]["ari"], 0.8);  // colours that repeat cost it the rest
}

TEST(Evaluate, WithoutSecondStageTheSlotFeatureIsTheEmbedding) {
  const ImageSet images = scenes(Split::final, 10), gallery = scenes(Split::gallery, 10);
  const json result = evaluate_small(false, MaskReading::attention, images, &gallery);
  EXPECT_EQ(keys(result["baselines"]["masks"]),
            (std::set<std::string>{"untrained", "kmeans_colour", "kmeans_seeded"}));
  EXPECT_EQ(keys(result["baselines"]["recognition"]),
            (std::set<std::string>{"template", "template_position", "untrained"}));
  EXPECT_TRUE(result["recognition"]["category_recall"].is_number());
}

TEST(Evaluate, RepeatsForTheSameSeed) {
  const ImageSet images = scenes(Split::final, 10), gallery = scenes(Split::gallery, 10);
  EXPECT_EQ(evaluate_small(true, MaskReading::explanation, images, &gallery),
            evaluate_small(true, MaskReading::explanation, images, &gallery));
}

TEST(Evaluate, WithoutGalleryOnlyCategoryRecallIsUnknown) {
  const ImageSet images = scenes(Split::final, 10);
  const json scores =
      evaluate_small(true, MaskReading::explanation, images, nullptr)["recognition"];
  EXPECT_TRUE(scores["category_recall"].is_null());
  EXPECT_TRUE(scores["category_recall_strong"].is_null());
  EXPECT_TRUE(scores["instance_recall_weak"].is_number());
}

TEST(Evaluate, MasksWithoutLabelsAndNoMasksAtAll) {
  ImageSet images = scenes(Split::final, 10);
  const ImageSet gallery = scenes(Split::gallery, 10);
  images.objects.clear();
  const json unlabelled = evaluate_small(true, MaskReading::explanation, images, &gallery);
  EXPECT_TRUE(unlabelled["recognition"]["category_recall"].is_null());
  EXPECT_TRUE(unlabelled["recognition"]["matching_accuracy_weak"].is_number());
  images.masks.clear();
  const json unknown = evaluate_small(true, MaskReading::explanation, images, &gallery);
  EXPECT_TRUE(unknown["fg_ari"].is_null());
  EXPECT_TRUE(unknown["recognition"].is_null());
  EXPECT_EQ(unknown["images"], 10);
}

TEST(QuickMaskScores, AreTheScoresOfTheFirstImages) {
  const ImageSet images = scenes(Split::heldout, 12);
  const Model model = untrained_model(false);
  const json quick = quick_mask_scores(model, images, 1000, 3);
  EXPECT_EQ(keys(quick), kMaskScores);
  EXPECT_EQ(quick, quick_mask_scores(model, images, 12, 3));
  EXPECT_NE(quick, quick_mask_scores(model, images, 6, 3));
}

}  // namespace
}  // namespace osc::program
