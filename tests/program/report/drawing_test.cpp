#include "report/drawing.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>

#include "report/glyphs.hpp"

namespace osc::program {
namespace {

using Pixel = std::array<int, 3>;

Image solid(int width, int height, Colour colour) {
  Image image{width, height, {}};
  for (int i = 0; i < width * height; ++i)
    image.pixels.insert(image.pixels.end(), {colour.red, colour.green, colour.blue});
  return image;
}

Pixel pixel(const Image& image, int x, int y) {
  const std::uint8_t* at = &image.pixels[(static_cast<std::size_t>(y) * image.width + x) * 3];
  return {at[0], at[1], at[2]};
}

Pixel as_pixel(Colour colour) { return {colour.red, colour.green, colour.blue}; }

void paint(Image& image, Mask& mask, int left, int top, int width, int height, Colour colour,
           std::uint8_t value) {
  for (int y = top; y < top + height; ++y) {
    for (int x = left; x < left + width; ++x) {
      std::uint8_t* at = &image.pixels[(static_cast<std::size_t>(y) * image.width + x) * 3];
      at[0] = colour.red;
      at[1] = colour.green;
      at[2] = colour.blue;
      mask.values[static_cast<std::size_t>(y) * mask.width + x] = value;
    }
  }
}

constexpr Colour kBlack = {0, 0, 0};
constexpr Colour kRed = {255, 0, 0};
constexpr Colour kGreen = {0, 255, 0};

// A red square of 10 pixels at (8, 12) on black, slot `value` on slot 0.
ObjectView red_square(std::uint8_t value = 1) {
  ObjectView object;
  object.image = solid(36, 36, kBlack);
  object.mask = {36, 36, std::vector<std::uint8_t>(36 * 36, 0)};
  paint(object.image, object.mask, 8, 12, 10, 10, kRed, value);
  object.slot = value;
  return object;
}

TEST(Overlay, TintsAndOutlines) {
  const ObjectView scene = red_square(2);
  const Image overlay = draw_overlay(scene.image, scene.mask);
  ASSERT_EQ(overlay.width, 36);
  ASSERT_EQ(overlay.height, 36);
  ASSERT_EQ(overlay.pixels.size(), scene.image.pixels.size());
  const auto tinted = [](int grey, Colour colour) -> Pixel {
    const auto mix = [grey](int value) { return (grey * 40 + value * 60 + 50) / 100; };
    return {mix(colour.red), mix(colour.green), mix(colour.blue)};
  };
  EXPECT_EQ(pixel(overlay, 12, 16), tinted(76, index_colour(2)));  // 76: how bright red is
  EXPECT_EQ(pixel(overlay, 2, 2), tinted(0, index_colour(0)));
  for (const auto& [x, y] : {std::pair(8, 12), {17, 21}, {8, 16}, {12, 21}})
    EXPECT_EQ(pixel(overlay, x, y), as_pixel(index_colour(2))) << x << "," << y;
  for (const auto& [x, y] : {std::pair(7, 16), {18, 16}, {12, 11}, {12, 22}})
    EXPECT_EQ(pixel(overlay, x, y), as_pixel(index_colour(0))) << x << "," << y;
  EXPECT_EQ(pixel(overlay, 9, 13), tinted(76, index_colour(2)))
      << "the outline of a small image is one pixel wide";
}

TEST(Overlay, OutlinesLargeImagesInProportion) {
  const int side = 960;
  Mask mask{side, side, std::vector<std::uint8_t>(side * side, 0)};
  Image image = solid(side, side, kBlack);
  paint(image, mask, 300, 300, 400, 400, kGreen, 1);
  const Image overlay = draw_overlay(image, mask);
  for (int depth = 0; depth < 8; ++depth) {
    EXPECT_EQ(pixel(overlay, 300 + depth, 500) == as_pixel(index_colour(1)), depth < 4) << depth;
    EXPECT_EQ(pixel(overlay, 500, 699 - depth) == as_pixel(index_colour(1)), depth < 4) << depth;
    EXPECT_EQ(pixel(overlay, 299 - depth, 500) == as_pixel(index_colour(0)), depth < 4) << depth;
  }
}

TEST(Overlay, TakesAnySlotNumberAndAnySize) {
  for (const auto& [width, height] : {std::pair(1, 1), {1, 40}, {37, 2}}) {
    Mask mask{width, height, {}};
    for (int i = 0; i < width * height; ++i)
      mask.values.push_back(static_cast<std::uint8_t>(255 - i));
    const Image overlay = draw_overlay(solid(width, height, kGreen), mask);
    EXPECT_EQ(overlay.width, width);
    EXPECT_EQ(overlay.height, height);
  }
  EXPECT_TRUE(draw_overlay(Image{}, Mask{}).pixels.empty());
}

TEST(Overlay, RefusesAMaskOfAnotherSize) {
  EXPECT_THROW(draw_overlay(solid(4, 4, kRed), Mask{4, 3, std::vector<std::uint8_t>(12)}),
               std::invalid_argument);
  EXPECT_THROW(draw_single_region(solid(4, 4, kRed), Mask{3, 4, std::vector<std::uint8_t>(12)}, 0),
               std::invalid_argument);
}

TEST(SingleRegion, FadesTheRest) {
  const ObjectView scene = red_square();
  const Image object = draw_single_region(scene.image, scene.mask, 1);
  const Image background = draw_single_region(scene.image, scene.mask, 0);
  for (int y = 0; y < 36; ++y) {
    for (int x = 0; x < 36; ++x) {
      const bool inside = scene.mask.values[static_cast<std::size_t>(y) * 36 + x] == 1;
      EXPECT_EQ(pixel(object, x, y) == pixel(scene.image, x, y), inside) << x << "," << y;
      EXPECT_EQ(pixel(background, x, y) == pixel(scene.image, x, y), !inside) << x << "," << y;
    }
  }
  EXPECT_EQ(pixel(object, 0, 0), (Pixel{96, 96, 96}));
}

TEST(SingleRegion, OfASlotWithoutPixelsFadesEverything) {
  const ObjectView scene = red_square();
  for (const int slot : {3, 255, 256, 1000, -1}) {
    const Image faded = draw_single_region(scene.image, scene.mask, slot);
    EXPECT_NE(pixel(faded, 0, 0), pixel(scene.image, 0, 0)) << slot;
    EXPECT_NE(pixel(faded, 12, 16), pixel(scene.image, 12, 16)) << slot;
  }
}

Retrieval with_results(std::size_t count) {
  Retrieval retrieval;
  retrieval.query = red_square();
  for (std::size_t i = 0; i < count; ++i) {
    ObjectView object;
    object.image = solid(36, 36, kBlack);
    object.mask = {36, 36, std::vector<std::uint8_t>(36 * 36, 0)};
    paint(object.image, object.mask, 8, 12, 10, 10, {0, static_cast<std::uint8_t>(250 - 10 * i), 0},
          3);
    object.slot = 3;
    object.similarity = 1 - 0.05 * static_cast<double>(i);
    retrieval.nearest.push_back(object);
  }
  return retrieval;
}

std::pair<int, int> tile_corner(int rank) {
  const int column = rank % kSheetColumns;
  const int row = rank / kSheetColumns;
  return {kSheetMargin + kSheetTile + kSheetDivider + column * (kSheetTile + kSheetGap),
          kSheetMargin + row * (kSheetTile + kSheetCaption)};
}

std::size_t colours_in(const Image& image, int left, int top, int width, int height) {
  std::set<Pixel> colours;
  for (int y = top; y < top + height; ++y) {
    for (int x = left; x < left + width; ++x) colours.insert(pixel(image, x, y));
  }
  return colours.size();
}

TEST(Sheet, HasATileForEachResultInItsPlace) {
  const Image sheet = draw_retrieval_sheet(with_results(8));
  EXPECT_EQ(sheet.width, 2 * kSheetMargin + 7 * kSheetTile + kSheetDivider + 5 * kSheetGap);
  EXPECT_EQ(sheet.height, kSheetMargin + 2 * (kSheetTile + kSheetCaption));
  ASSERT_EQ(sheet.pixels.size(), static_cast<std::size_t>(sheet.width) * sheet.height * 3);
  // The middle of the square, at four tile pixels for one of the image, and a place off it.
  EXPECT_EQ(pixel(sheet, kSheetMargin + 4 * 13, kSheetMargin + 4 * 17), as_pixel(kRed));
  EXPECT_EQ(pixel(sheet, kSheetMargin + 4, kSheetMargin + 4), as_pixel(kBlack));
  const Pixel paper = pixel(sheet, 0, 0);
  EXPECT_GT(paper[0], 240);
  for (int rank = 0; rank < 8; ++rank) {
    const auto [left, top] = tile_corner(rank);
    EXPECT_EQ(pixel(sheet, left + 4 * 13, top + 4 * 17), (Pixel{0, 250 - 10 * rank, 0})) << rank;
    EXPECT_EQ(pixel(sheet, left, top), as_pixel(kBlack)) << rank;
    EXPECT_EQ(pixel(sheet, left + kSheetTile - 1, top + kSheetTile - 1), as_pixel(kBlack)) << rank;
    EXPECT_EQ(pixel(sheet, left - 1, top), paper) << rank;
    EXPECT_EQ(pixel(sheet, left + kSheetTile, top), paper) << rank;
    EXPECT_EQ(colours_in(sheet, left, top + kSheetTile, kSheetTile, kSheetCaption), 3U)
        << "paper, the rank and the similarity under " << rank;
  }
  const auto [left, top] = tile_corner(8);
  EXPECT_EQ(colours_in(sheet, left, top, kSheetTile, kSheetTile), 1U);
}

TEST(Sheet, OutlinesTheObjectAndOnlyIt) {
  const Image sheet = draw_retrieval_sheet(with_results(1));
  const auto [left, top] = tile_corner(0);
  const Pixel white = {255, 255, 255};
  EXPECT_EQ(pixel(sheet, left + 4 * 8, top + 4 * 17), white);
  EXPECT_EQ(pixel(sheet, left + 4 * 18 - 1, top + 4 * 17), white);
  EXPECT_EQ(pixel(sheet, left + 4 * 13, top + 4 * 12), white);
  for (int y = 0; y < kSheetTile; ++y) {
    for (int x = 0; x < kSheetTile; ++x) {
      const bool near_object = x >= 4 * 7 && x < 4 * 19 && y >= 4 * 11 && y < 4 * 23;
      if (!near_object) {
        EXPECT_EQ(pixel(sheet, left + x, top + y), as_pixel(kBlack)) << x << "," << y;
      }
    }
  }
}

// A sheet of one result under which `similarity` stands.
Image sheet_of(double similarity) {
  Retrieval retrieval = with_results(1);
  retrieval.nearest[0].similarity = similarity;
  return draw_retrieval_sheet(retrieval);
}

TEST(Sheet, WritesTheSimilarityInDigits) {
  const int right = tile_corner(0).first + kSheetTile;
  const int below = tile_corner(0).second + kSheetTile;
  for (const auto& [similarity, text] : {std::pair(1.0, "1.00"),
                                         {0.974, "0.97"},
                                         {0.3, "0.30"},
                                         {-0.456, "-0.46"},
                                         {-0.001, "0.00"},
                                         {25.0, "9.99"},
                                         {std::numeric_limits<double>::quiet_NaN(), "-"},
                                         {std::numeric_limits<double>::infinity(), "-"}}) {
    const Image sheet = sheet_of(similarity);
    Colour ink = {255, 255, 255};
    for (int y = below; y < below + kSheetCaption; ++y) {
      for (int x = right - 60; x < right; ++x) {
        const Pixel here = pixel(sheet, x, y);
        if (here[0] < ink.red)
          ink = {static_cast<std::uint8_t>(here[0]), static_cast<std::uint8_t>(here[1]),
                 static_cast<std::uint8_t>(here[2])};
      }
    }
    Image expected = solid(60, kSheetCaption, {250, 250, 248});
    draw_text(expected, 60 - text_width(text, 2), 8, text, 2, ink);
    for (int y = 0; y < kSheetCaption; ++y) {
      for (int x = 0; x < 60; ++x)
        ASSERT_EQ(pixel(sheet, right - 60 + x, below + y), pixel(expected, x, y))
            << text << " at " << x << "," << y;
    }
  }
}

TEST(Sheet, MarksTheKindByShapeAsWellAsColour) {
  Retrieval retrieval = with_results(2);
  retrieval.nearest[0].same_kind = true;
  retrieval.nearest[1].same_kind = false;
  const Image sheet = draw_retrieval_sheet(retrieval);
  std::set<std::pair<int, int>> marks[2];
  for (int rank = 0; rank < 2; ++rank) {
    const auto [left, top] = tile_corner(rank);
    const int middle = kSheetTile / 2;
    for (int y = 0; y < kSheetCaption; ++y) {
      for (int x = middle - 8; x < middle + 8; ++x) {
        if (pixel(sheet, left + x, top + kSheetTile + y) != pixel(sheet, 0, 0))
          marks[rank].insert({x, y});
      }
    }
    EXPECT_FALSE(marks[rank].empty());
  }
  EXPECT_NE(marks[0], marks[1]);
}

TEST(Sheet, FitsImagesOfAnyShape) {
  Retrieval retrieval = with_results(3);
  const int side = 600;
  retrieval.query.image = solid(2 * side, side, kGreen);
  retrieval.query.mask = {2 * side, side, std::vector<std::uint8_t>(2 * side * side, 0)};
  retrieval.nearest[0].image = solid(1, 500, kRed);
  retrieval.nearest[0].mask = {1, 500, std::vector<std::uint8_t>(500, 0)};
  retrieval.nearest[1].image = {};
  retrieval.nearest[1].mask = {};
  retrieval.nearest[2].slot = 200;
  const Image sheet = draw_retrieval_sheet(retrieval);
  const Pixel paper = pixel(sheet, 0, 0);
  const int middle = kSheetMargin + kSheetTile / 2;
  EXPECT_EQ(pixel(sheet, middle, middle), as_pixel(kGreen));
  EXPECT_EQ(pixel(sheet, kSheetMargin, middle), as_pixel(kGreen));
  EXPECT_EQ(pixel(sheet, middle, kSheetMargin + kSheetTile / 4 - 1), paper);
  EXPECT_EQ(pixel(sheet, middle, kSheetMargin + kSheetTile / 4), as_pixel(kGreen));
  const auto [left, top] = tile_corner(1);
  EXPECT_EQ(colours_in(sheet, left, top, kSheetTile, kSheetTile), 1U);
}

TEST(Sheet, AveragesLargeImages) {
  Retrieval retrieval;
  const int side = 10 * kSheetTile;
  retrieval.query.image = solid(side, side, kBlack);
  retrieval.query.mask = {side, side,
                          std::vector<std::uint8_t>(static_cast<std::size_t>(side) * side, 0)};
  for (std::size_t i = 0; i < retrieval.query.image.pixels.size(); i += 6)
    retrieval.query.image.pixels[i] = 200;  // every second column
  const Image sheet = draw_retrieval_sheet(retrieval);
  EXPECT_EQ(pixel(sheet, kSheetMargin + 50, kSheetMargin + 50), (Pixel{100, 0, 0}));
}

TEST(Sheet, WithoutResultsShowsTheQueryAlone) {
  const Image sheet = draw_retrieval_sheet(with_results(0));
  EXPECT_EQ(sheet.width, 2 * kSheetMargin + kSheetTile);
  EXPECT_EQ(sheet.height, kSheetMargin + kSheetTile + kSheetCaption);
  EXPECT_EQ(pixel(sheet, kSheetMargin + 4 * 13, kSheetMargin + 4 * 17), as_pixel(kRed));
}

TEST(Glyphs, AreAllDifferentAndFillTheirWidth) {
  std::vector<std::vector<std::uint8_t>> seen;
  for (const char character : std::string_view("0123456789.-vx")) {
    const std::string text(1, character);
    Image image = solid(20, 20, kBlack);
    draw_text(image, 2, 3, text, 2, kRed);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), image.pixels), 0) << character;
    seen.push_back(image.pixels);
    const int width = text_width(text, 2);
    for (int y = 0; y < 20; ++y) {
      for (int x = 0; x < 20; ++x) {
        const bool outside = x < 2 || x >= 2 + width || y < 3 || y >= 3 + 2 * kGlyphHeight;
        if (outside) {
          EXPECT_EQ(pixel(image, x, y), as_pixel(kBlack)) << character;
        }
      }
    }
  }
  EXPECT_EQ(text_width("", 2), 0);
  EXPECT_EQ(text_width("10", 1), 2 * kGlyphWidth + 1);
}

TEST(Glyphs, StayInsideTheImage) {
  Image image = solid(6, 6, kBlack);
  draw_text(image, -3, -2, "888", 2, kRed);
  draw_text(image, 100, 100, "8", 2, kRed);
  EXPECT_EQ(image.pixels.size(), 6U * 6 * 3);
}

}  // namespace
}  // namespace osc::program
