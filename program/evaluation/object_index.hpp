// The objects of a set of images with their embeddings, for nearest-neighbour search by `osc find`
// and the report.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "data/image_set.hpp"
#include "model/model.hpp"

namespace osc::program {

// A slot is an object where its region covers at least kObjectShare of the image, has a mean
// saliency of at least kObjectSaliency (pixel_targets: 0 near the image's median colour, 1 far from
// it), and is not the least salient region of the image, which is the background.
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

  // Similarities are those of (embedding − mean) / deviation. Mean and deviation are those of
  // `objects` where slot features serve as the embedding, since these have a large common part;
  // otherwise 0 and 1.
  torch::Tensor mean, deviation;  // [D]
  torch::Tensor directions;       // [M, D], of `objects`, of unit length

  // [D], for rank().
  torch::Tensor embedding(std::int64_t image, int slot) const {
    return embeddings.select(0, image).select(0, slot);
  }
};

// The numbers of an image's slots are random. They repeat for the same set and seed, and for a set
// of one image.
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
