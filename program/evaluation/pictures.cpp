#include "evaluation/pictures.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "evaluation/object_index.hpp"
#include "evaluation/readings.hpp"
#include "evaluation/recognition.hpp"
#include "evaluation/segmentation_scores.hpp"
#include "views/views.hpp"

namespace osc::program {
namespace {

// images: [n, 3, H, W] in about 0…1.
std::vector<Image> to_images(const torch::Tensor& images) {
  const torch::Tensor bytes =
      (images * 255).round().clamp(0, 255).to(torch::kUInt8).permute({0, 2, 3, 1}).contiguous();
  const std::int64_t size = bytes[0].numel();
  std::vector<Image> result;
  for (std::int64_t image = 0; image < bytes.size(0); ++image) {
    const std::uint8_t* first = bytes.const_data_ptr<std::uint8_t>() + image * size;
    result.push_back(
        {static_cast<int>(bytes.size(2)), static_cast<int>(bytes.size(1)), {first, first + size}});
  }
  return result;
}

std::int64_t area(const Mask& mask, int slot) { return std::ranges::count(mask.values, slot); }

// Of the true object that the region overlaps best. Empty without truth or labels.
std::string region_category(const ImageSet& set, std::int64_t image, const Mask& slot_of_pixel,
                            int slot) {
  if (!set.has_masks() || !set.has_objects()) return {};
  const Mask truth = set.mask(image);
  return object_category(set.objects, image,
                         RegionOverlap(truth.values, slot_of_pixel.values).best_object(slot));
}

// The largest object of each image that has one, by image.
std::vector<IndexedObject> largest_objects(const ObjectIndex& index) {
  std::map<std::int64_t, IndexedObject> largest;
  for (const IndexedObject& object : index.objects) {
    const auto [known, is_new] = largest.try_emplace(object.image, object);
    const Mask& mask = index.slot_of_pixel[object.image];
    if (!is_new && area(mask, object.slot) > area(mask, known->second.slot)) known->second = object;
  }
  std::vector<IndexedObject> objects;
  for (const auto& [image, object] : largest) objects.push_back(object);
  return objects;
}

}  // namespace

std::vector<WallItem> wall_items(const Model& model, const ImageSet& images, std::int64_t count,
                                 std::uint64_t seed) {
  std::vector<WallItem> items;
  SlotModel slots = model.slots;
  read_in_batches(
      model, std::min(count, images.size()),
      [&](std::int64_t first, std::int64_t n) { return image_tensor(images, first, n); },
      evaluation_generator(seed, EvaluationDraw::picture_starts), {.reading = model.reading},
      [&](const ReadBatch& batch) {
        std::int64_t image = batch.first;
        for (Mask& prediction : slot_masks(batch.found.slot)) {
          WallItem item{images.names[image], images.image(image), std::nullopt,
                        std::move(prediction), slots->options().slots};
          if (images.has_masks()) item.truth = images.mask(image);
          items.push_back(std::move(item));
          ++image;
        }
      });
  return items;
}

std::vector<MatchedViews> matched_views(const Model& model, const ImageSet& images,
                                        std::int64_t count, std::uint64_t seed) {
  count = std::min(count, images.size());
  if (count <= 0) return {};
  const torch::Tensor originals = image_tensor(images, 0, count);
  std::vector<Image> pictures[2];
  std::vector<Mask> slots[2];
  torch::Tensor embeddings[2];
  for (std::size_t view = 0; view < 2; ++view) {
    const torch::Tensor seen =
        random_views(originals, kWeakView,
                     evaluation_generator(seed, EvaluationDraw::picture_views, view))
            .images;
    std::vector<torch::Tensor> parts;
    read_in_batches(
        model, count, [&](std::int64_t first, std::int64_t n) { return seen.narrow(0, first, n); },
        evaluation_generator(seed, EvaluationDraw::picture_starts, 1 + view),
        {.reading = model.reading},
        [&](const ReadBatch& batch) {
          std::ranges::move(to_images(batch.images), std::back_inserter(pictures[view]));
          std::ranges::move(slot_masks(batch.found.slot), std::back_inserter(slots[view]));
          parts.push_back(slot_embeddings(model, batch.normalised, batch.found));
        });
    embeddings[view] = torch::cat(parts);
  }

  const torch::Tensor match = match_views(embeddings[0], embeddings[1]);
  const torch::Tensor partner =
      embeddings[1].gather(1, match.clamp_min(0).unsqueeze(-1).expand_as(embeddings[1]));
  const torch::Tensor cosine =
      torch::cosine_similarity(embeddings[0], partner, -1).to(torch::kFloat64);
  std::vector<MatchedViews> result;
  for (std::int64_t image = 0; image < count; ++image) {
    if ((match[image] < 0).any().item<bool>())
      continue;  // features that are not finite have no matching
    MatchedViews views{images.names[image], {}, {}, {}, {}};
    for (std::size_t view = 0; view < 2; ++view) {
      views.view[view] = std::move(pictures[view][image]);
      views.slot[view] = std::move(slots[view][image]);
    }
    for (std::int64_t slot = 0; slot < match.size(1); ++slot) {
      views.match.push_back(static_cast<int>(match[image][slot].item<std::int64_t>()));
      views.cosine.push_back(cosine[image][slot].item<double>());
    }
    result.push_back(std::move(views));
  }
  return result;
}

std::vector<Retrieval> retrievals(const Model& model, const ImageSet& images,
                                  const ImageSet& gallery, std::int64_t count, std::int64_t nearest,
                                  std::uint64_t seed) {
  const bool own_gallery = &images == &gallery;
  const ObjectIndex candidates = build_object_index(model, gallery, seed);
  std::vector<std::int64_t> first(static_cast<std::size_t>(std::min(count, images.size())));
  std::iota(first.begin(), first.end(), 0);
  const ImageSet asked = select(images, first);
  const ObjectIndex queries = build_object_index(model, asked, seed);
  const auto view = [](const ImageSet& set, const ObjectIndex& index, const IndexedObject& object,
                       double similarity) {
    return ObjectView{set.names[object.image],
                      set.image(object.image),
                      index.slot_of_pixel[object.image],
                      object.slot,
                      similarity,
                      std::nullopt};
  };

  std::vector<Retrieval> result;
  for (const IndexedObject& query : largest_objects(queries)) {
    Retrieval row{view(asked, queries, query, 1), {}};
    const std::string category =
        region_category(asked, query.image, queries.slot_of_pixel[query.image], query.slot);
    const auto except = own_gallery ? std::optional(query.image) : std::nullopt;
    for (const RankedObject& found :
         rank(candidates, queries.embedding(query.image, query.slot), nearest, except)) {
      ObjectView& neighbour =
          row.nearest.emplace_back(view(gallery, candidates, found.object, found.similarity));
      const std::string other =
          region_category(gallery, found.object.image, neighbour.mask, found.object.slot);
      if (!category.empty() && !other.empty()) neighbour.same_category = category == other;
    }
    result.push_back(std::move(row));
  }
  return result;
}

}  // namespace osc::program
