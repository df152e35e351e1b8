#include "report/picture_sections.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include "report/drawing.hpp"
#include "report/html.hpp"
#include "report/numbers.hpp"
#include "report/svg_curves.hpp"

namespace osc::program {
namespace {

// Larger images are shrunk to these sides: a page full of them has to stay small.
constexpr int kTileSide = 72;
constexpr int kViewSide = 128;

constexpr int kTilesInRow = 8;
constexpr int kVisiblePixels = 64;  // images up to this side are shown with sharp pixels

template <typename Picture>
Picture shrunk(const Picture& picture, int largest_side) {
  const int side = std::max(picture.width, picture.height);
  if (side <= largest_side) return picture;
  const auto length = [&](int full) {
    return std::max(1,
                    static_cast<int>(std::lround(static_cast<double>(full) * largest_side / side)));
  };
  return resize(picture, length(picture.width), length(picture.height));
}

// Small images keep their pixels sharp when they are scaled up.
std::string sharpness(const Image& image) {
  return std::max(image.width, image.height) <= kVisiblePixels ? attribute("class", "sharp") : "";
}

std::string img(const Image& image, const std::string& alternative) {
  if (image.pixels.empty()) return "";
  return "<img" + sharpness(image) + attribute("src", png_data_uri(image)) +
         attribute("width", std::to_string(image.width)) +
         attribute("height", std::to_string(image.height)) + attribute("alt", alternative) + ">";
}

std::string css_colour(int index) {
  const Colour colour = index_colour(index);
  return "rgb(" + std::to_string(colour.red) + "," + std::to_string(colour.green) + "," +
         std::to_string(colour.blue) + ")";
}

// Built-in scenes are named by number alone, which would read like a slot's beside the slots.
std::string display_name(const std::string& name) {
  const bool is_number = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
  return is_number ? "image " + name : name;
}

// `caption` is HTML.
std::string tile(const std::string& picture, const std::string& caption) {
  return "<div class=\"tile\">" + picture + "<span>" + caption + "</span></div>";
}

std::string swatch(int index) {
  return "<i class=\"swatch\" style=\"background:" + css_colour(index) + "\"></i>";
}

struct Centroid {
  double x = 0;  // of the image's width
  double y = 0;  // of its height
};

std::optional<Centroid> centroid_of(const Mask& mask, int slot) {
  double x_sum = 0;
  double y_sum = 0;
  double count = 0;
  for (int y = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x) {
      if (static_cast<int>(mask.values[static_cast<std::size_t>(y) * mask.width + x]) != slot)
        continue;
      x_sum += x + 0.5;
      y_sum += y + 0.5;
      ++count;
    }
  }
  if (count == 0) return std::nullopt;
  return Centroid{x_sum / count / mask.width, y_sum / count / mask.height};
}

// The second view's slots under the numbers of the first view's slots that they are matched to:
// joined slots share a colour.
Mask matched_numbers(const Mask& second, const std::vector<int>& match) {
  std::array<std::uint8_t, 256> number;
  for (std::size_t value = 0; value < number.size(); ++value) {
    const auto at = std::find(match.begin(), match.end(), static_cast<int>(value));
    number[value] = static_cast<std::uint8_t>(
        at == match.end() ? value : static_cast<std::size_t>(at - match.begin()));
  }
  Mask out = second;
  for (std::uint8_t& value : out.values) value = number[value];
  return out;
}

// An image placed in the drawing, fitted into a square.
struct Frame {
  double left, top, width, height;
};

Frame fitted(const Image& image, double left, double side) {
  const double scale = side / std::max({image.width, image.height, 1});
  const double width = image.width * scale;
  const double height = image.height * scale;
  return {left + (side - width) / 2, (side - height) / 2, width, height};
}

std::string svg_image(const Image& image, const Frame& frame) {
  if (image.pixels.empty()) return "";
  return "<image" + sharpness(image) + attribute("x", coordinate(frame.left)) +
         attribute("y", coordinate(frame.top)) + attribute("width", coordinate(frame.width)) +
         attribute("height", coordinate(frame.height)) + attribute("href", png_data_uri(image)) +
         "/>";
}

std::string circle(double x, double y, double radius, int colour) {
  return "<circle" + attribute("cx", coordinate(x)) + attribute("cy", coordinate(y)) +
         attribute("r", coordinate(radius)) + attribute("fill", css_colour(colour)) + "/>";
}

std::string pair_html(const MatchedViews& pair) {
  constexpr double kSide = 180;
  constexpr double kGap = 110;
  constexpr double kLabelHeight = 18;
  constexpr double kLabelWidth = 46;
  constexpr double kLabelSpacing = 24;
  const Mask second = matched_numbers(pair.slot[1], pair.match);
  const Image left_image =
      draw_overlay(shrunk(pair.view[0], kViewSide), shrunk(pair.slot[0], kViewSide));
  const Image right_image =
      draw_overlay(shrunk(pair.view[1], kViewSide), shrunk(second, kViewSide));
  const Frame left = fitted(left_image, 0, kSide);
  const Frame right = fitted(right_image, kSide + kGap, kSide);

  struct Join {
    double x1, y1, x2, y2;
    int slot;
    std::string label;
  };
  std::vector<Join> joins;
  std::vector<double> wanted;
  std::size_t left_out = 0;
  double cosine_sum = 0;
  std::size_t cosines = 0;
  for (std::size_t s = 0; s < pair.match.size(); ++s) {
    const bool known = s < pair.cosine.size() && std::isfinite(pair.cosine[s]);
    if (known) {
      cosine_sum += pair.cosine[s];
      ++cosines;
    }
    const auto from = centroid_of(pair.slot[0], static_cast<int>(s));
    const auto to = centroid_of(second, static_cast<int>(s));
    if (!from || !to) {
      ++left_out;
      continue;
    }
    joins.push_back({left.left + from->x * left.width, left.top + from->y * left.height,
                     right.left + to->x * right.width, right.top + to->y * right.height,
                     static_cast<int>(s), known ? fixed(pair.cosine[s], 2) : std::string(kEnDash)});
    wanted.push_back((joins.back().y1 + joins.back().y2) / 2);
  }
  const std::vector<double> heights =
      spread(wanted, kLabelSpacing, kLabelHeight / 2 + 1, kSide - kLabelHeight / 2 - 1);

  std::string svg =
      "<svg class=\"pair\" role=\"img\"" +
      attribute("viewBox", "0 0 " + coordinate(2 * kSide + kGap) + " " + coordinate(kSide)) +
      attribute("aria-label", "Two views of " + pair.name + ", " + std::to_string(joins.size()) +
                                  " slots joined") +
      ">" + svg_image(left_image, left) + svg_image(right_image, right);
  const double middle = kSide + kGap / 2;
  std::string labels;
  for (std::size_t i = 0; i < joins.size(); ++i) {
    const Join& join = joins[i];
    const double y = heights[i];
    const auto point = [](double px, double py) { return coordinate(px) + " " + coordinate(py); };
    const std::string path = "M" + point(join.x1, join.y1) + "C" +
                             point((join.x1 + middle) / 2, join.y1) + " " +
                             point((kSide + middle) / 2 - 10, y) + " " + point(middle, y) + "S" +
                             point((join.x2 + middle) / 2, join.y2) + " " + point(join.x2, join.y2);
    // Cased in the page's colour and edged in its ink: a line of any colour is seen on the page and
    // on any image.
    svg += "<path class=\"casing\"" + attribute("d", path) + "/><path class=\"edge\"" +
           attribute("d", path) + "/>";
    svg += "<path class=\"join\"" + attribute("stroke", css_colour(join.slot)) +
           attribute("d", path) + "/>";
    svg += circle(join.x1, join.y1, 4, join.slot) + circle(join.x2, join.y2, 4, join.slot);
    labels += "<rect" + attribute("x", coordinate(middle - kLabelWidth / 2)) +
              attribute("y", coordinate(y - kLabelHeight / 2)) +
              attribute("width", coordinate(kLabelWidth)) +
              attribute("height", coordinate(kLabelHeight)) +
              attribute("rx", coordinate(kLabelHeight / 2)) + "/>";
    labels += circle(middle - 14, y, 3.5, join.slot);
    labels += "<text text-anchor=\"middle\"" + attribute("x", coordinate(middle + 6)) +
              attribute("y", coordinate(y + 4)) + ">" + join.label + "</text>";
  }
  svg += "<g class=\"cosines\">" + labels + "</g></svg>";

  std::string caption = escape_html(display_name(pair.name));
  if (cosines > 0)
    caption += (caption.empty() ? "mean cosine " : ", mean cosine ") +
               fixed(cosine_sum / static_cast<double>(cosines), 2);
  if (left_out > 0) {
    caption += "; " + std::to_string(left_out);
    caption += left_out == 1 ? " match joins a slot without pixels and is not drawn"
                             : " matches join slots without pixels and are not drawn";
  }
  return "<figure class=\"views\">" + svg + "<figcaption>" + caption + "</figcaption></figure>\n";
}

std::string object_picture(const ObjectView& object, const std::string& alternative) {
  return img(draw_single_region(shrunk(object.image, kTileSide), shrunk(object.mask, kTileSide),
                                object.slot),
             alternative);
}

std::string kind_mark(const std::optional<bool>& same_kind) {
  if (!same_kind) return "";
  const std::string name = *same_kind ? "same" : "other";
  return "<svg class=\"mark " + name + "\" viewBox=\"0 0 12 12\" role=\"img\" aria-label=\"" +
         (*same_kind ? "same kind" : "another kind") + "\"><path d=\"" +
         (*same_kind ? "M2 6.5L5 9.5L10.5 2.5" : "M2.5 2.5L9.5 9.5M9.5 2.5L2.5 9.5") + "\"/></svg>";
}

}  // namespace

