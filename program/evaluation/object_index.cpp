#include "evaluation/object_index.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "evaluation/readings.hpp"
#include "model/targets.hpp"
#include "views/views.hpp"

namespace osc::program {
torch::Tensor object_slots(const torch::Tensor& images, const torch::Tensor& masks) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor area = masks.sum(-1);  // [n, S]
  const torch::Tensor saliency =
      torch::bmm(masks, pixel_targets(images).saliency.unsqueeze(-1)).squeeze(-1) /
      area.clamp_min(1);
  const torch::Tensor background =
      torch::where(area > 0, saliency, std::numeric_limits<float>::infinity())
          .argmin(1, /*keepdim=*/true);
  const torch::Tensor large_and_salient =
      (area >= kObjectShare * static_cast<double>(masks.size(2))) & (saliency >= kObjectSaliency);
  return large_and_salient.scatter(1, background, false);
}

ObjectIndex make_object_index(std::vector<Mask> slot_of_pixel, torch::Tensor embeddings,
                              const torch::Tensor& is_object, bool standardise) {
  ObjectIndex index;
  index.slots = static_cast<int>(embeddings.size(1));
  index.slot_of_pixel = std::move(slot_of_pixel);
  const torch::Tensor rows = is_object.flatten().nonzero().squeeze(1).contiguous();
  for (const std::int64_t row :
       std::span(rows.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(rows.numel()))) {
    index.objects.push_back({row / index.slots, static_cast<int>(row % index.slots)});
  }
  const std::int64_t width = embeddings.size(2);
  const torch::Tensor objects = embeddings.reshape({-1, width}).index_select(0, rows);
  const bool measured = standardise && !index.objects.empty();
  index.mean = measured ? objects.mean(0) : torch::zeros({width}, embeddings.options());
  index.deviation = measured ? objects.std(0, /*unbiased=*/false) + 1e-6
                             : torch::ones({width}, embeddings.options());
  index.directions = unit((objects - index.mean) / index.deviation);
  index.embeddings = std::move(embeddings);
  return index;
}

ObjectIndex build_object_index(const Model& model, const ImageSet& images, std::uint64_t seed) {
  std::vector<Mask> slot_of_pixel;
  std::vector<torch::Tensor> embeddings, is_object;
  read_in_batches(
      model, images.size(),
      [&](std::int64_t first, std::int64_t count) { return image_tensor(images, first, count); },
      evaluation_generator(seed, EvaluationDraw::index_starts), {.reading = model.reading},
      [&](const ReadBatch& batch) {
        std::ranges::move(slot_masks(batch.found.slot), std::back_inserter(slot_of_pixel));
        embeddings.push_back(slot_embeddings(model, batch.normalised, batch.found));
        is_object.push_back(object_slots(batch.normalised, batch.found.masks));
      });
  if (embeddings.empty())
    return make_object_index({}, torch::empty({0, model.slots->options().slots, 1}),
                             torch::empty({0, 1}, torch::kBool), false);
  return make_object_index(std::move(slot_of_pixel), torch::cat(embeddings), torch::cat(is_object),
                           model.embedding.is_empty());
}

std::vector<RankedObject> rank(const ObjectIndex& index, const torch::Tensor& query,
                               std::int64_t count, std::optional<std::int64_t> except_image) {
  if (index.objects.empty()) return {};
  const torch::Tensor cosine =
      torch::mv(index.directions, unit((query - index.mean) / index.deviation));
  const torch::Tensor similarity = cosine.to(torch::kFloat64)
                                       .nan_to_num_(-1)
                                       .clamp_(-1, 1);  // a model that diverged still ranks, last
  const auto similarities = similarity.accessor<double, 1>();
  std::vector<std::int64_t> rows(index.objects.size());
  std::iota(rows.begin(), rows.end(), 0);
  if (except_image)
    std::erase_if(rows,
                  [&](std::int64_t row) { return index.objects[row].image == *except_image; });
  std::ranges::stable_sort(
      rows, [&](std::int64_t a, std::int64_t b) { return similarities[a] > similarities[b]; });

  std::vector<RankedObject> ranked;
  for (std::int64_t row : std::span(rows).first(
           static_cast<std::size_t>(std::clamp<std::int64_t>(count, 0, std::ssize(rows))))) {
    ranked.push_back({index.objects[row], similarities[row]});
  }
  return ranked;
}

}  // namespace osc::program
