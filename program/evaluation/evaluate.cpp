#include "evaluation/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "evaluation/hand_template.hpp"
#include "evaluation/kmeans_masks.hpp"
#include "evaluation/readings.hpp"
#include "evaluation/recognition.hpp"
#include "evaluation/segmentation_scores.hpp"
#include "views/augment.hpp"
#include "views/tensors.hpp"

namespace osc::program {

namespace {

using nlohmann::json;

constexpr std::int64_t kViewedImages = 400;  // of these a second view is made, for recognition

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
  std::uint64_t step =
      0;  // of the random starts: the same ones for every model that reads the sample

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

using Features =
    std::map<std::string, torch::Tensor>;  // by name what each slot is known by, [n, S, D]

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

json score_masks(const Sample& sample, const std::vector<std::uint8_t>& slots) {
  return to_json(mean_segmentation_scores(sample.truth, slots, sample.size()));
}

// [n, S, kTemplateSize]
torch::Tensor templates(const ReadBatch& batch, double place_weight) {
  const std::int64_t n = batch.images.size(0);
  const std::int64_t slots = batch.found.masks.size(1);
  const int side = static_cast<int>(batch.images.size(2));
  const std::size_t pixels = static_cast<std::size_t>(side) * side;
  std::vector<std::uint8_t> slot_of_pixel;
  append_slots(slot_of_pixel, batch.found.slot);
  const torch::Tensor images = batch.images.contiguous();
  torch::Tensor result = torch::empty({n, slots, kTemplateSize});
  float* out = result.data_ptr<float>();
  for (std::int64_t image = 0; image < n; ++image) {
    const std::span colours(images.const_data_ptr<float>() + image * 3 * pixels, 3 * pixels);
    for (int slot = 0; slot < slots; ++slot) {
      out = std::ranges::copy(
                hand_template(colours, std::span(slot_of_pixel).subspan(image * pixels, pixels),
                              side, slot, place_weight),
                out)
                .out;
    }
  }
  return result;
}

// What is compared, how.
struct Contender {
  std::string name;
  Likeness likeness = Likeness::cosine;
  bool standardise = false;  // by the gallery's mean and deviation, for objects of the same kind
  bool has_slot_identity = true;  // the loss's matching is one of features, not of templates
};

constexpr const char* kTheModel = "model";

// One model's readings of all samples, and its objects in them.
struct ReadAll {
  Reading gallery, clean, view[2][2];  // view[strength][which]
  std::vector<ObjectRow> gallery_rows, clean_rows;
  std::vector<ObjectPair> pairs[2];
};

struct Samples {
  Sample clean, gallery, view[2][2];
  ObjectLabels labels, gallery_labels;
};

constexpr const char* kStrengthNames[2] = {"weak", "strong"};

ReadImages read_images(const Sample& sample, const Reading& reading, std::int64_t count) {
  const std::size_t size = sample.size() == 0 ? 0 : sample.truth.size() / sample.size() * count;
  return {std::span(sample.truth).first(size), std::span(reading.slots).first(size), count};
}

ReadAll read_all(const Model& model, const Samples& samples, std::uint64_t seed,
                 const Describe& describe, const std::string& who,
                 const std::function<void(const std::string&)>& progress) {
  const ReadingOptions options{.reading = model.reading};
  const auto read = [&](const Sample& sample) {
    progress(who + ": " + sample.description);
    return read_sample(model, sample, seed, options, describe);
  };
  ReadAll all;
  all.clean = read(samples.clean);
  all.clean_rows = of_known_kind(
      match_objects(read_images(samples.clean, all.clean, samples.clean.size()), samples.labels));
  if (samples.gallery.images.defined()) {
    all.gallery = read(samples.gallery);
    all.gallery_rows = of_known_kind(match_objects(
        read_images(samples.gallery, all.gallery, samples.gallery.size()), samples.gallery_labels));
  }
  for (int strength = 0; strength < 2; ++strength) {
    for (int which = 0; which < 2; ++which)
      all.view[strength][which] = read(samples.view[strength][which]);
    const std::int64_t count = samples.view[strength][1].size();
    all.pairs[strength] = objects_in_both(
        read_images(samples.view[strength][0], all.view[strength][0], count),
        read_images(samples.view[strength][1], all.view[strength][1], count), samples.labels);
  }
  return all;
}

json masks_of(const Samples& samples, const ReadAll& all) {
  json scores{{"clean", score_masks(samples.clean, all.clean.slots)}};
  for (int strength = 0; strength < 2; ++strength) {
    scores[kStrengthNames[strength]] =
        score_masks(samples.view[strength][0], all.view[strength][0].slots);
  }
  return scores;
}

json recognition_of(const ReadAll& all, const Contender& contender) {
  const std::string& name = contender.name;
  torch::Tensor gallery;
  std::function<torch::Tensor(const torch::Tensor&)> scaled = [](const torch::Tensor& x) {
    return x;
  };
  if (!all.gallery_rows.empty()) {
    gallery = features_of(all.gallery.features.at(name), all.gallery_rows);
    if (contender.standardise) {
      scaled = [mean = gallery.mean(0), deviation = gallery.std(0, /*unbiased=*/false) + 1e-6](
                   const torch::Tensor& x) { return (x - mean) / deviation; };
      gallery = scaled(gallery);
    }
  }
  const auto same_kind = [&](const Reading& reading, const std::vector<ObjectRow>& rows) {
    if (all.gallery_rows.empty()) return json(nullptr);
    return number(same_kind_share(scaled(features_of(reading.features.at(name), rows)), rows,
                                  gallery, all.gallery_rows, contender.likeness));
  };

  json scores{{"same_kind", same_kind(all.clean, all.clean_rows)}};
  for (int strength = 0; strength < 2; ++strength) {
    const std::string suffix = std::string("_") + kStrengthNames[strength];
    const std::vector<ObjectPair>& pairs = all.pairs[strength];
    const torch::Tensor& second = all.view[strength][1].features.at(name);
    const torch::Tensor first =
        all.view[strength][0].features.at(name).narrow(0, 0, second.size(0));
    scores["same_kind" + suffix] =
        same_kind(all.view[strength][0], of_known_kind(rows_of_view(pairs, 0)));
    scores["this_object" + suffix] =
        number(found_again_share(features_of(first, rows_of_view(pairs, 0)),
                                 features_of(second, rows_of_view(pairs, 1)), contender.likeness));
    scores["slot_identity" + suffix] = contender.has_slot_identity
                                           ? number(slot_identity_share(first, second, pairs))
                                           : json(nullptr);
    scores["candidates" + suffix] = std::ssize(pairs);
  }
  return scores;
}

// Masks of a sample that need no description: k-means, and the model read in other ways.
using MaskReader = std::function<std::vector<std::uint8_t>(const Sample&)>;

json score_everywhere(const Samples& samples, const MaskReader& reader) {
  json scores{{"clean", score_masks(samples.clean, reader(samples.clean))}};
  for (int strength = 0; strength < 2; ++strength) {
    const Sample& view = samples.view[strength][0];
    scores[kStrengthNames[strength]] = score_masks(view, reader(view));
  }
  return scores;
}

MaskReader reader_without_learning(torch::Tensor (*masks)(const torch::Tensor&, std::int64_t),
                                   std::int64_t clusters) {
  return [=](const Sample& sample) {
    std::vector<std::uint8_t> slots;
    for (std::int64_t first = 0; first < sample.size(); first += kReadingBatch) {
      append_slots(
          slots,
          masks(normalise(sample.part(first, std::min(kReadingBatch, sample.size() - first))),
                clusters));
    }
    return slots;
  };
}

}  // namespace

json evaluate(const EvaluationInput& input,
              const std::function<void(const std::string&)>& progress) {
  const torch::NoGradGuard no_grad;
  const Model& model = input.model;
  const ImageSet& set = *input.images;
  json result{{"images", set.size()},
              {"source", set.source},
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
    for (std::size_t which = 0; which < 2; ++which) {
      samples.view[strength][which] = view_sample(
          set, which == 0 ? set.size() : viewed, strengths[strength],
          kStrengthNames[strength] + std::string(" views"), input.seed, 2 + 2 * strength + which);
    }
  }
  if (input.gallery != nullptr && input.gallery->has_masks() && input.gallery->has_objects()) {
    samples.gallery = clean_sample(*input.gallery, "gallery", 1);
    samples.gallery_labels = input.gallery->objects;
  }

  const bool has_embedding = !model.embedding.is_empty();
  const Describe describe = [&](const ReadBatch& batch) {
    Features features{{"template", templates(batch, 0)},
                      {"template_position", templates(batch, kTemplatePlaceWeight)}};
    if (!has_embedding) {
      features[kTheModel] = batch.found.features;
      return features;
    }
    features["slot_feature"] = batch.found.features;
    const auto embed = [&](ObjectEmbedding embedding, const std::string& joined,
                           const std::string& which) {
      const Embedding embedded = embedding->forward(batch.normalised, batch.found.masks);
      features[joined] = embedded.joined();
      features[which] = embedded.which;
      return embedded;
    };
    features["what"] = embed(model.embedding, kTheModel, "which").what;
    if (!input.untrained.embedding.is_empty())
      embed(input.untrained.embedding, "untrained_embedding", "which_untrained");
    if (!model.control.is_empty()) embed(model.control, "random_matching", "which_random_matching");
    return features;
  };
  const ReadAll trained = read_all(model, samples, input.seed, describe, "the model", progress);
  result["masks"] = masks_of(samples, trained);
  for (const char* score : {"fg_ari", "ari", "miou"})
    result[score] = result["masks"]["clean"][score];

  json& mask_baselines = result["baselines"]["masks"];
  json& recognition_baselines = result["baselines"]["recognition"];
  progress("recognition");
  result["recognition"] =
      recognition_of(trained, {.name = kTheModel, .standardise = !has_embedding});
  for (const auto& [name, features] : trained.clean.features) {
    if (name == kTheModel) continue;
    const bool by_hand = name.starts_with("template");
    recognition_baselines[name] =
        recognition_of(trained, {.name = name,
                                 .likeness = by_hand ? Likeness::euclidean : Likeness::cosine,
                                 .standardise = name == "slot_feature",
                                 .has_slot_identity = !by_hand});
  }

  const Model& untrained = input.untrained;
  const Describe describe_untrained = [&](const ReadBatch& batch) {
    return Features{{"untrained", slot_embeddings(untrained, batch.normalised, batch.found)}};
  };
  const ReadAll before =
      read_all(untrained, samples, input.seed, describe_untrained, "the untrained model", progress);
  mask_baselines["untrained"] = masks_of(samples, before);
  recognition_baselines["untrained"] =
      recognition_of(before, {.name = "untrained", .standardise = untrained.embedding.is_empty()});

  const auto reader = [&](const ReadingOptions& options) {
    return [&, options](const Sample& sample) {
      return read_sample(model, sample, input.seed, options).slots;
    };
  };
  if (model.reading ==
      MaskReading::explanation) {  // read by attention, the model itself is both of these
    progress("masks: attention, one start");
    mask_baselines["attention"] =
        score_everywhere(samples, reader({.reading = MaskReading::attention}));
    mask_baselines["one_start"] =
        score_everywhere(samples, reader({.reading = MaskReading::explanation, .starts = 1}));
  }
  progress("masks: k-means");
  SlotModel slots = model.slots;
  mask_baselines["kmeans_colour"] = score_everywhere(
      samples, reader_without_learning(kmeans_colour_masks, slots->options().slots));
  mask_baselines["kmeans_seeded"] = score_everywhere(
      samples, reader_without_learning(kmeans_seeded_masks, slots->options().slots));
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
