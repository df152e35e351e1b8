#include "report/glyphs.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

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

}  // namespace osc::program
