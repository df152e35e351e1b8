#include "evaluation/segmentation_scores.hpp"

#include <algorithm>
#include <stdexcept>

#include "evaluation/region_overlap.hpp"

namespace osc::program {

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