Mask numbered_like(const Mask& truth, const Mask& prediction) {
  constexpr std::size_t kValues = 256;
  std::vector<std::uint32_t> both(kValues * kValues, 0);
  std::array<std::uint32_t, kValues> true_area{};
  std::array<std::uint32_t, kValues> slot_area{};
  const std::size_t pixels = std::min(truth.values.size(), prediction.values.size());
  for (std::size_t i = 0; i < pixels; ++i) {
    ++both[truth.values[i] * kValues + prediction.values[i]];
    ++true_area[truth.values[i]];
    ++slot_area[prediction.values[i]];
  }

  struct Overlap {
    double share;
    std::size_t object, slot;
  };
  std::vector<Overlap> overlaps;
  for (std::size_t object = 0; object < kValues; ++object) {
    for (std::size_t slot = 0; slot < kValues; ++slot) {
      const std::uint32_t common = both[object * kValues + slot];
      if (common > 0)
        overlaps.push_back(
            {static_cast<double>(common) / (true_area[object] + slot_area[slot] - common), object,
             slot});
    }
  }
  std::stable_sort(overlaps.begin(), overlaps.end(),
                   [](const Overlap& a, const Overlap& b) { return a.share > b.share; });

  std::array<int, kValues> number;
  number.fill(-1);
  std::array<bool, kValues> taken{};
  for (const Overlap& overlap : overlaps) {
    if (number[overlap.object] >= 0 || taken[overlap.slot]) continue;
    number[overlap.object] = static_cast<int>(overlap.slot);
    taken[overlap.slot] = true;
  }
  std::size_t next = 0;
  for (std::size_t object = 0; object < kValues; ++object) {
    if (true_area[object] == 0 || number[object] >= 0) continue;
    while (next + 1 < kValues && (taken[next] || slot_area[next] > 0)) ++next;
    number[object] = static_cast<int>(next);
    taken[next] = true;
  }

  Mask out = truth;
  for (std::size_t i = 0; i < pixels; ++i)
    out.values[i] = static_cast<std::uint8_t>(number[truth.values[i]]);
  return out;
}

