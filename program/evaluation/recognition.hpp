// Recognition scores: nearest neighbours among objects with ground truth.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/image_set.hpp"

namespace osc::program {

// `count` images of `pixels` pixels each, one after the other: ground truth (0 background, 1…
// objects) and the slot of each pixel.
struct ReadImages {
  std::span<const std::uint8_t> truth;
  std::span<const std::uint8_t> slots;
  std::int64_t count = 0;

  std::span<const std::uint8_t> truth_of(std::int64_t image) const {
    return truth.subspan(image * pixels(), pixels());
  }
  std::span<const std::uint8_t> slots_of(std::int64_t image) const {
    return slots.subspan(image * pixels(), pixels());
  }
  std::size_t pixels() const {
    return count == 0 ? 0 : truth.size() / static_cast<std::size_t>(count);
  }
};

// [images][objects]; objects[i][k] has mask value k + 1. Empty without labels.
using ObjectLabels = std::span<const std::vector<SceneObject>>;

// The category of the object with mask value `label`; empty if it is not known.
std::string object_category(ObjectLabels labels, std::int64_t image, int label);

// A true object, and the slot that stands for it.
struct ObjectRow {
  std::int64_t image = 0;
  int slot = 0;
  std::string category;  // empty: not known
};

// Each true object with the slot that a Hungarian matching of IoUs gives it; objects for which no
// slot is left are left out.
std::vector<ObjectRow> match_objects(const ReadImages& images, ObjectLabels labels);

// The rows with a known category.
std::vector<ObjectRow> of_known_category(std::vector<ObjectRow> rows);

// A true object in two views of its image, and the slot of largest IoU in each.
struct ObjectPair {
  std::int64_t image = 0;
  int slot[2] = {0, 0};
  std::string category;
};

// An object counts as visible in a view where it covers 20 of 36 × 36 pixels, or that share of a
// larger image.
inline constexpr double kVisibleShare = 20.0 / (36.0 * 36.0);

// Every object that is visible in both views.
std::vector<ObjectPair> objects_in_both(const ReadImages& view0, const ReadImages& view1,
                                        ObjectLabels labels);
std::vector<ObjectRow> rows_of_view(std::span<const ObjectPair> pairs, int view);

// features: [images, S, D]. Result [rows, D].
torch::Tensor features_of(const torch::Tensor& features, std::span<const ObjectRow> rows);

enum class Metric { cosine, euclidean };

// For each row of `queries` [Q, D] the most similar row of `candidates` [M, D], M ≥ 1, by one
// matrix product. int64 [Q].
torch::Tensor nearest_candidates(const torch::Tensor& queries, const torch::Tensor& candidates,
                                 Metric metric);

// The share of queries whose nearest candidate is of their category. NaN without queries or
// candidates.
double category_recall(const torch::Tensor& queries, std::span<const ObjectRow> query_rows,
                       const torch::Tensor& candidates, std::span<const ObjectRow> candidate_rows,
                       Metric metric);

// Row i of both is the same object in two views. The share whose nearest among all objects of the
// second view is the same object. NaN without objects.
double instance_recall(const torch::Tensor& view0, const torch::Tensor& view1, Metric metric);

// view0, view1: [images, S, D]. The share of pairs whose slots the matching of the loss pairs. NaN
// without pairs.
double matching_accuracy(const torch::Tensor& view0, const torch::Tensor& view1,
                         std::span<const ObjectPair> pairs);

// int64 [images, S]: slot s of view 0 is matched to slot match[i, s] of view 1, as the matching
// loss does it.
torch::Tensor match_views(const torch::Tensor& view0, const torch::Tensor& view1);

}  // namespace osc::program
