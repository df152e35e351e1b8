#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>

#include "report/chart.hpp"
#include "report/drawing.hpp"
#include "report/numbers.hpp"
#include "report/templates.hpp"
#include "report/views.hpp"

namespace osc::program {
namespace {

using nlohmann::json;

// Larger images are shrunk to these sides: a page full of them has to stay small.
constexpr int kTileSide = 72;
constexpr int kViewSide = 128;

constexpr int kTilesInRow = 8;
constexpr int kVisiblePixels = 64;  // images up to this side are shown with sharp pixels

template <typename Picture>
Picture shrunk(const Picture& picture, int largest_side) {
  if (std::max(picture.width, picture.height) <= largest_side) return picture;
  const auto [width, height] = fitted_size(picture.width, picture.height, largest_side);
  return resize(picture, width, height);
}

// Null for an image without pixels.
json picture_view(const Image& image) {
  if (image.pixels.empty()) return nullptr;
  return {{"src", png_data_uri(image)},
          {"width", image.width},
          {"height", image.height},
          {"sharp", std::max(image.width, image.height) <= kVisiblePixels}};
}

std::string css_colour(int index) {
  const Colour colour = index_colour(index);
  return "rgb(" + std::to_string(colour.red) + "," + std::to_string(colour.green) + "," +
         std::to_string(colour.blue) + ")";
}

// Generated scenes are named by number alone, which would look like the number of a slot.
std::string display_name(const std::string& name) {
  const bool is_number = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
  return is_number ? "image " + name : name;
}

std::string cosine_text(double cosine) {
  return std::isfinite(cosine) ? fixed(cosine, 2) : std::string(kEnDash);
}

struct Point {
  double x, y;
};

std::string path_point(Point point) { return coordinate(point.x) + " " + coordinate(point.y); }

// An image's place in a drawing, fitted into a square.
struct Frame {
  double left, top, width, height;

  Frame(const Image& image, double square_left, double side) {
    const double scale = side / std::max({image.width, image.height, 1});
    width = image.width * scale;
    height = image.height * scale;
    left = square_left + (side - width) / 2;
    top = (side - height) / 2;
  }

