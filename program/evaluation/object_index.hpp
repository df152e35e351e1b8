// The objects of a set of images and what the model knows them by: what `osc find` searches, and
// the report's rows of nearest objects.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "data/image_set.hpp"
#include "model/model.hpp"

namespace osc::program {

// Which slots are objects. A slot is one where its region
//   covers at least kObjectShare of the image,
//   is on average at least kObjectSaliency salient (pixel_targets: 0 near the image's median
//   colour, 1 far from it), and is not the least salient of the image's regions, which is taken for
//   the background.
inline constexpr double kObjectShare = 0.005;
inline constexpr double kObjectSaliency = 0.3;

// images: normalised [n, 3, H, H]; masks: float32 [n, S, H·H], one-hot over S. Result: bool [n, S].
torch::Tensor object_slots(const torch::Tensor& images, const torch::Tensor& masks);

struct IndexedObject {
  std::int64_t image = 0;  // number in the set
  int slot = 0;
};

struct ObjectIndex {
  int slots = 0;                       // S
  std::vector<Mask> slot_of_pixel;     // one an image
  std::vector<IndexedObject> objects;  // M, by image, then slot
  torch::Tensor embeddings;  // float32 [n, S, D], of every slot, object or not: any may be a query

  // What similarities are taken of: (embedding − mean) / deviation. Mean and deviation are those of
  // `objects` where slot features serve as the embedding, since these share a large common part;
  // else 0 and 1.
  torch::Tensor mean, deviation;  // [D]
  torch::Tensor directions;       // [M, D], of `objects`, of unit length

  // [D], for rank().
  torch::Tensor embedding(std::int64_t image, int slot) const {
    return embeddings.select(0, image).select(0, slot);
  }
};

// Reads all images of a set. An image's slots are numbered by chance: the numbers repeat for the
// same set and seed, and an image that is a set alone always gets the same ones.
ObjectIndex build_object_index(const Model& model, const ImageSet& images, std::uint64_t seed);

// From its parts, as build_object_index does it. is_object: bool [n, S].
ObjectIndex make_object_index(std::vector<Mask> slot_of_pixel, torch::Tensor embeddings,
                              const torch::Tensor& is_object, bool standardise);

struct RankedObject {
  IndexedObject object;
  double similarity = 0;  // cosine, in −1…1
};

// The `count` objects most similar to `query`, most similar first, of equals the earlier in the
// index. query: [D], the embedding of any slot of any index made with the same model. Objects of
// `except_image` are left out.
std::vector<RankedObject> rank(const ObjectIndex& index, const torch::Tensor& query,
                               std::int64_t count, std::optional<std::int64_t> except_image = {});

}  // namespace osc::program
