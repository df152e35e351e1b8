#include "training/run_data.hpp"

#include <utility>

#include "data/image_folder.hpp"

namespace osc::program {

namespace {

constexpr std::int64_t kHoldOutEvery = 10;
constexpr std::int64_t kFewImages = 20;
constexpr std::int64_t kFollowedImages = 64;

bool is_built_in(const RunConfig& config) { return config.data == kBuiltInScenes; }

bool is_held_out(std::int64_t index) { return index % kHoldOutEvery == kHoldOutEvery - 1; }

// Up to `most` images for which `keep` holds.
template <typename Keep>
ImageSet part(const ImageSet& all, std::int64_t most, Keep keep) {
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < all.size() && static_cast<std::int64_t>(indices.size()) < most;
       ++i) {
    if (keep(i)) indices.push_back(i);
  }
  return select(all, indices);
}

// Of all the images of a folder.
HeldOutImages held_out_part(const RunConfig& config, const ImageSet& all) {
  const bool few = all.size() < kFewImages;
  HeldOutImages images;
  images.scored =
      part(all, config.final_images, [&](std::int64_t i) { return few || is_held_out(i); });
  images.scored.source +=
      few ? " (all images, trained on as well)" : " (every tenth image, held out)";
  images.gallery =
      part(all, config.gallery_images, [&](std::int64_t i) { return few || !is_held_out(i); });
  if (few)
    images.gallery.objects
        .clear();  // each object would be found in its own image: no score of that
  images.followed = part(images.scored, kFollowedImages, [](std::int64_t) { return true; });
  return images;
}

}  // namespace

HeldOutImages held_out_images(const RunConfig& config, int threads) {
  const int side = static_cast<int>(config.image_size);
  if (!is_built_in(config))
    return held_out_part(config, read_image_set(config.data, side, threads));
  const auto seed = static_cast<std::uint64_t>(config.seed);
  return {make_scene_set(Split::heldout, seed, kFollowedImages, side, threads),
          make_scene_set(Split::final, seed, config.final_images, side, threads),
          make_scene_set(Split::gallery, seed, config.gallery_images, side, threads)};
}

RunImages run_images(const RunConfig& config, int threads) {
  const int side = static_cast<int>(config.image_size);
  if (is_built_in(config)) {
    return {make_scene_set(Split::train, static_cast<std::uint64_t>(config.seed),
                           config.train_images, side, threads),
            held_out_images(config, threads)};
  }
  ImageSet all = read_image_set(config.data, side, threads);
  HeldOutImages held_out = held_out_part(config, all);
  if (all.size() < kFewImages) return {std::move(all), std::move(held_out)};
  ImageSet trained = part(all, all.size(), [](std::int64_t i) { return !is_held_out(i); });
  trained.skipped = std::move(all.skipped);
  return {std::move(trained), std::move(held_out)};
}

std::vector<std::filesystem::path> data_files(const RunConfig& config) {
  if (is_built_in(config)) return {};
  return list_files(config.data);
}

}  // namespace osc::program
