// report.html: its contents as plain data, and the page made of them.
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <vector>

#include "data/image.hpp"

namespace osc::program {

struct WallItem {
  std::string name;
  Image image;
  std::optional<Mask> truth;
  Mask prediction;  // slot indices
  int slots = 0;
};

struct MatchedViews {
  std::string name;
  Image view[2];
  Mask slot[2];                // slot indices of each view's pixels
  std::vector<int> match;      // slot s of view 0 is matched to slot match[s] of view 1
  std::vector<double> cosine;  // of each matched pair, in −1…1
};

// An object in an image: the region of `slot` in `mask`.
struct ObjectView {
  std::string name;
  Image image;
  Mask mask;
  int slot = 0;
  double similarity = 1;  // cosine to the query; 1 for the query itself
  // Whether it has the query's category; unknown without labels.
  std::optional<bool> same_category;
};

struct Retrieval {
  ObjectView query;
  std::vector<ObjectView> nearest;  // most similar first
};

struct ReportContents {
  std::string title;
  std::string config_toml;  // the whole configuration
  nlohmann::json result;    // result.json: evaluation/evaluate.hpp says what it holds
  std::vector<nlohmann::json>
      metrics;  // the objects of metrics.jsonl in order: stage, step, loss, each term,
                // images_per_second, seconds, sometimes fg_ari, ari, miou
  std::vector<WallItem> wall;
  std::vector<MatchedViews> pairs;
  std::vector<Retrieval> retrievals;
};

// One self-contained file, without scripts and links to other files.
std::string render_report(const ReportContents& contents);

}  // namespace osc::program
