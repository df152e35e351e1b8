#include "report/drawing.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "report/numbers.hpp"

namespace osc::program {
namespace {

struct Glyph {
  char character;
  std::array<std::string_view, kGlyphHeight> rows;  // all of one width
};

constexpr std::array<Glyph, 14> kGlyphs = {{
    {'0', {" ### ", "#   #", "#   #", "#   #", "#   #", "#   #", " ### "}},
    {'1', {"  #  ", " ##  ", "# #  ", "  #  ", "  #  ", "  #  ", "#####"}},
    {'2', {" ### ", "#   #", "    #", "   # ", "  #  ", " #   ", "#####"}},
    {'3', {" ### ", "#   #", "    #", "  ## ", "    #", "#   #", " ### "}},
    {'4', {"   # ", "  ## ", " # # ", "#  # ", "#####", "   # ", "   # "}},
    {'5', {"#####", "#    ", "#### ", "    #", "    #", "#   #", " ### "}},
    {'6', {"  ## ", " #   ", "#    ", "#### ", "#   #", "#   #", " ### "}},
    {'7', {"#####", "    #", "   # ", "   # ", "  #  ", "  #  ", "  #  "}},
    {'8', {" ### ", "#   #", "#   #", " ### ", "#   #", "#   #", " ### "}},
    {'9', {" ### ", "#   #", "#   #", " ####", "    #", "   # ", " ##  "}},
    {'.', {" ", " ", " ", " ", " ", " ", "#"}},
    {'-', {"   ", "   ", "   ", "###", "   ", "   ", "   "}},
    {'v', {"     ", "    #", "    #", "   # ", "#  # ", " # # ", "  #  "}},
    {'x', {"     ", "#   #", " # # ", "  #  ", " # # ", "#   #", "     "}},
}};

constexpr Glyph kBlank = {' ', {"   ", "   ", "   ", "   ", "   ", "   ", "   "}};

const Glyph& glyph_of(char character) {
  for (const Glyph& glyph : kGlyphs) {
    if (glyph.character == character) return glyph;
  }
  return kBlank;
}

}  // namespace

void fill_rectangle(Image& image, int left, int top, int width, int height, Colour colour) {
  for (int y = std::max(top, 0); y < std::min(top + height, image.height); ++y) {
    for (int x = std::max(left, 0); x < std::min(left + width, image.width); ++x) {
      std::uint8_t* pixel = &image.pixels[(static_cast<std::size_t>(y) * image.width + x) * 3];
      pixel[0] = colour.red;
      pixel[1] = colour.green;
      pixel[2] = colour.blue;
    }
  }
}

void draw_text(Image& image, int x, int y, std::string_view text, int scale, Colour colour) {
  for (const char character : text) {
    const Glyph& glyph = glyph_of(character);
    const int columns = static_cast<int>(glyph.rows[0].size());
    for (int row = 0; row < kGlyphHeight; ++row) {
      for (int column = 0; column < columns; ++column) {
        if (glyph.rows[row][column] == '#')
          fill_rectangle(image, x + column * scale, y + row * scale, scale, scale, colour);
      }
    }
    x += (columns + 1) * scale;
  }
}

int text_width(std::string_view text, int scale) {
  int dots = 0;
  for (const char character : text)
    dots += static_cast<int>(glyph_of(character).rows[0].size()) + 1;
  return dots == 0 ? 0 : (dots - 1) * scale;
}

namespace {

constexpr Colour kPaper = {250, 250, 248};
constexpr Colour kInk = {32, 33, 36};
constexpr Colour kMuted = {140, 140, 136};
constexpr Colour kRule = {216, 215, 210};
constexpr Colour kWhite = {255, 255, 255};
constexpr Colour kBlack = {0, 0, 0};
constexpr Colour kSame = {24, 120, 72};
constexpr Colour kOther = {184, 56, 40};
constexpr Colour kVeil = {120, 120, 120};

constexpr int kDot = 2;  // pixels a side of a glyph's dot

std::size_t index_of(const Image& image, int x, int y) {
  return static_cast<std::size_t>(y) * image.width + x;
}

void require_same_size(const Image& image, const Mask& mask) {
  if (image.width == mask.width && image.height == mask.height) return;
  const auto size = [](int width, int height) {
    return std::to_string(width) + "x" + std::to_string(height);
  };
  throw std::invalid_argument("a mask of " + size(mask.width, mask.height) +
                              " drawn on an image of " + size(image.width, image.height));
}

// `percent` of `colour` over what is there.
void blend(std::uint8_t* pixel, Colour colour, int percent) {
  const auto mix = [percent](int below, int above) {
    return static_cast<std::uint8_t>((below * (100 - percent) + above * percent + 50) / 100);
  };
  pixel[0] = mix(pixel[0], colour.red);
  pixel[1] = mix(pixel[1], colour.green);
  pixel[2] = mix(pixel[2], colour.blue);
}

// Luma as in ITU-R BT.601.
Colour grey_of(const std::uint8_t* pixel) {
  const auto luma =
      static_cast<std::uint8_t>((299 * pixel[0] + 587 * pixel[1] + 114 * pixel[2] + 500) / 1000);
  return {luma, luma, luma};
}

// For each pixel its chessboard distance to the nearest pixel of the border, in two sweeps.
// on_border(x, y): whether a pixel belongs to the border.
template <typename Predicate>
std::vector<std::uint16_t> distance_to_border(int width, int height, const Predicate& on_border) {
  constexpr int kFar = 65535;
  std::vector<std::uint16_t> distance(static_cast<std::size_t>(width) * height);
  const auto at = [&](int x, int y) -> int {
    return x < 0 || x >= width || y < 0 || y >= height
               ? kFar
               : distance[static_cast<std::size_t>(y) * width + x];
  };
  const auto set = [&](int x, int y, int value) {
    distance[static_cast<std::size_t>(y) * width + x] =
        static_cast<std::uint16_t>(std::min(value, kFar));
  };
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      set(x, y,
          on_border(x, y)
              ? 0
              : 1 + std::min({at(x - 1, y), at(x - 1, y - 1), at(x, y - 1), at(x + 1, y - 1)}));
    }
  }
  for (int y = height - 1; y >= 0; --y) {
    for (int x = width - 1; x >= 0; --x) {
      set(x, y,
          std::min(at(x, y),
                   1 + std::min({at(x + 1, y), at(x + 1, y + 1), at(x, y + 1), at(x - 1, y + 1)})));
    }
  }
  return distance;
}

