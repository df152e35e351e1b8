#include "evaluation/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "evaluation/baselines.hpp"
#include "evaluation/readings.hpp"
#include "evaluation/recognition.hpp"
#include "evaluation/segmentation_scores.hpp"
#include "views/views.hpp"

namespace osc::program {
namespace {

using nlohmann::json;

constexpr std::int64_t kViewedImages = 400;  // at most so many get a second view

json number(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

json to_json(const SegmentationScores& scores) {
  return {{"fg_ari", number(scores.fg_ari)},
          {"ari", number(scores.ari)},
          {"miou", number(scores.miou)}};
}

// Images to be read, clean or in a view, with their truth.
struct Sample {
  std::string description;
  torch::Tensor images;             // [n, 3, H, H] in about 0…1
  std::vector<std::uint8_t> truth;  // [n, H, H]
  std::uint64_t step;               // of the random starts, which all models share

  std::int64_t size() const { return images.size(0); }
  torch::Tensor part(std::int64_t first, std::int64_t count) const {
    return images.narrow(0, first, count);
  }
};

Sample clean_sample(const ImageSet& set, std::string description, std::uint64_t step) {
  return {std::move(description), image_tensor(set, 0, set.size()), set.masks, step};
}

// One view of each of the first `count` images.
Sample view_sample(const ImageSet& set, std::int64_t count, const ViewStrength& strength,
                   std::string description, std::uint64_t seed, std::uint64_t step) {
  const torch::Generator generator = evaluation_generator(seed, EvaluationDraw::views, step);
  Sample sample{std::move(description), {}, {}, step};
  std::vector<torch::Tensor> images;
  for (std::int64_t first = 0; first < count; first += kReadingBatch) {
    const std::int64_t n = std::min(kReadingBatch, count - first);
    const Views views =
        random_views(image_tensor(set, first, n), strength, generator, mask_tensor(set, first, n));
    images.push_back(views.images);
    append_slots(sample.truth, views.masks);
  }
  sample.images = torch::cat(images);
  return sample;
}

using Features = std::map<std::string, torch::Tensor>;  // features of slots [n, S, D], by name

// A sample as a model reads it.
struct Reading {
  std::vector<std::uint8_t> slots;  // of pixels
  Features features;
};

using Describe = std::function<Features(const ReadBatch&)>;

Reading read_sample(const Model& model, const Sample& sample, std::uint64_t seed,
                    const ReadingOptions& options, const Describe& describe = {}) {
  Reading reading;
  std::map<std::string, std::vector<torch::Tensor>> features;
  read_in_batches(
      model, sample.size(),
      [&](std::int64_t first, std::int64_t count) { return sample.part(first, count); },
      evaluation_generator(seed, EvaluationDraw::mask_starts, sample.step), options,
      [&](const ReadBatch& batch) {
        append_slots(reading.slots, batch.found.slot);
        if (!describe) return;
        for (auto& [name, tensor] : describe(batch)) features[name].push_back(tensor);
      });
  for (const auto& [name, parts] : features) reading.features[name] = torch::cat(parts);
  return reading;
}

constexpr const char* kTheModel = "model";
constexpr const char* kStrengths[2] = {"weak", "strong"};

struct Samples {
  Sample clean, gallery, view[2][2];  // view[strength][number]
  ObjectLabels labels, gallery_labels;
};

// One model's readings of all samples, and its objects in them.
struct Readings {
  std::map<const Sample*, Reading> of;
  std::vector<ObjectRow> gallery_rows, clean_rows;
  std::vector<ObjectPair> pairs[2];  // of each strength
};

ReadImages read_images(const Sample& sample, const Reading& reading, std::int64_t count) {
  const std::size_t size = sample.size() == 0 ? 0 : sample.truth.size() / sample.size() * count;
  return {std::span(sample.truth).first(size), std::span(reading.slots).first(size), count};
}

Readings read_all(const Model& model, const Samples& samples, std::uint64_t seed,
                  const Describe& describe, const std::string& who,
                  const std::function<void(const std::string&)>& progress) {
  Readings readings;
  const auto read = [&](const Sample& sample) {
    progress(who + ": " + sample.description);
    readings.of[&sample] = read_sample(model, sample, seed, {.reading = model.reading}, describe);
  };
  const auto rows = [&](const Sample& sample, ObjectLabels labels) {
    read(sample);
    return of_known_category(
        match_objects(read_images(sample, readings.of[&sample], sample.size()), labels));
  };
  readings.clean_rows = rows(samples.clean, samples.labels);
  if (samples.gallery.images.defined())
    readings.gallery_rows = rows(samples.gallery, samples.gallery_labels);
  for (int strength = 0; strength < 2; ++strength) {
    const auto& [first, second] = samples.view[strength];
    read(first);
    read(second);
    readings.pairs[strength] =
        objects_in_both(read_images(first, readings.of[&first], second.size()),
                        read_images(second, readings.of[&second], second.size()), samples.labels);
  }
  return readings;
}

// slots_of(sample): the slot of each pixel.
template <typename SlotsOf>
json mask_scores(const Samples& samples, const SlotsOf& slots_of) {
  json scores;
  for (const auto& [name, sample] : {std::pair("clean", &samples.clean),
                                     {kStrengths[0], &samples.view[0][0]},
                                     {kStrengths[1], &samples.view[1][0]}})
    scores[name] =
        to_json(mean_segmentation_scores(sample->truth, slots_of(*sample), sample->size()));
  return scores;
}

// A feature by which objects are compared.
struct Contender {
  std::string name;
  Metric metric = Metric::cosine;
  bool standardise = false;  // by the gallery's mean and deviation, for category recall
  bool has_matching = true;  // whether the matching of the loss can be computed from it
};

json recognition_scores(const Samples& samples, const Readings& readings,
                        const Contender& contender) {
  const auto features = [&](const Sample& sample) -> const torch::Tensor& {
    return readings.of.at(&sample).features.at(contender.name);
  };
  const bool has_gallery = !readings.gallery_rows.empty();
  torch::Tensor gallery, mean, deviation;
  if (has_gallery) {
    gallery = features_of(features(samples.gallery), readings.gallery_rows);
    mean = gallery.mean(0);
    deviation = gallery.std(0, /*unbiased=*/false) + 1e-6;
  }
  const auto scaled = [&](const torch::Tensor& x) {
    return contender.standardise ? (x - mean) / deviation : x;
  };
  const auto category = [&](const Sample& sample, const std::vector<ObjectRow>& rows) {
    if (!has_gallery) return json(nullptr);
    return number(category_recall(scaled(features_of(features(sample), rows)), rows,
                                  scaled(gallery), readings.gallery_rows, contender.metric));
  };

  json scores{{"category_recall", category(samples.clean, readings.clean_rows)}};
  for (int strength = 0; strength < 2; ++strength) {
    const std::string suffix = std::string("_") + kStrengths[strength];
    const std::vector<ObjectPair>& pairs = readings.pairs[strength];
    const Sample& view = samples.view[strength][0];
    const torch::Tensor& second = features(samples.view[strength][1]);
    const torch::Tensor first = features(view).narrow(0, 0, second.size(0));
    scores["category_recall" + suffix] = category(view, of_known_category(rows_of_view(pairs, 0)));
    scores["instance_recall" + suffix] =
        number(instance_recall(features_of(first, rows_of_view(pairs, 0)),
                               features_of(second, rows_of_view(pairs, 1)), contender.metric));
    scores["matching_accuracy" + suffix] =
        contender.has_matching ? number(matching_accuracy(first, second, pairs)) : json(nullptr);
    scores["candidates" + suffix] = std::ssize(pairs);
  }
  return scores;
}

// Masks without learning.
std::vector<std::uint8_t> kmeans_slots(const Sample& sample,
                                       torch::Tensor (*masks)(const torch::Tensor&, std::int64_t),
                                       std::int64_t clusters) {
  std::vector<std::uint8_t> slots;
  for (std::int64_t first = 0; first < sample.size(); first += kReadingBatch) {
    const torch::Tensor images = sample.part(first, std::min(kReadingBatch, sample.size() - first));
    append_slots(slots, masks(normalise(images), clusters));
  }
  return slots;
}

}  // namespace

json evaluate(const EvaluationInput& input,
              const std::function<void(const std::string&)>& progress) {
  const torch::NoGradGuard no_grad;
  const Model& model = input.model;
  const ImageSet& set = *input.images;
  json result{{"images", set.size()},
              {"source", set.source},
              {"categories", set.categories.size()},
              {"fg_ari", nullptr},
              {"ari", nullptr},
              {"miou", nullptr},
              {"masks", nullptr},
              {"recognition", nullptr},
              {"baselines", {{"masks", json::object()}, {"recognition", json::object()}}}};
  if (!set.has_masks() || set.size() == 0) return result;

  Samples samples;
  samples.labels = set.objects;
  samples.clean = clean_sample(set, "clean images", 0);
  const std::int64_t viewed = std::min(kViewedImages, set.size());
  const ViewStrength strengths[2] = {kWeakView, kStrongView};
  for (std::size_t strength = 0; strength < 2; ++strength) {
    for (std::size_t number = 0; number < 2; ++number) {
      samples.view[strength][number] = view_sample(
          set, number == 0 ? set.size() : viewed, strengths[strength],
          kStrengths[strength] + std::string(" views"), input.seed, 2 + 2 * strength + number);
    }
  }
  if (input.gallery != nullptr && input.gallery->has_masks() && input.gallery->has_objects()) {
    samples.gallery = clean_sample(*input.gallery, "gallery", 1);
    samples.gallery_labels = input.gallery->objects;
  }

  const bool has_embedding = !model.embedding.is_empty();
  const Describe describe = [&](const ReadBatch& batch) {
    Features features{{"template", hand_templates(batch.images, batch.found.masks)},
                      {"template_position",
                       hand_templates(batch.images, batch.found.masks, kTemplatePositionWeight)}};
    if (!has_embedding) {
      features[kTheModel] = batch.found.features;
      return features;
    }
    features["slot_feature"] = batch.found.features;
    const auto embed = [&](ObjectEmbedding embedding, const std::string& joined,
                           const std::string& instance) {
      const Embedding embedded = embedding->forward(batch.normalised, batch.found.masks);
      features[joined] = embedded.joined();
      features[instance] = embedded.instance;
      return embedded;
    };
    features["category"] = embed(model.embedding, kTheModel, "instance").category;
    if (!input.untrained.embedding.is_empty())
      embed(input.untrained.embedding, "untrained_embedding", "instance_untrained");
    if (!model.control.is_empty())
      embed(model.control, "random_matching", "instance_random_matching");
    return features;
  };
  const auto masks_of = [&](const Readings& readings) {
    return mask_scores(
        samples, [&](const Sample& sample) -> auto& { return readings.of.at(&sample).slots; });
  };
  const Readings trained = read_all(model, samples, input.seed, describe, "the model", progress);
  result["masks"] = masks_of(trained);
  result.update(result["masks"]["clean"]);

  json& mask_baselines = result["baselines"]["masks"];
  json& recognition_baselines = result["baselines"]["recognition"];
  progress("recognition");
  result["recognition"] =
      recognition_scores(samples, trained, {.name = kTheModel, .standardise = !has_embedding});
  for (const auto& [name, features] : trained.of.at(&samples.clean).features) {
    if (name == kTheModel) continue;
    const bool is_template = name.starts_with("template");
    recognition_baselines[name] =
        recognition_scores(samples, trained,
                           {.name = name,
                            .metric = is_template ? Metric::euclidean : Metric::cosine,
                            .standardise = name == "slot_feature",
                            .has_matching = !is_template});
  }

  const Model& untrained = input.untrained;
  const Describe describe_untrained = [&](const ReadBatch& batch) {
    return Features{{"untrained", slot_embeddings(untrained, batch.normalised, batch.found)}};
  };
  const Readings before =
      read_all(untrained, samples, input.seed, describe_untrained, "the untrained model", progress);
  mask_baselines["untrained"] = masks_of(before);
  recognition_baselines["untrained"] = recognition_scores(
      samples, before, {.name = "untrained", .standardise = untrained.embedding.is_empty()});

  const auto masks_read = [&](const ReadingOptions& options) {
    return mask_scores(samples, [&](const Sample& sample) {
      return read_sample(model, sample, input.seed, options).slots;
    });
  };
  if (model.reading == MaskReading::explanation) {  // otherwise the model itself is both of these
    progress("masks: attention, one start");
    mask_baselines["attention"] = masks_read({.reading = MaskReading::attention});
    mask_baselines["one_start"] = masks_read({.starts = 1});
  }
  progress("masks: k-means");
  const std::int64_t clusters = model.slots->options().slots;
  const auto kmeans = [&](auto* masks) {
    return mask_scores(samples,
                       [&](const Sample& sample) { return kmeans_slots(sample, masks, clusters); });
  };
  mask_baselines["kmeans_colour"] = kmeans(&kmeans_colour_masks);
  mask_baselines["kmeans_seeded"] = kmeans(&kmeans_seeded_masks);
  return result;
}

json quick_mask_scores(const Model& model, const ImageSet& images, std::int64_t count,
                       std::uint64_t seed) {
  count = std::min(count, images.size());
  if (!images.has_masks()) return to_json(mean_segmentation_scores({}, {}, 0));
  std::vector<std::uint8_t> slots;
  read_in_batches(
      model, count,
      [&](std::int64_t first, std::int64_t n) { return image_tensor(images, first, n); },
      evaluation_generator(seed, EvaluationDraw::mask_starts), {.reading = model.reading},
      [&](const ReadBatch& batch) { append_slots(slots, batch.found.slot); });
  return to_json(
      mean_segmentation_scores(std::span(images.masks).first(slots.size()), slots, count));
}

}  // namespace osc::program