std::string wall_html(const std::vector<WallItem>& wall) {
  if (wall.empty()) return "";
  int tiles = 1;
  for (const WallItem& item : wall) tiles = std::max(tiles, 2 + (item.truth ? 1 : 0) + item.slots);
  std::string html =
      "<div class=\"wall\" style=\"--tiles:" + std::to_string(std::min(tiles, kTilesInRow)) +
      "\">\n";
  for (const WallItem& item : wall) {
    const Image image = shrunk(item.image, kTileSide);
    const Mask prediction = shrunk(item.prediction, kTileSide);
    html += "<div class=\"strip\"" + attribute("title", item.name) + ">" +
            tile(img(image, item.name), escape_html(display_name(item.name)));
    if (item.truth)
      html += tile(
          img(draw_overlay(image, shrunk(numbered_like(*item.truth, item.prediction), kTileSide)),
              "truth"),
          "truth");
    html += tile(img(draw_overlay(image, prediction), "prediction"), "found");
    for (int slot = 0; slot < item.slots; ++slot) {
      html += tile(img(draw_single_region(image, prediction, slot), "slot " + std::to_string(slot)),
                   swatch(slot) + std::to_string(slot));
    }
    html += "</div>\n";
  }
  return html + "</div>\n";
}

std::string pairs_html(const std::vector<MatchedViews>& pairs) {
  if (pairs.empty()) return "";
  std::string html = "<div class=\"pairs\">\n";
  for (const MatchedViews& pair : pairs) html += pair_html(pair);
  return html + "</div>\n";
}

std::string retrievals_html(const std::vector<Retrieval>& retrievals) {
  if (retrievals.empty()) return "";
  std::string html = "<div class=\"retrievals\">\n";
  for (const Retrieval& retrieval : retrievals) {
    html += "<div class=\"retrieval\"><div" + attribute("title", retrieval.query.name) + ">" +
            tile(object_picture(retrieval.query, "query, " + retrieval.query.name), "this") +
            "</div><div class=\"nearest\">";
    for (const ObjectView& object : retrieval.nearest) {
      const std::string similarity =
          std::isfinite(object.similarity) ? fixed(object.similarity, 2) : std::string(kEnDash);
      html += "<div" + attribute("title", object.name) + ">" +
              tile(object_picture(object, object.name), kind_mark(object.same_kind) + similarity) +
              "</div>";
    }
    if (retrieval.nearest.empty()) html += "<p class=\"note\">No other object to compare with.</p>";
    html += "</div></div>\n";
  }
  return html + "</div>\n";
}

}  // namespace osc::program
