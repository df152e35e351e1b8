// Rectangles, and a few hand-drawn glyphs, for pictures that carry numbers. What would fall outside
// the image is left out.
#pragma once

#include <string_view>

#include "data/image.hpp"

namespace osc::program {

inline constexpr int kGlyphWidth = 5;  // of a digit, in dots
inline constexpr int kGlyphHeight = 7;

void fill_rectangle(Image& image, int left, int top, int width, int height, Colour colour);

// Draws digits, '.', '-', 'v' (a tick) and 'x' (a cross), a dot being scale × scale pixels, from
// the upper left corner (x, y). Any other character is a blank.
void draw_text(Image& image, int x, int y, std::string_view text, int scale, Colour colour);

// Width that draw_text fills, in pixels.
int text_width(std::string_view text, int scale);

}  // namespace osc::program
