#include "evaluation/readings.hpp"

#include <algorithm>

#include "views/views.hpp"

namespace osc::program {

torch::Generator evaluation_generator(std::uint64_t seed, EvaluationDraw draw, std::uint64_t step) {
  return make_generator(seed, static_cast<std::uint64_t>(draw), step);
}

void read_in_batches(
    const Model& model, std::int64_t count,
    const std::function<torch::Tensor(std::int64_t first, std::int64_t count)>& images,
    torch::Generator generator, const ReadingOptions& options,
    const std::function<void(const ReadBatch&)>& use) {
  const torch::NoGradGuard no_grad;
  for (std::int64_t first = 0; first < count; first += kReadingBatch) {
    ReadBatch batch;
    batch.first = first;
    batch.images = images(first, std::min(kReadingBatch, count - first));
    batch.normalised = normalise(batch.images);
    batch.found =
        find_objects(model.slots, batch.normalised, generator, options.reading, options.starts);
    use(batch);
  }
}

torch::Tensor slot_embeddings(const Model& model, const torch::Tensor& normalised,
                              const FoundObjects& found) {
  const torch::NoGradGuard no_grad;
  if (model.embedding.is_empty()) return found.features;
  ObjectEmbedding embedding = model.embedding;
  return embedding->forward(normalised, found.masks).joined();
}

void append_slots(std::vector<std::uint8_t>& bytes, const torch::Tensor& slot) {
  const torch::Tensor narrow = slot.to(torch::kUInt8).contiguous();
  const std::uint8_t* data = narrow.const_data_ptr<std::uint8_t>();
  bytes.insert(bytes.end(), data, data + narrow.numel());
}

std::vector<Mask> slot_masks(const torch::Tensor& slot) {
  std::vector<Mask> masks;
  for (const torch::Tensor& image : slot.unbind(0)) {
    Mask& mask = masks.emplace_back(
        Mask{static_cast<int>(image.size(1)), static_cast<int>(image.size(0)), {}});
    append_slots(mask.values, image);
  }
  return masks;
}

}  // namespace osc::program
