#include "evaluation/recognition.hpp"

#include <algorithm>

#include "evaluation/segmentation_scores.hpp"
#include "model/object_embedding.hpp"
#include "osc/libtorch/assignment.hpp"

namespace osc::program {
namespace {

constexpr std::int64_t kQueryBlock = 1024;  // bounds the memory of [Q, M] similarities

double share(std::int64_t count, std::int64_t of) {
  return of == 0 ? kNoScore : static_cast<double>(count) / static_cast<double>(of);
}

}  // namespace

std::string object_category(ObjectLabels labels, std::int64_t image, int label) {
  const bool known = image < std::ssize(labels) && label >= 1 && label <= std::ssize(labels[image]);
  return known ? labels[image][label - 1].category : "";
}

std::vector<ObjectRow> match_objects(const ReadImages& images, ObjectLabels labels) {
  std::vector<ObjectRow> rows;
  for (std::int64_t image = 0; image < images.count; ++image) {
    const std::vector<int> slot =
        RegionOverlap(images.truth_of(image), images.slots_of(image)).matched_regions();
    for (int label = 1; label < std::ssize(slot); ++label) {
      if (slot[label] >= 0)
        rows.push_back({image, slot[label], object_category(labels, image, label)});
    }
  }
  return rows;
}

std::vector<ObjectRow> of_known_category(std::vector<ObjectRow> rows) {
  std::erase_if(rows, [](const ObjectRow& row) { return row.category.empty(); });
  return rows;
}

std::vector<ObjectPair> objects_in_both(const ReadImages& view0, const ReadImages& view1,
                                        ObjectLabels labels) {
  const double visible = kVisibleShare * static_cast<double>(view0.pixels()) - 1e-6;
  std::vector<ObjectPair> pairs;
  for (std::int64_t image = 0; image < view0.count; ++image) {
    const RegionOverlap overlap0(view0.truth_of(image), view0.slots_of(image));
    const RegionOverlap overlap1(view1.truth_of(image), view1.slots_of(image));
    for (int label = 1; label < std::min(overlap0.labels(), overlap1.labels()); ++label) {
      if (static_cast<double>(std::min(overlap0.label_area(label), overlap1.label_area(label))) <
          visible)
        continue;
      pairs.push_back({image,
                       {overlap0.best_region(label), overlap1.best_region(label)},
                       object_category(labels, image, label)});
    }
  }
  return pairs;
}

std::vector<ObjectRow> rows_of_view(std::span<const ObjectPair> pairs, int view) {
  std::vector<ObjectRow> rows;
  rows.reserve(pairs.size());
  for (const ObjectPair& pair : pairs) rows.push_back({pair.image, pair.slot[view], pair.category});
  return rows;
}

torch::Tensor features_of(const torch::Tensor& features, std::span<const ObjectRow> rows) {
  std::vector<std::int64_t> index;
  index.reserve(rows.size());
  for (const ObjectRow& row : rows) index.push_back(row.image * features.size(1) + row.slot);
  return features.flatten(0, 1).index_select(0, torch::tensor(index, torch::kInt64));
}

torch::Tensor nearest_candidates(const torch::Tensor& queries, const torch::Tensor& candidates,
                                 Metric metric) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor keys = metric == Metric::cosine ? unit(candidates) : candidates;
  const torch::Tensor squares = keys.square().sum(-1);
  std::vector<torch::Tensor> nearest{torch::empty({0}, torch::kInt64)};
  for (const torch::Tensor& block : queries.split(kQueryBlock)) {
    // The norm of a query scales its cosines and shifts its squared distances. Neither changes the
    // nearest candidate.
    const torch::Tensor products = torch::matmul(block, keys.t());
    nearest.push_back(metric == Metric::cosine ? products.argmax(1)
                                               : (squares - 2 * products).argmin(1));
  }
  return torch::cat(nearest);
}

double category_recall(const torch::Tensor& queries, std::span<const ObjectRow> query_rows,
                       const torch::Tensor& candidates, std::span<const ObjectRow> candidate_rows,
                       Metric metric) {
  if (query_rows.empty() || candidate_rows.empty()) return kNoScore;
  const torch::Tensor nearest = nearest_candidates(queries, candidates, metric);
  const auto chosen = nearest.accessor<std::int64_t, 1>();
  std::int64_t same = 0;
  for (std::int64_t query = 0; query < std::ssize(query_rows); ++query)
    same += query_rows[query].category == candidate_rows[chosen[query]].category;
  return share(same, std::ssize(query_rows));
}

double instance_recall(const torch::Tensor& view0, const torch::Tensor& view1, Metric metric) {
  if (view0.size(0) == 0) return kNoScore;
  const torch::Tensor itself = torch::arange(view0.size(0));
  return share((nearest_candidates(view0, view1, metric) == itself).sum().item<std::int64_t>(),
               view0.size(0));
}

torch::Tensor match_views(const torch::Tensor& view0, const torch::Tensor& view1) {
  return libtorch::match_slots(torch::cat({view0, view1}));
}

double matching_accuracy(const torch::Tensor& view0, const torch::Tensor& view1,
                         std::span<const ObjectPair> pairs) {
  const torch::Tensor match = match_views(view0, view1);
  const auto matched = match.accessor<std::int64_t, 2>();
  std::int64_t joined = 0;
  for (const ObjectPair& pair : pairs) joined += matched[pair.image][pair.slot[0]] == pair.slot[1];
  return share(joined, std::ssize(pairs));
}

}  // namespace osc::program
