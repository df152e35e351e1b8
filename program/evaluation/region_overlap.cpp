#include "evaluation/region_overlap.hpp"

#include <algorithm>
#include <stdexcept>

#include "osc/assignment.hpp"

namespace osc::program {

RegionOverlap::RegionOverlap(std::span<const std::uint8_t> truth,
                             std::span<const std::uint8_t> predicted)
    : pixels_(static_cast<std::int64_t>(truth.size())) {
  if (truth.size() != predicted.size())
    throw std::invalid_argument("RegionOverlap: truth and prediction differ in size");
  if (!truth.empty()) {
    labels_ = *std::ranges::max_element(truth) + 1;
    regions_ = *std::ranges::max_element(predicted) + 1;
  }
  common_.resize(static_cast<std::size_t>(labels_) * regions_);
  label_area_.resize(labels_);
  region_area_.resize(regions_);
  for (std::size_t pixel = 0; pixel < truth.size(); ++pixel) {
    ++common_[static_cast<std::size_t>(truth[pixel]) * regions_ + predicted[pixel]];
    ++label_area_[truth[pixel]];
    ++region_area_[predicted[pixel]];
  }
}

double RegionOverlap::iou(int label, int region) const {
  const std::int64_t both = common(label, region);
  return static_cast<double>(both) / static_cast<double>(std::max<std::int64_t>(
                                         1, label_area_[label] + region_area_[region] - both));
}

int RegionOverlap::best_region(int label) const {
  int best = 0;
  for (int region = 1; region < regions_; ++region) {
    if (iou(label, region) > iou(label, best)) best = region;
  }
  return best;
}

int RegionOverlap::best_object(int region) const {
  int best = 0;
  for (int label = 1; label < labels_; ++label) {
    if (common(label, region) > 0 && (best == 0 || iou(label, region) > iou(best, region)))
      best = label;
  }
  return best;
}

std::vector<int> RegionOverlap::matched_regions() const {
  std::vector<int> objects, regions;  // those with pixels: label numbers in a file may be far apart
  for (int label = 1; label < labels_; ++label) {
    if (label_area_[label] > 0) objects.push_back(label);
  }
  for (int region = 0; region < regions_; ++region) {
    if (region_area_[region] > 0) regions.push_back(region);
  }
  std::vector<double> overlap;
  overlap.reserve(objects.size() * regions.size());
  for (int label : objects) {
    for (int region : regions) overlap.push_back(iou(label, region));
  }
  std::vector<std::int64_t> column(objects.size(), -1);
  linear_sum_assignment(
      contiguous(overlap.data(), {1, std::ssize(objects), std::ssize(regions)}),
      {.col4row = column.data()}, {.maximize = true});

  std::vector<int> matched(labels_, -1);
  for (std::size_t row = 0; row < objects.size(); ++row) {
    if (column[row] >= 0) matched[objects[row]] = regions[column[row]];
  }
  return matched;
}

}  // namespace osc::program
