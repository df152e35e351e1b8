#include "data/scenes.hpp"

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdlib>

namespace osc::program {
namespace {

struct Cell {
  int row = 0, column = 0;
  constexpr auto operator<=>(const Cell&) const = default;
};
using Cells = std::array<Cell, 4>;

constexpr int kPieces = 7;
constexpr int kTurns = 4;
constexpr int kTriesPerPiece = 50;

// In the order I, O, T, L, J, Z, S: shape numbers and names follow from it.
constexpr std::array<Cells, kPieces> kPieceCells = {{
    {{{0, 0}, {0, 1}, {0, 2}, {0, 3}}},
    {{{0, 0}, {0, 1}, {1, 0}, {1, 1}}},
    {{{0, 0}, {0, 1}, {0, 2}, {1, 1}}},
    {{{0, 0}, {0, 1}, {0, 2}, {1, 0}}},
    {{{0, 0}, {0, 1}, {0, 2}, {1, 2}}},
    {{{0, 0}, {0, 1}, {1, 1}, {1, 2}}},
    {{{0, 1}, {0, 2}, {1, 0}, {1, 1}}},
}};

// Degrees clockwise from the piece above.
constexpr std::array<std::string_view, kSceneShapes> kShapeNames = {
    "I0",   "I90", "O0",  "T0",   "T90",  "T180", "T270", "L0", "L90", "L180",
    "L270", "J0",  "J90", "J180", "J270", "Z0",   "Z90",  "S0", "S90"};
constexpr std::array<std::string_view, kSceneColours> kColourNames = {"red",    "green",   "blue",
                                                                      "yellow", "magenta", "cyan"};
constexpr std::array<Colour, kSceneColours> kColours = {
    {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 0}, {255, 0, 255}, {0, 255, 255}}};

struct OrientedPiece {
  Cells cells;  // sorted, the least row and column 0
  int rows = 0, columns = 0;
  int shape = 0;
};

// A quarter turn clockwise, moved back to the origin.
constexpr Cells turned(const Cells& cells) {
  Cells result;
  int bottom = 0;
  for (const Cell& cell : cells) bottom = std::max(bottom, cell.row);
  for (std::size_t i = 0; i < cells.size(); ++i)
    result[i] = {cells[i].column, bottom - cells[i].row};
  std::ranges::sort(result);
  return result;
}

constexpr std::array<std::array<OrientedPiece, kTurns>, kPieces> make_oriented_pieces() {
  std::array<std::array<OrientedPiece, kTurns>, kPieces> pieces;
  int shapes = 0;
  for (std::size_t p = 0; p < kPieces; ++p) {
    Cells cells = kPieceCells[p];
    for (std::size_t turn = 0; turn < kTurns; ++turn, cells = turned(cells)) {
      OrientedPiece& piece = pieces[p][turn];
      piece.cells = cells;
      for (const Cell& cell : cells) {
        piece.rows = std::max(piece.rows, cell.row + 1);
        piece.columns = std::max(piece.columns, cell.column + 1);
      }
      piece.shape = shapes;
      for (std::size_t earlier = 0; earlier < turn; ++earlier) {
        if (pieces[p][earlier].cells == cells) piece.shape = pieces[p][earlier].shape;
      }
      if (piece.shape == shapes) ++shapes;
    }
  }
  return pieces;
}
constexpr auto kOrientedPieces = make_oriented_pieces();
static_assert(kOrientedPieces[kPieces - 1][kTurns - 1].shape == kSceneShapes - 1);

// splitmix64 (Steele, Lea and Flood 2014). Not <random>: its distributions differ from one standard
// library to the next.
constexpr std::uint64_t kIncrement = 0x9e3779b97f4a7c15;

constexpr std::uint64_t scrambled(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

class SceneRandom {
 public:
  SceneRandom(std::uint64_t seed, std::uint64_t index)
      : state_(scrambled(scrambled(seed + kIncrement) + index)) {}

  // Uniform in 0 … bound-1. Without the rejection, some numbers would come up more often by a few
  // in 2^32.
  int below(int bound) {
    const auto n = static_cast<std::uint32_t>(bound);
    const std::uint32_t unfair = -n % n;  // 2^32 mod n
    for (;;) {
      state_ += kIncrement;
      const std::uint64_t product = (scrambled(state_) >> 32) * n;
      if (static_cast<std::uint32_t>(product) >= unfair) return static_cast<int>(product >> 32);
    }
  }

 private:
  std::uint64_t state_;
};

struct PlacedPiece {
  const OrientedPiece* piece;
  int top, left;
};

bool overlap(const PlacedPiece& a, const PlacedPiece& b) {
  for (const Cell& p : a.piece->cells) {
    for (const Cell& q : b.piece->cells) {
      const int down = (a.top + p.row * kSceneCell) - (b.top + q.row * kSceneCell);
      const int right = (a.left + p.column * kSceneCell) - (b.left + q.column * kSceneCell);
      if (std::abs(down) < kSceneCell && std::abs(right) < kSceneCell) return true;
    }
  }
  return false;
}

// False where one of the pieces found no free place; the caller starts again then.
bool place_pieces(SceneRandom& random, std::array<PlacedPiece, kSceneObjects>& placed) {
  for (std::size_t k = 0; k < placed.size(); ++k) {
    bool free = false;
    for (int attempt = 0; attempt < kTriesPerPiece && !free; ++attempt) {
      const auto piece_number = static_cast<std::size_t>(random.below(kPieces));
      const auto turn = static_cast<std::size_t>(random.below(kTurns));
      const OrientedPiece& piece = kOrientedPieces[piece_number][turn];
      const int top = random.below(kSceneSide - piece.rows * kSceneCell + 1);
      const int left = random.below(kSceneSide - piece.columns * kSceneCell + 1);
      placed[k] = {&piece, top, left};
      free = std::none_of(placed.begin(), placed.begin() + static_cast<std::ptrdiff_t>(k),
                          [&](const PlacedPiece& other) { return overlap(other, placed[k]); });
    }
    if (!free) return false;
  }
  return true;
}

void paint(const PlacedPiece& placed, const Colour& colour, std::uint8_t mask_value, Scene& scene) {
  for (const Cell& cell : placed.piece->cells) {
    for (int y = placed.top + cell.row * kSceneCell, bottom = y + kSceneCell; y < bottom; ++y) {
      for (int x = placed.left + cell.column * kSceneCell, right = x + kSceneCell; x < right; ++x) {
        const auto pixel = static_cast<std::size_t>(y * kSceneSide + x);
        scene.mask.values[pixel] = mask_value;
        scene.image.pixels[pixel * 3] = colour.red;
        scene.image.pixels[pixel * 3 + 1] = colour.green;
        scene.image.pixels[pixel * 3 + 2] = colour.blue;
      }
    }
  }
}

SceneObject describe(const PlacedPiece& placed, int colour) {
  int rows = 0, columns = 0;
  for (const Cell& cell : placed.piece->cells) {
    rows += cell.row;
    columns += cell.column;
  }
  constexpr float kHalfCell = kSceneCell / 2.0F;
  const auto mean_offset = [](int sum) {
    return static_cast<float>(sum * kSceneCell) / 4.0F + kHalfCell;
  };
  return {placed.piece->shape, colour, static_cast<float>(placed.left) + mean_offset(columns),
          static_cast<float>(placed.top) + mean_offset(rows)};
}

}  // namespace

Scene tetromino_scene(std::uint64_t seed, std::uint64_t index) {
  SceneRandom random(seed, index);
  std::array<PlacedPiece, kSceneObjects> placed{};
  while (!place_pieces(random, placed)) {
  }
  Scene scene;
  constexpr auto kPixels = static_cast<std::size_t>(kSceneSide * kSceneSide);
  scene.image = {kSceneSide, kSceneSide, std::vector<std::uint8_t>(kPixels * 3)};
  scene.mask = {kSceneSide, kSceneSide, std::vector<std::uint8_t>(kPixels)};
  for (std::size_t k = 0; k < placed.size(); ++k) {
    const int colour = random.below(kSceneColours);
    paint(placed[k], kColours[static_cast<std::size_t>(colour)], static_cast<std::uint8_t>(k + 1),
          scene);
    scene.objects.push_back(describe(placed[k], colour));
  }
  return scene;
}

std::string_view shape_name(int shape) { return kShapeNames.at(static_cast<std::size_t>(shape)); }

std::string_view colour_name(int colour) {
  return kColourNames.at(static_cast<std::size_t>(colour));
}

}  // namespace osc::program
