// The report's pictures, drawn, and placed for the templates of the same names. Each is null when
// there is nothing to show.
#pragma once

#include <nlohmann/json.hpp>

#include <vector>

#include "report/contents.hpp"

namespace osc::program {

nlohmann::json wall_view(const std::vector<WallItem>& wall);
nlohmann::json matching_view(const std::vector<MatchedViews>& pairs);
nlohmann::json retrieval_view(const std::vector<Retrieval>& retrievals);

// The truth renumbered so that each object bears the number of the slot that found it, and the rest
// (unmatched objects, the background) numbers of their own: drawn in the same colours, truth and
// prediction can be compared at a glance. Pairs are taken by overlap (intersection over union),
// largest first.
Mask numbered_like(const Mask& truth, const Mask& prediction);

}  // namespace osc::program
