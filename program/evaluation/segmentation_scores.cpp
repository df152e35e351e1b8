#include "evaluation/segmentation_scores.hpp"

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
  std::vector<int> objects, regions;  // with pixels: label numbers may have large gaps
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
  linear_sum_assignment(contiguous(overlap.data(), {1, std::ssize(objects), std::ssize(regions)}),
                        {.col4row = column.data()}, {.maximize = true});

  std::vector<int> matched(labels_, -1);
  for (std::size_t row = 0; row < objects.size(); ++row) {
    if (column[row] >= 0) matched[objects[row]] = regions[column[row]];
  }
  return matched;
}

namespace {

double pairs(std::int64_t count) {
  return static_cast<double>(count) * static_cast<double>(count - 1) / 2;
}

// Over the pixels whose label is at least `first_label`.
double adjusted_rand_index(const RegionOverlap& overlap, int first_label) {
  std::int64_t pixels = 0;
  double together = 0, together_in_truth = 0, together_in_prediction = 0;
  for (int region = 0; region < overlap.regions(); ++region) {
    std::int64_t area = 0;
    for (int label = first_label; label < overlap.labels(); ++label) {
      area += overlap.common(label, region);
      together += pairs(overlap.common(label, region));
    }
    together_in_prediction += pairs(area);
    pixels += area;
  }
  for (int label = first_label; label < overlap.labels(); ++label)
    together_in_truth += pairs(overlap.label_area(label));
  if (pixels == 0) return kNoScore;
  if (pixels == 1) return 1;
  const double expected = together_in_truth * (together_in_prediction / pairs(pixels));
  const double largest = (together_in_truth + together_in_prediction) / 2;
  return largest == expected ? 1 : (together - expected) / (largest - expected);
}

double mean_iou(const RegionOverlap& overlap) {
  const std::vector<int> matched = overlap.matched_regions();
  double sum = 0;
  int objects = 0;
  for (int label = 1; label < overlap.labels(); ++label) {
    if (overlap.label_area(label) == 0) continue;
    ++objects;
    if (matched[label] >= 0) sum += overlap.iou(label, matched[label]);
  }
  return objects == 0 ? kNoScore : sum / objects;
}

}  // namespace

SegmentationScores score_segmentation(std::span<const std::uint8_t> truth,
                                      std::span<const std::uint8_t> predicted) {
  const RegionOverlap overlap(truth, predicted);
  return {adjusted_rand_index(overlap, 1), adjusted_rand_index(overlap, 0), mean_iou(overlap)};
}

SegmentationScores mean_segmentation_scores(std::span<const std::uint8_t> truth,
                                            std::span<const std::uint8_t> predicted,
                                            std::int64_t count) {
  const std::size_t images = static_cast<std::size_t>(std::max<std::int64_t>(count, 0));
  if (truth.size() != predicted.size() ||
      (images == 0 ? !truth.empty() : truth.size() % images != 0)) {
    throw std::invalid_argument(
        "mean_segmentation_scores: truth and prediction must be `count` images of one size");
  }
  const std::size_t pixels = images == 0 ? 0 : truth.size() / images;
  SegmentationScores sum;
  double scored = 0;
  for (std::size_t image = 0; image < images; ++image) {
    const auto mask = truth.subspan(image * pixels, pixels);
    if (std::ranges::all_of(mask, [](std::uint8_t label) { return label == 0; })) continue;
    const SegmentationScores scores =
        score_segmentation(mask, predicted.subspan(image * pixels, pixels));
    sum = {sum.fg_ari + scores.fg_ari, sum.ari + scores.ari, sum.miou + scores.miou};
    ++scored;
  }
  if (scored == 0) return {kNoScore, kNoScore, kNoScore};
  return {sum.fg_ari / scored, sum.ari / scored, sum.miou / scored};
}

}  // namespace osc::program
