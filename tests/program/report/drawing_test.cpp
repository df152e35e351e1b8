#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "page_check.hpp"
#include "report/drawing.hpp"

namespace osc::program {
namespace {

using Pixel = std::array<int, 3>;

constexpr Colour kBlack = {0, 0, 0};
constexpr Colour kRed = {255, 0, 0};
constexpr Colour kPaper = {250, 250, 248};

Image solid(int width, int height, Colour colour) {
  Image image{width, height, std::vector<std::uint8_t>(std::size_t{3} * width * height)};
  fill_rectangle(image, 0, 0, width, height, colour);
  return image;
}

Pixel pixel(const Image& image, int x, int y) {
  const std::uint8_t* at = &image.pixels[(static_cast<std::size_t>(y) * image.width + x) * 3];
  return {at[0], at[1], at[2]};
}

bool same_image(const Image& a, const Image& b) {
  return a.width == b.width && a.height == b.height && a.pixels == b.pixels;
}

Pixel as_pixel(Colour colour) { return {colour.red, colour.green, colour.blue}; }

// `percent` of `over` on `under`.
Pixel mixed(Pixel under, Pixel over, int percent) {
  for (int c = 0; c < 3; ++c)
    under[c] = (under[c] * (100 - percent) + over[c] * percent + 50) / 100;
  return under;
}

// A square of 10 pixels at (8, 12) on black, slot `slot` on slot 0.
ObjectView square(Colour colour = kRed, int slot = 1) {
  ObjectView object;
  object.image = solid(36, 36, kBlack);
  object.mask = {36, 36, std::vector<std::uint8_t>(36 * 36, 0)};
  fill_rectangle(object.image, 8, 12, 10, 10, colour);
  for (int i = 0; i < 100; ++i)
    object.mask.values[(12 + i / 10) * 36 + 8 + i % 10] = static_cast<std::uint8_t>(slot);
  object.slot = slot;
  return object;
}

TEST(Overlay, TintsSlotsAndOutlinesThemInProportion) {
  std::mt19937 random(1);
  for (const auto& [width, height, cell] :
       {std::array{36, 36, 5}, {1, 40, 3}, {37, 2, 1}, {720, 720, 97}}) {
    const Image image = test::noise(random, width, height);
    Mask slots{width, height, {}};
    for (int i = 0; i < width * height; ++i)
      slots.values.push_back(static_cast<std::uint8_t>(255 - i % width / cell - i / width / cell));
    const int thickness = width == 720 ? 3 : 1;
    const Image overlay = draw_overlay(image, slots);
    const auto slot = [&](int x, int y) {
      return slots.values[std::clamp(y, 0, height - 1) * width + std::clamp(x, 0, width - 1)];
    };
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        bool outline = false;  // within `thickness` of a pixel with another slot beside it
        for (int v = std::max(0, y - thickness + 1); v < std::min(height, y + thickness); ++v) {
          for (int u = std::max(0, x - thickness + 1); u < std::min(width, x + thickness); ++u)
            outline |= slot(u, v) != slot(u - 1, v) || slot(u, v) != slot(u + 1, v) ||
                       slot(u, v) != slot(u, v - 1) || slot(u, v) != slot(u, v + 1);
        }
        const Pixel colour = as_pixel(index_colour(slot(x, y)));
        const auto [red, green, blue] = pixel(image, x, y);
        const int grey = (299 * red + 587 * green + 114 * blue + 500) / 1000;  // ITU-R BT.601
        ASSERT_EQ(pixel(overlay, x, y), outline ? colour : mixed({grey, grey, grey}, colour, 60))
            << x << "," << y << " of " << width;
      }
    }
  }
  EXPECT_TRUE(draw_overlay(Image{}, Mask{}).pixels.empty());
}

TEST(SingleRegion, FadesTheRest) {
  const ObjectView scene = square();
  for (const int slot : {1, 0, 3, 255, 256, 1000, -1}) {
    const Image faded = draw_single_region(scene.image, scene.mask, slot);
    for (int i = 0; i < 36 * 36; ++i) {
      const Pixel before = pixel(scene.image, i % 36, i / 36);
      ASSERT_EQ(pixel(faded, i % 36, i / 36),
                scene.mask.values[i] == slot ? before : mixed(before, {120, 120, 120}, 80))
          << slot << " at " << i;
    }
  }
}

TEST(Drawing, RefusesAMaskOfAnotherSize) {
  const Mask mask{4, 3, std::vector<std::uint8_t>(12)};
  EXPECT_THROW(draw_overlay(solid(4, 4, kRed), mask), std::invalid_argument);
  EXPECT_THROW(draw_single_region(solid(4, 4, kRed), mask, 0), std::invalid_argument);
}

// A square's tile, at four pixels for one of the image. The outline is white, black on either side.
void expect_tile(Image& sheet, int left, int top, Colour colour) {
  fill_rectangle(sheet, left, top, kSheetTile, kSheetTile, kBlack);
  fill_rectangle(sheet, left + 4 * 8 - 1, top + 4 * 12 - 1, 42, 42, {255, 255, 255});
  fill_rectangle(sheet, left + 4 * 8 + 2, top + 4 * 12 + 2, 36, 36, kBlack);
  fill_rectangle(sheet, left + 4 * 8 + 3, top + 4 * 12 + 3, 34, 34, colour);
}