// Whether a 4-neighbour inside the mask fails to satisfy `same(here, there)`.
template <typename Same>
bool differs_from_a_neighbour(const Mask& mask, int x, int y, const Same& same) {
  const std::uint8_t* here = &mask.values[static_cast<std::size_t>(y) * mask.width + x];
  return (x > 0 && !same(*here, here[-1])) || (x + 1 < mask.width && !same(*here, here[1])) ||
         (y > 0 && !same(*here, *(here - mask.width))) ||
         (y + 1 < mask.height && !same(*here, here[mask.width]));
}

Image enlarge_to_visible_pixels(const Image& image, int width, int height) {
  Image out{width, height, std::vector<std::uint8_t>(static_cast<std::size_t>(width) * height * 3)};
  for (int y = 0; y < height; ++y) {
    const int from_y = static_cast<int>(static_cast<std::int64_t>(y) * image.height / height);
    for (int x = 0; x < width; ++x) {
      const int from_x = static_cast<int>(static_cast<std::int64_t>(x) * image.width / width);
      std::copy_n(&image.pixels[3 * index_of(image, from_x, from_y)], 3,
                  &out.pixels[3 * index_of(out, x, y)]);
    }
  }
  return out;
}

// White with a black edge on either side: visible on any image.
void outline_region(Image& image, const Mask& mask, int slot) {
  const auto inside = [slot](std::uint8_t value) { return static_cast<int>(value) == slot; };
  const auto same = [&](std::uint8_t here, std::uint8_t there) {
    return inside(here) == inside(there);
  };
  const auto distance = distance_to_border(mask.width, mask.height, [&](int x, int y) {
    return inside(mask.values[static_cast<std::size_t>(y) * mask.width + x]) &&
           differs_from_a_neighbour(mask, x, y, same);
  });
  for (std::size_t i = 0; i < distance.size(); ++i) {
    if (distance[i] <= 1) blend(&image.pixels[3 * i], kWhite, 100);
    if (distance[i] == 2) blend(&image.pixels[3 * i], kBlack, 100);
  }
}

void draw_tile(Image& sheet, int left, int top, const ObjectView& object) {
  if (object.image.width <= 0 || object.image.height <= 0) return;
  const auto [width, height] = fitted_size(object.image.width, object.image.height, kSheetTile);
  Image tile = width > object.image.width || height > object.image.height
                   ? enlarge_to_visible_pixels(object.image, width, height)
                   : resize(object.image, width, height);
  require_same_size(object.image, object.mask);
  outline_region(tile, resize(object.mask, width, height), object.slot);
  for (int y = 0; y < height; ++y) {
    std::uint8_t* to = &sheet.pixels[3 * index_of(sheet, left + (kSheetTile - width) / 2,
                                                  top + (kSheetTile - height) / 2 + y)];
    std::copy_n(&tile.pixels[3 * index_of(tile, 0, y)], 3 * static_cast<std::size_t>(width), to);
  }
}

