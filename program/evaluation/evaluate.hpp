// `osc eval`: scores of a trained model on held-out images, beside honest baselines computed in the
// same run.
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
  Model untrained;          // the same networks before training, from the same seed
  const ImageSet* images;   // scored; masks are needed, objects for recognition
  const ImageSet* gallery;  // searched for objects of the same kind; null, or without masks and
                            // objects: recognition across images is left out
  std::uint64_t seed = 0;   // of the views and of the random starts
};

// {
//   "fg_ari", "ari", "miou": of the model on clean images,
//   "masks": {"clean": {"fg_ari","ari","miou"}, "weak": {…}, "strong": {…}},
//   "recognition": {
//     "same_kind", "same_kind_weak", "same_kind_strong": nearest object in the gallery has the same
//       shape and colour; query clean or in a view,
//     "this_object_weak", "this_object_strong": nearest object among all of the other view's is
//       this very one,
//     "slot_identity_weak", "slot_identity_strong": the matching of the loss joins the slots of the
//       same object in two views,
//     "candidates_weak", "candidates_strong": how many objects the other view has
//   },
//   "baselines": {"masks": {NAME: as "masks"}, "recognition": {NAME: as "recognition"}},
//   "images": how many were scored, "source": of the images
// }
// Names of mask baselines: untrained, attention, one_start (these two are absent where the model
// itself is read by attention), kmeans_colour, kmeans_seeded. Of recognition baselines, on the
// model's own masks: slot_feature, what, which, untrained_embedding, which_untrained (absent
// without a second stage), random_matching, which_random_matching (absent without a control),
// template, template_position (no slot identity: null); and untrained (masks and all). Every method
// sees the same views, and recognises objects that are visible in both views of the first 400
// images at most. A number that cannot be computed is null; images without masks have nothing but
// nulls. Deterministic by seed and number of threads. `progress` is told what is being computed.
nlohmann::json evaluate(const EvaluationInput& input,
                        const std::function<void(const std::string&)>& progress);

// FG-ARI, ARI and mIoU alone, clean, of the first `count` images: cheap enough to follow a
// training.
nlohmann::json quick_mask_scores(const Model& model, const ImageSet& images, std::int64_t count,
                                 std::uint64_t seed);

}  // namespace osc::program
