#include "report/drawing.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <stdexcept>

#include "page_check.hpp"
#include "report/glyphs.hpp"

namespace osc::program {
namespace {

using Pixel = std::array<int, 3>;

constexpr Colour kBlack = {0, 0, 0};
constexpr Colour kRed = {255, 0, 0};
constexpr Colour kGreen = {0, 255, 0};

Image solid(int width, int height, Colour colour) {
  Image image{width, height, std::vector<std::uint8_t>(std::size_t{3} * width * height)};
  fill_rectangle(image, 0, 0, width, height, colour);
  return image;
}

Pixel pixel(const Image& image, int x, int y) {
  const std::uint8_t* at = &image.pixels[(static_cast<std::size_t>(y) * image.width + x) * 3];
  return {at[0], at[1], at[2]};
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

Retrieval with_results(int count) {
  Retrieval retrieval{square(), {}};
  for (int i = 0; i < count; ++i) {
    retrieval.nearest.push_back(square({0, static_cast<std::uint8_t>(250 - 10 * i), 0}, 3));
    retrieval.nearest.back().similarity = 1 - 0.05 * i;
  }
  return retrieval;
}

std::pair<int, int> tile_corner(int rank) {
  return {
      kSheetMargin + kSheetTile + kSheetDivider + rank % kSheetColumns * (kSheetTile + kSheetGap),
      kSheetMargin + rank / kSheetColumns * (kSheetTile + kSheetCaption)};
}

Image part(const Image& image, int left, int top, int width, int height) {
  Image out{width, height, {}};
  for (int y = top; y < top + height; ++y) {
    const auto row = image.pixels.begin() + (std::ptrdiff_t{y} * image.width + left) * 3;
    out.pixels.insert(out.pixels.end(), row, row + std::ptrdiff_t{3} * width);
  }
  return out;
}

std::set<Pixel> colours_in(const Image& image) {
  std::set<Pixel> colours;
  for (int i = 0; i < image.width * image.height; ++i)
    colours.insert(pixel(image, i % image.width, i / image.width));
  return colours;
}

TEST(Sheet, HasATileForEachResultInItsPlace) {
  const Image sheet = draw_retrieval_sheet(with_results(8));
  EXPECT_EQ(sheet.width, 2 * kSheetMargin + 7 * kSheetTile + kSheetDivider + 5 * kSheetGap);
  EXPECT_EQ(sheet.height, kSheetMargin + 2 * (kSheetTile + kSheetCaption));
  // A tile, at four pixels for one of the image: the outline is white, black on either side.
  const auto expected_tile = [](Colour colour) {
    Image tile = solid(kSheetTile, kSheetTile, kBlack);
    fill_rectangle(tile, 4 * 8 - 1, 4 * 12 - 1, 4 * 10 + 2, 4 * 10 + 2, {255, 255, 255});
    fill_rectangle(tile, 4 * 8 + 2, 4 * 12 + 2, 4 * 10 - 4, 4 * 10 - 4, kBlack);
    fill_rectangle(tile, 4 * 8 + 3, 4 * 12 + 3, 4 * 10 - 6, 4 * 10 - 6, colour);
    return tile;
  };
  const auto tile_at = [&](std::pair<int, int> corner) {
    return part(sheet, corner.first, corner.second, kSheetTile, kSheetTile);
  };
  EXPECT_TRUE(test::same_image(tile_at({kSheetMargin, kSheetMargin}), expected_tile(kRed)));
  for (int rank = 0; rank < 8; ++rank) {
    const auto [left, top] = tile_corner(rank);
    const Colour colour = {0, static_cast<std::uint8_t>(250 - 10 * rank), 0};
    EXPECT_TRUE(test::same_image(tile_at({left, top}), expected_tile(colour))) << rank;
    EXPECT_EQ(pixel(sheet, left - 1, top), pixel(sheet, 0, 0)) << rank;
    EXPECT_EQ(colours_in(part(sheet, left, top + kSheetTile, kSheetTile, kSheetCaption)).size(), 3U)
        << "paper, the rank and the similarity under " << rank;
  }
  EXPECT_EQ(colours_in(tile_at(tile_corner(8))).size(), 1U);

  const Image alone = draw_retrieval_sheet(with_results(0));
  EXPECT_EQ(alone.width, 2 * kSheetMargin + kSheetTile);
  EXPECT_EQ(alone.height, kSheetMargin + kSheetTile + kSheetCaption);
}

TEST(Sheet, WritesTheSimilarityInDigits) {
  const auto [left, top] = tile_corner(0);
  for (const auto& [similarity, text] : {std::pair(1.0, "1.00"),
                                         {0.974, "0.97"},
                                         {0.3, "0.30"},
                                         {-0.456, "-0.46"},
                                         {-0.001, "0.00"},
                                         {25.0, "9.99"},
                                         {std::numeric_limits<double>::quiet_NaN(), "-"},
                                         {std::numeric_limits<double>::infinity(), "-"}}) {
    Retrieval retrieval = with_results(1);
    retrieval.nearest[0].similarity = similarity;
    const Image written = part(draw_retrieval_sheet(retrieval), left + kSheetTile - 60,
                               top + kSheetTile, 60, kSheetCaption);
    Image expected = solid(60, kSheetCaption, {250, 250, 248});
    draw_text(expected, 60 - text_width(text, 2), 8, text, 2, {32, 33, 36});
    EXPECT_TRUE(test::same_image(written, expected)) << text;
  }
}

TEST(Sheet, MarksTheKindByShapeAsWellAsColour) {
  Retrieval retrieval = with_results(2);
  retrieval.nearest[0].same_kind = true;
  retrieval.nearest[1].same_kind = false;
  const Image sheet = draw_retrieval_sheet(retrieval);
  std::set<int> marks[2];
  for (int rank = 0; rank < 2; ++rank) {
    const auto [left, top] = tile_corner(rank);
    for (int i = 0; i < 16 * kSheetCaption; ++i) {
      const int x = left + kSheetTile / 2 - 8 + i % 16;
      if (pixel(sheet, x, top + kSheetTile + i / 16) != pixel(sheet, 0, 0)) marks[rank].insert(i);
    }
    EXPECT_FALSE(marks[rank].empty());
  }
  EXPECT_NE(marks[0], marks[1]);
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
  const Pixel paper = pixel(sheet, 0, 0);
  const int middle = kSheetMargin + kSheetTile / 2;
  const int first_row = kSheetMargin + kSheetTile / 4;
  EXPECT_EQ(pixel(sheet, middle, first_row - 1), paper);
  EXPECT_NE(pixel(sheet, middle, first_row), paper);
  EXPECT_EQ(pixel(sheet, middle, middle)[1], 0);
  EXPECT_NEAR(pixel(sheet, middle, middle)[0], 100, 20) << "columns of 0 and 200";
  const auto [left, top] = tile_corner(1);
  EXPECT_EQ(colours_in(part(sheet, left, top, kSheetTile, kSheetTile)).size(), 1U);
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
    EXPECT_EQ(colours_in(image).size(), 1U) << character;
  }
  EXPECT_EQ(text_width("", 2), 0);
  EXPECT_EQ(text_width("10", 1), 2 * kGlyphWidth + 1);
  Image small = solid(6, 6, kBlack);
  draw_text(small, -3, -2, "888", 2, kGreen);
  draw_text(small, 100, 100, "8", 2, kGreen);
  EXPECT_EQ(small.pixels.size(), 6U * 6 * 3);
}

}  // namespace
}  // namespace osc::program
