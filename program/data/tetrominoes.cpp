// Tetrominoes on black: three of the seven one-sided pieces, each turned by a multiple of 90° and
// placed, uniformly among what fits the image. A piece that overlaps an earlier one is drawn again,
// the whole scene after 50 failures. Colours are independent of each other and of the shapes. A
// category is a colour and a shape, for example "red L90".
#include "data/sources.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>

namespace osc::program {
namespace {

constexpr int kSceneSide = 36;  // pixels
constexpr int kCell = 5;        // pixels a cell of a tetromino
constexpr int kSceneObjects = 3;
constexpr int kTriesPerPiece = 50;

struct ShapeRow {
  std::string_view name;                  // the piece and its degrees clockwise
  std::array<std::string_view, 4> cells;  // a row each, from the top
};

constexpr std::array<ShapeRow, 19> kShapes = {{
    {"I0", {"####"}},
    {"I90", {"#", "#", "#", "#"}},
    {"O0", {"##", "##"}},
    {"T0", {"###", ".#."}},
    {"T90", {".#", "##", ".#"}},
    {"T180", {".#.", "###"}},
    {"T270", {"#.", "##", "#."}},
    {"L0", {"###", "#.."}},
    {"L90", {"##", ".#", ".#"}},
    {"L180", {"..#", "###"}},
    {"L270", {"#.", "#.", "##"}},
    {"J0", {"###", "..#"}},
    {"J90", {".#", ".#", "##"}},
    {"J180", {"#..", "###"}},
    {"J270", {"##", "#.", "#."}},
    {"Z0", {"##.", ".##"}},
    {"Z90", {".#", "##", "#."}},
    {"S0", {".##", "##."}},
    {"S90", {"#.", "##", ".#"}},
}};

// The shape of each piece (I, O, T, L, J, Z, S) at each quarter turn.
constexpr int kPieces = 7, kTurns = 4;
constexpr int kShapeOfPiece[kPieces][kTurns] = {{0, 1, 0, 1},    {2, 2, 2, 2},     {3, 4, 5, 6},
                                                {7, 8, 9, 10},   {11, 12, 13, 14}, {15, 16, 15, 16},
                                                {17, 18, 17, 18}};

constexpr std::array<std::pair<std::string_view, Colour>, 6> kColours = {
    {{"red", {255, 0, 0}},
     {"green", {0, 255, 0}},
     {"blue", {0, 0, 255}},
     {"yellow", {255, 255, 0}},
     {"magenta", {255, 0, 255}},
     {"cyan", {0, 255, 255}}}};

std::string category(std::size_t colour, std::size_t shape) {
  return std::string(kColours[colour].first) + " " + std::string(kShapes[shape].name);
}

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
  int shape, top, left;
};

// Calls `use(y, x)` for the upper left pixel of each cell.
template <typename Use>
void for_each_cell(const PlacedPiece& piece, const Use& use) {
  const auto& cells = kShapes[static_cast<std::size_t>(piece.shape)].cells;
  for (int row = 0; row < 4; ++row) {
    const std::string_view line = cells[static_cast<std::size_t>(row)];
    for (int column = 0; column < std::ssize(line); ++column) {
      if (line[static_cast<std::size_t>(column)] == '#')
        use(piece.top + row * kCell, piece.left + column * kCell);
    }
  }
}

bool overlap(const PlacedPiece& a, const PlacedPiece& b) {
  bool any = false;
  for_each_cell(a, [&](int y, int x) {
    for_each_cell(b,
                  [&](int v, int u) { any |= std::abs(y - v) < kCell && std::abs(x - u) < kCell; });
  });
  return any;
}

// False where one of the pieces found no free place.
bool place_pieces(SceneRandom& random, std::vector<PlacedPiece>& placed) {
  placed.clear();
  while (std::ssize(placed) < kSceneObjects) {
    bool free = false;
    for (int attempt = 0; attempt < kTriesPerPiece && !free; ++attempt) {
      const int number = random.below(kPieces);
      PlacedPiece piece{kShapeOfPiece[number][random.below(kTurns)], 0, 0};
      const auto& cells = kShapes[static_cast<std::size_t>(piece.shape)].cells;
      const auto rows = std::ranges::count_if(cells, [](auto line) { return !line.empty(); });
      piece.top = random.below(kSceneSide - static_cast<int>(rows) * kCell + 1);
      piece.left = random.below(kSceneSide - static_cast<int>(cells[0].size()) * kCell + 1);
      free = std::ranges::none_of(placed,
                                  [&](const PlacedPiece& other) { return overlap(other, piece); });
      if (free) placed.push_back(piece);
    }
    if (!free) return false;
  }
  return true;
}

Scene tetromino_scene(std::uint64_t seed, std::uint64_t index) {
  SceneRandom random(seed, index);
  std::vector<PlacedPiece> placed;
  while (!place_pieces(random, placed)) {
  }
  Scene scene;
  constexpr auto kPixels = static_cast<std::size_t>(kSceneSide * kSceneSide);
  scene.image = {kSceneSide, kSceneSide, std::vector<std::uint8_t>(kPixels * 3)};
  scene.mask = {kSceneSide, kSceneSide, std::vector<std::uint8_t>(kPixels)};
  for (const PlacedPiece& piece : placed) {
    const auto number = static_cast<std::size_t>(random.below(static_cast<int>(kColours.size())));
    const Colour colour = kColours[number].second;
    SceneObject object{category(number, static_cast<std::size_t>(piece.shape)), 0, 0};
    for_each_cell(piece, [&](int top, int left) {
      object.x += (static_cast<float>(left) + kCell / 2.0F) / 4;
      object.y += (static_cast<float>(top) + kCell / 2.0F) / 4;
      for (int pixel = 0; pixel < kCell * kCell; ++pixel) {
        const auto at =
            static_cast<std::size_t>((top + pixel / kCell) * kSceneSide + left + pixel % kCell);
        scene.mask.values[at] = static_cast<std::uint8_t>(scene.objects.size() + 1);
        std::ranges::copy(std::array{colour.red, colour.green, colour.blue},
                          scene.image.pixels.begin() + static_cast<std::ptrdiff_t>(3 * at));
      }
    });
    scene.objects.push_back(std::move(object));
  }
  return scene;
}

std::vector<std::string> tetromino_categories() {
  std::vector<std::string> names;
  for (std::size_t colour = 0; colour < kColours.size(); ++colour) {
    for (std::size_t shape = 0; shape < kShapes.size(); ++shape)
      names.push_back(category(colour, shape));
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace

extern const ImageSource kTetrominoes;
constexpr ImageSource kTetrominoes{
    "tetrominoes",      "generated scenes of three tetrominoes on black",
    kGeneratedSettings, generated_images,
    tetromino_scene,    tetromino_categories};

}  // namespace osc::program
