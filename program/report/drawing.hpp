// Pictures made of pictures: overlays of segmentations, sheets of results.
#pragma once

#include <string_view>
#include <utility>

#include "data/image.hpp"
#include "report/report.hpp"

namespace osc::program {

inline constexpr int kGlyphWidth = 5;  // of a digit, in dots
inline constexpr int kGlyphHeight = 7;

void fill_rectangle(Image& image, int left, int top, int width, int height, Colour colour);

// Draws digits, '.', '-', 'v' (a tick) and 'x' (a cross), a dot being scale × scale pixels, from
// the upper left corner (x, y). Any other character is a blank.
void draw_text(Image& image, int x, int y, std::string_view text, int scale, Colour colour);

// Width that draw_text fills, in pixels.
int text_width(std::string_view text, int scale);

// Width and height scaled so that the longer one is `side`; each is one pixel at least.
std::pair<int, int> fitted_size(int width, int height, int side);

// The image in grey with each slot's region tinted in its colour and outlined, the outline thicker
// in larger images: colour then means the slot and nothing else. Sizes must agree
// (std::invalid_argument).
Image draw_overlay(const Image& image, const Mask& slots);

// The image with all but one region faded to a mid grey, so that a black region on black shows its
// shape too. A slot without pixels fades everything. Sizes must agree (std::invalid_argument).
Image draw_single_region(const Image& image, const Mask& slots, int slot);

// Measures of the retrieval sheet, in pixels. The query's tile has its corner at (margin, margin);
// the result of rank r stands in column r % columns and row r / columns, the first tile's corner
// being at (margin + tile + divider, margin) and the next ones' tile + gap to the right, tile +
// caption below.
inline constexpr int kSheetTile = 144;
inline constexpr int kSheetMargin = 20;
inline constexpr int kSheetGap = 14;
inline constexpr int kSheetCaption = 38;
inline constexpr int kSheetDivider = 44;
inline constexpr int kSheetColumns = 6;

// What `osc find` writes: the query on the left, the results in rows by rank, the object outlined
// in each, its rank and its similarity in digits under it, between them a tick or a cross where it
// is known whether the object is of the query's kind. An image's longer side fills its tile; tiny
// ones show their pixels.
Image draw_retrieval_sheet(const Retrieval& retrieval);

}  // namespace osc::program