  // Where the centroid of a slot's region is, or nothing where it has no pixels.
  std::optional<Point> centroid(const Mask& mask, int slot) const {
    Point sum{0, 0};
    double count = 0;
    for (int y = 0; y < mask.height; ++y) {
      for (int x = 0; x < mask.width; ++x) {
        if (mask.values[static_cast<std::size_t>(y) * mask.width + x] != slot) continue;
        sum.x += x + 0.5;
        sum.y += y + 0.5;
        ++count;
      }
    }
    if (count == 0) return std::nullopt;
    return Point{left + sum.x / count / mask.width * width,
                 top + sum.y / count / mask.height * height};
  }
};

// The second view's slots under the numbers of the first view's slots that they are matched to:
// joined slots share a colour.
Mask matched_numbers(Mask second, const std::vector<int>& match) {
  for (std::uint8_t& value : second.values) {
    const auto at = std::find(match.begin(), match.end(), static_cast<int>(value));
    if (at != match.end()) value = static_cast<std::uint8_t>(at - match.begin());
  }
  return second;
}

json pair_view(const MatchedViews& pair) {
  // As in the view box of matching.html.
  constexpr double kSide = 180;
  constexpr double kGap = 110;
  constexpr double kMiddle = kSide + kGap / 2;
  constexpr double kLabelHeight = 18;
  constexpr double kLabelSpacing = 24;
  const Mask slots[2] = {pair.slot[0], matched_numbers(pair.slot[1], pair.match)};
  std::vector<Frame> frames;
  json views = json::array();
  for (int v = 0; v < 2; ++v) {
    const Image overlay =
        draw_overlay(shrunk(pair.view[v], kViewSide), shrunk(slots[v], kViewSide));
    const Frame& frame = frames.emplace_back(overlay, v * (kSide + kGap), kSide);
    json view = picture_view(overlay);
    if (view.is_null()) continue;
    view.update(
        {{"x", frame.left}, {"y", frame.top}, {"width", frame.width}, {"height", frame.height}});
    views.push_back(view);
  }

  struct Join {
    Point from, to;
    std::size_t slot;
  };
  std::vector<Join> joins;
  std::vector<double> wanted;
  std::vector<double> cosines = pair.cosine;
  cosines.resize(pair.match.size(), std::nan(""));
  for (std::size_t s = 0; s < pair.match.size(); ++s) {
    const auto from = frames[0].centroid(slots[0], static_cast<int>(s));
    const auto to = frames[1].centroid(slots[1], static_cast<int>(s));
    if (!from || !to) continue;
    joins.push_back({*from, *to, s});
    wanted.push_back((from->y + to->y) / 2);
  }
  const std::vector<double> heights =
      spread(wanted, kLabelSpacing, kLabelHeight / 2 + 1, kSide - kLabelHeight / 2 - 1);

  json lines = json::array();
  for (std::size_t i = 0; i < joins.size(); ++i) {
    const auto& [from, to, slot] = joins[i];
    const double y = heights[i];
    lines.push_back(
        {{"path", "M" + path_point(from) + "C" + path_point({(from.x + kMiddle) / 2, from.y}) +
                      " " + path_point({(kSide + kMiddle) / 2 - 10, y}) + " " +
                      path_point({kMiddle, y}) + "S" + path_point({(to.x + kMiddle) / 2, to.y}) +
                      " " + path_point(to)},
         {"x1", from.x},
         {"y1", from.y},
         {"x2", to.x},
         {"y2", to.y},
         {"label_y", y},
         {"colour", css_colour(static_cast<int>(slot))},
         {"cosine", cosine_text(cosines[slot])}});
  }
  std::erase_if(cosines, [](double cosine) { return !std::isfinite(cosine); });
  json view = {{"name", pair.name},   {"label", display_name(pair.name)}, {"views", views},
               {"joins", lines},      {"joined", joins.size()},           {"mean_cosine", nullptr},
               {"not_drawn", nullptr}};
  if (!cosines.empty())
    view["mean_cosine"] = fixed(
        std::accumulate(cosines.begin(), cosines.end(), 0.0) / static_cast<double>(cosines.size()),
        2);
  if (joins.size() < pair.match.size()) view["not_drawn"] = pair.match.size() - joins.size();
  return view;
}

json object_view(const ObjectView& object) {
  return {
      {"name", object.name},
      {"picture", picture_view(draw_single_region(shrunk(object.image, kTileSide),
                                                  shrunk(object.mask, kTileSide), object.slot))},
      {"similarity", cosine_text(object.similarity)},
      {"same", object.same_category.value_or(false)},
      {"other", !object.same_category.value_or(true)}};
}

}  // namespace

Mask numbered_like(const Mask& truth, const Mask& prediction) {
  struct Overlap {
    double share;
    int object, slot;
  };
  std::map<std::pair<int, int>, double> common;
  std::map<int, double> object_area, slot_area;
  const std::size_t pixels = std::min(truth.values.size(), prediction.values.size());
  for (std::size_t i = 0; i < pixels; ++i) {
    ++common[{truth.values[i], prediction.values[i]}];
    ++object_area[truth.values[i]];
    ++slot_area[prediction.values[i]];
  }
  std::vector<Overlap> overlaps;
  for (const auto& [pair, area] : common) {
    const auto [object, slot] = pair;
    overlaps.push_back({area / (object_area[object] + slot_area[slot] - area), object, slot});
  }
  std::stable_sort(overlaps.begin(), overlaps.end(),
                   [](const Overlap& a, const Overlap& b) { return a.share > b.share; });

  std::map<int, int> number;
  std::set<int> taken;
  for (const Overlap& overlap : overlaps) {
    if (number.contains(overlap.object) || taken.contains(overlap.slot)) continue;
    number[overlap.object] = overlap.slot;
    taken.insert(overlap.slot);
  }
  int next = 0;
  for (const auto& [object, area] : object_area) {
    if (number.contains(object)) continue;
    while (next < 255 && (taken.contains(next) || slot_area.contains(next))) ++next;
    number[object] = next;
    taken.insert(next);
  }
  Mask out = truth;
  for (std::size_t i = 0; i < pixels; ++i)
    out.values[i] = static_cast<std::uint8_t>(number[truth.values[i]]);
  return out;
}

json wall_view(const std::vector<WallItem>& wall) {
  if (wall.empty()) return nullptr;
  int tiles = 1;
  json rows = json::array();
  for (const WallItem& item : wall) {
    tiles = std::max(tiles, 2 + (item.truth ? 1 : 0) + item.slots);
    const Image image = shrunk(item.image, kTileSide);
    const Mask prediction = shrunk(item.prediction, kTileSide);
    json row = {{"name", item.name},
                {"label", display_name(item.name)},
                {"image", picture_view(image)},
                {"truth", nullptr},
                {"prediction", picture_view(draw_overlay(image, prediction))},
                {"slots", json::array()}};
    if (item.truth)
      row["truth"] = picture_view(
          draw_overlay(image, shrunk(numbered_like(*item.truth, item.prediction), kTileSide)));
    for (int slot = 0; slot < item.slots; ++slot)
      row["slots"].push_back(
          {{"slot", slot},
           {"colour", css_colour(slot)},
           {"region", picture_view(draw_single_region(image, prediction, slot))}});
    rows.push_back(std::move(row));
  }
  return {{"tiles", std::min(tiles, kTilesInRow)}, {"rows", std::move(rows)}};
}

json matching_view(const std::vector<MatchedViews>& pairs) {
  if (pairs.empty()) return nullptr;
  json views = json::array();
  for (const MatchedViews& pair : pairs) views.push_back(pair_view(pair));
  return {{"pairs", std::move(views)}};
}

json retrieval_view(const std::vector<Retrieval>& retrievals) {
  if (retrievals.empty()) return nullptr;
  json rows = json::array();
  for (const Retrieval& retrieval : retrievals) {
    json nearest = json::array();
    for (const ObjectView& object : retrieval.nearest) nearest.push_back(object_view(object));
    rows.push_back({{"query", object_view(retrieval.query)}, {"nearest", std::move(nearest)}});
  }
  return {{"rows", std::move(rows)}};
}

}  // namespace osc::program