// Two decimals, as the glyphs know them.
std::string similarity_digits(double similarity) {
  if (!std::isfinite(similarity)) return "-";
  const int hundredths = static_cast<int>(std::lround(std::clamp(similarity, -9.99, 9.99) * 100));
  const std::string fraction = std::to_string(100 + std::abs(hundredths) % 100).substr(1);
  return (hundredths < 0 ? "-" : "") + std::to_string(std::abs(hundredths) / 100) + "." + fraction;
}

void draw_caption(Image& sheet, int left, int top, std::size_t rank, const ObjectView& object) {
  const std::string number = std::to_string(rank + 1);
  const std::string similarity = similarity_digits(object.similarity);
  draw_text(sheet, left, top, number, kDot, kMuted);
  draw_text(sheet, left + kSheetTile - text_width(similarity, kDot), top, similarity, kDot, kInk);
  if (object.same_category) {
    const std::string_view mark = *object.same_category ? "v" : "x";
    draw_text(sheet, left + (kSheetTile - text_width(mark, kDot)) / 2, top, mark, kDot,
              *object.same_category ? kSame : kOther);
  }
}

}  // namespace

std::pair<int, int> fitted_size(int width, int height, int side) {
  const double scale = static_cast<double>(side) / std::max(width, height);
  const auto length = [&](int full) {
    return std::clamp(static_cast<int>(std::lround(full * scale)), 1, side);
  };
  return {length(width), length(height)};
}

Image draw_overlay(const Image& image, const Mask& slots) {
  require_same_size(image, slots);
  Image out = image;
  if (slots.values.empty()) return out;
  constexpr int kTintPercent = 60;
  const int thickness = std::max(1, std::min(image.width, image.height) / 240);
  const auto same = [](std::uint8_t here, std::uint8_t there) { return here == there; };
  const auto distance = distance_to_border(slots.width, slots.height, [&](int x, int y) {
    return differs_from_a_neighbour(slots, x, y, same);
  });
  for (std::size_t i = 0; i < distance.size(); ++i) {
    std::uint8_t* pixel = &out.pixels[3 * i];
    blend(pixel, grey_of(pixel), 100);
    blend(pixel, index_colour(slots.values[i]), distance[i] < thickness ? 100 : kTintPercent);
  }
  return out;
}

Image draw_single_region(const Image& image, const Mask& slots, int slot) {
  require_same_size(image, slots);
  constexpr int kVeilPercent = 80;
  Image out = image;
  for (std::size_t i = 0; i < slots.values.size(); ++i) {
    if (static_cast<int>(slots.values[i]) != slot) blend(&out.pixels[3 * i], kVeil, kVeilPercent);
  }
  return out;
}

Image draw_retrieval_sheet(const Retrieval& retrieval) {
  const int count = static_cast<int>(retrieval.nearest.size());
  const int columns = std::min(count, kSheetColumns);
  const int rows = std::max(1, (count + kSheetColumns - 1) / kSheetColumns);
  const int results_left = kSheetMargin + kSheetTile + kSheetDivider;
  Image sheet;
  sheet.width = count == 0
                    ? 2 * kSheetMargin + kSheetTile
                    : results_left + columns * (kSheetTile + kSheetGap) - kSheetGap + kSheetMargin;
  sheet.height = kSheetMargin + rows * (kSheetTile + kSheetCaption);
  sheet.pixels.resize(static_cast<std::size_t>(sheet.width) * sheet.height * 3);
  fill_rectangle(sheet, 0, 0, sheet.width, sheet.height, kPaper);

  draw_tile(sheet, kSheetMargin, kSheetMargin, retrieval.query);
  if (count > 0)
    fill_rectangle(sheet, kSheetMargin + kSheetTile + kSheetDivider / 2, kSheetMargin, 1,
                   sheet.height - 2 * kSheetMargin, kRule);
  for (int i = 0; i < count; ++i) {
    const int left = results_left + i % kSheetColumns * (kSheetTile + kSheetGap);
    const int top = kSheetMargin + i / kSheetColumns * (kSheetTile + kSheetCaption);
    draw_tile(sheet, left, top, retrieval.nearest[i]);
    draw_caption(sheet, left, top + kSheetTile + 8, static_cast<std::size_t>(i),
                 retrieval.nearest[i]);
  }
  return sheet;
}

}  // namespace osc::program
