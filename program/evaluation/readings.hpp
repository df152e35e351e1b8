// Masks of many images, computed in batches to bound the memory.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <vector>

#include "data/image.hpp"
#include "model/model.hpp"

namespace osc::program {

inline constexpr std::int64_t kReadingBatch = 100;  // images at a time

// Values of make_generator's `purpose`. The training uses smaller ones.
enum class EvaluationDraw : std::uint64_t {
  mask_starts = 1000,
  views,
  index_starts,
  picture_starts,
  picture_views
};
torch::Generator evaluation_generator(std::uint64_t seed, EvaluationDraw draw,
                                      std::uint64_t step = 0);

struct ReadBatch {
  std::int64_t first = 0;    // number of the batch's first image
  torch::Tensor images;      // [n, 3, H, H] in about 0…1
  torch::Tensor normalised;  // the same as the model sees them
  FoundObjects found;
};

struct ReadingOptions {
  MaskReading reading = MaskReading::explanation;
  int starts = kReadingStarts;
};

// Calls `use` for batches of `count` images, in order. images(first, count): images in about 0…1.
// No gradient.
void read_in_batches(
    const Model& model, std::int64_t count,
    const std::function<torch::Tensor(std::int64_t first, std::int64_t count)>& images,
    torch::Generator generator, const ReadingOptions& options,
    const std::function<void(const ReadBatch&)>& use);

// [n, S, D]: the joined embedding of each slot; without a second stage, its feature.
torch::Tensor slot_embeddings(const Model& model, const torch::Tensor& normalised,
                              const FoundObjects& found);

// slot: int64 [n, H, H]. The slots of pixels as bytes, one image after the other.
void append_slots(std::vector<std::uint8_t>& bytes, const torch::Tensor& slot);
std::vector<Mask> slot_masks(const torch::Tensor& slot);

}  // namespace osc::program
