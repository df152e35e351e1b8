// The pictures of a report as data.
#pragma once

#include "data/image_set.hpp"
#include "model/model.hpp"
#include "report/report.hpp"

namespace osc::program {

// The first `count` images with their segmentation; truth where the set has it.
std::vector<WallItem> wall_items(const Model& model, const ImageSet& images, std::int64_t count,
                                 std::uint64_t seed);

// Two weak views of each of the first `count` images, their slots, and the matching that the loss
// makes of them.
std::vector<MatchedViews> matched_views(const Model& model, const ImageSet& images,
                                        std::int64_t count, std::uint64_t seed);

// For one object of each of the first `count` images: the `nearest` most similar objects in other
// images of the gallery.
std::vector<Retrieval> retrievals(const Model& model, const ImageSet& images,
                                  const ImageSet& gallery, std::int64_t count, std::int64_t nearest,
                                  std::uint64_t seed);

}  // namespace osc::program
