// The parts of a report that are pictures: each a run of HTML without its heading, empty when there
// is nothing to show.
#pragma once

#include <string>
#include <vector>

#include "report/contents.hpp"

namespace osc::program {

std::string wall_html(const std::vector<WallItem>& wall);
std::string pairs_html(const std::vector<MatchedViews>& pairs);
std::string retrievals_html(const std::vector<Retrieval>& retrievals);

// The truth renumbered so that each object bears the number of the slot that found it, and the rest
// (unmatched objects, the background) numbers of their own: drawn in the same colours, truth and
// prediction can be compared at a glance. Pairs are taken by overlap (intersection over union),
// largest first.
Mask numbered_like(const Mask& truth, const Mask& prediction);

}  // namespace osc::program