TEST(Sheet, ShowsTheQueryAndTheResultsByRank) {
  const double inf = std::numeric_limits<double>::infinity();
  struct Result {
    double similarity;
    const char* digits;
    std::optional<bool> same;
  };
  const std::vector<Result> results = {{1.0, "1.00", true},        {0.974, "0.97", false},
                                       {0.3, "0.30", {}},          {-0.456, "-0.46", true},
                                       {-0.001, "0.00", true},     {25.0, "9.99", {}},
                                       {std::nan(""), "-", false}, {inf, "-", {}}};
  const int results_left = kSheetMargin + kSheetTile + kSheetDivider;
  Image sheet = solid(2 * kSheetMargin + 7 * kSheetTile + kSheetDivider + 5 * kSheetGap,
                      kSheetMargin + 2 * (kSheetTile + kSheetCaption), kPaper);
  expect_tile(sheet, kSheetMargin, kSheetMargin, kRed);
  fill_rectangle(sheet, results_left - kSheetDivider / 2, kSheetMargin, 1,
                 sheet.height - 2 * kSheetMargin, {216, 215, 210});
  Retrieval retrieval{square(), {}};
  for (int rank = 0; rank < 8; ++rank) {
    const auto& [similarity, digits, same] = results[rank];
    const Colour colour = {0, static_cast<std::uint8_t>(250 - 10 * rank), 0};
    retrieval.nearest.push_back(square(colour, 3));
    retrieval.nearest.back().similarity = similarity;
    retrieval.nearest.back().same_category = same;
    const int left = results_left + rank % kSheetColumns * (kSheetTile + kSheetGap);
    const int top = kSheetMargin + rank / kSheetColumns * (kSheetTile + kSheetCaption);
    const int right = left + kSheetTile;
    const int below = top + kSheetTile + 8;
    expect_tile(sheet, left, top, colour);
    draw_text(sheet, left, below, std::to_string(rank + 1), 2, {140, 140, 136});
    draw_text(sheet, right - text_width(digits, 2), below, digits, 2, {32, 33, 36});
    if (!same) continue;
    const char* mark = *same ? "v" : "x";
    draw_text(sheet, (left + right - text_width(mark, 2)) / 2, below, mark, 2,
              *same ? Colour{24, 120, 72} : Colour{184, 56, 40});
  }
  EXPECT_TRUE(same_image(draw_retrieval_sheet(retrieval), sheet));

  Image alone =
      solid(2 * kSheetMargin + kSheetTile, kSheetMargin + kSheetTile + kSheetCaption, kPaper);
  expect_tile(alone, kSheetMargin, kSheetMargin, kRed);
  EXPECT_TRUE(same_image(draw_retrieval_sheet({square(), {}}), alone));
}

TEST(Sheet, FitsImagesOfAnyShapeAndAveragesLargeOnes) {
  const auto plain = [](Image image) {
    const Mask mask{image.width, image.height, std::vector<std::uint8_t>(image.pixels.size() / 3)};
    return ObjectView{"", std::move(image), mask, 0, 1, {}};
  };
  Image stripes = solid(1200, 600, kBlack);
  for (std::size_t i = 0; i < stripes.pixels.size(); i += 6) stripes.pixels[i] = 200;
  Retrieval retrieval{plain(stripes), {plain(solid(1, 500, kRed)), plain({}), square()}};
  retrieval.nearest[2].slot = 200;
  const Image sheet = draw_retrieval_sheet(retrieval);
  const int middle = kSheetMargin + kSheetTile / 2;
  const int first_row = kSheetMargin + kSheetTile / 4;
  EXPECT_EQ(pixel(sheet, middle, first_row - 1), as_pixel(kPaper));
  EXPECT_NE(pixel(sheet, middle, first_row), as_pixel(kPaper));
  EXPECT_NEAR(pixel(sheet, middle, middle)[0], 100, 20) << "columns of 0 and 200";
  const int second = kSheetMargin + 2 * kSheetTile + kSheetDivider + kSheetGap;
  EXPECT_EQ(pixel(sheet, second + kSheetTile / 2, middle), as_pixel(kPaper)) << "has no pixels";
}

TEST(Glyphs, AreAllDifferentFillTheirWidthAndStayInsideTheImage) {
  std::vector<std::vector<std::uint8_t>> seen;
  for (const char character : std::string_view("0123456789.-vx")) {
    const std::string text(1, character);
    Image image = solid(20, 20, kBlack);
    draw_text(image, 2, 3, text, 2, kRed);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), image.pixels), 0) << character;
    seen.push_back(image.pixels);
    fill_rectangle(image, 2, 3, text_width(text, 2), 2 * kGlyphHeight, kBlack);
    EXPECT_TRUE(same_image(image, solid(20, 20, kBlack))) << character;
  }
  EXPECT_EQ(text_width("", 2), 0);
  EXPECT_EQ(text_width("10", 1), 2 * kGlyphWidth + 1);
  Image small = solid(6, 6, kBlack);
  draw_text(small, -3, -2, "888", 2, kRed);
  draw_text(small, 100, 100, "8", 2, kRed);
  EXPECT_EQ(small.pixels.size(), 6U * 6 * 3);
}

}  // namespace
}  // namespace osc::program
