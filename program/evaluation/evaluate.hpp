// `osc eval`: scores of a trained model on held-out images, and of baselines in the same run.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <string>

#include "data/image_set.hpp"
#include "model/model.hpp"

namespace osc::program {

struct EvaluationInput {
  Model model;
  Model untrained;         // the same networks before training, from the same seed
  const ImageSet* images;  // scored; masks are needed, objects for recognition
  // Searched for objects of the same category. Null, or without masks and objects: category recall
  // is left out.
  const ImageSet* gallery;
  std::uint64_t seed = 0;  // of the views and of the random starts
};

// {
//   "fg_ari", "ari", "miou": of the model on clean images,
//   "masks": {"clean": {"fg_ari","ari","miou"}, "weak": {…}, "strong": {…}},
//   "recognition": {
//     "category_recall", "category_recall_weak", "category_recall_strong": recall at 1: the nearest
//       object of the gallery has the category of the query, which is clean or in a view,
//     "instance_recall_weak", "instance_recall_strong": recall at 1: the nearest of all objects of
//       the second view is the same object,
//     "matching_accuracy_weak", "matching_accuracy_strong": the matching of the loss pairs the
//       slots of the same object in two views,
//     "candidates_weak", "candidates_strong": the number of objects in the second view
//   },
//   "baselines": {"masks": {NAME: as "masks"}, "recognition": {NAME: as "recognition"}},
//   "images": the number scored, "source": of the images, "categories": the number of categories
// }
// Mask baselines: untrained, attention, one_start (the last two are absent where the model itself
// is read by attention), kmeans_colour, kmeans_seeded. Recognition baselines on the model's masks:
// slot_feature, category, instance, untrained_embedding, instance_untrained (absent without a
// second stage), random_matching, instance_random_matching (absent without a control), template,
// template_position (matching accuracy null); on its own masks: untrained. All methods see the same
// views. Recognition takes the objects that are visible in both views, of the first 400 images at
// most. A number that cannot be computed is null; images without masks give nulls alone.
// Deterministic by seed and number of threads. `progress` is told what is being computed.
nlohmann::json evaluate(const EvaluationInput& input,
                        const std::function<void(const std::string&)>& progress);

// FG-ARI, ARI and mIoU alone, clean, of the first `count` images: cheap enough to follow a
// training.
nlohmann::json quick_mask_scores(const Model& model, const ImageSet& images, std::int64_t count,
                                 std::uint64_t seed);

}  // namespace osc::program
