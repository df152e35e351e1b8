#include "evaluation/hand_template.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "fixtures.hpp"

namespace osc::program {
namespace {

constexpr int kMask = kTemplateSide * kTemplateSide;

struct Painting {
  int side;
  std::vector<float> image;         // [3, side, side]
  std::vector<std::uint8_t> slots;  // [side, side]
  explicit Painting(int side_)
      : side(side_), image(3UL * side_ * side_), slots(1UL * side_ * side_) {}

  // An L of three cells, `cell` pixels each, its corner at (x, y), as slot 1.
  Painting& l_shape(int x, int y, int cell, std::vector<float> colour) {
    for (const auto& [column, row] : {std::pair{0, 0}, {0, 1}, {1, 1}}) {
      for (int dy = 0; dy < cell; ++dy) {
        for (int dx = 0; dx < cell; ++dx) {
          const int pixel = (y + row * cell + dy) * side + x + column * cell + dx;
          slots[pixel] = 1;
          for (int channel = 0; channel < 3; ++channel)
            image[channel * side * side + pixel] = colour[channel];
        }
      }
    }
    return *this;
  }
  std::vector<float> described(double place_weight = 0, int slot = 1) const {
    return hand_template(image, slots, side, slot, place_weight);
  }
};

float dot(const std::vector<float>& a, const std::vector<float>& b, int first, int count) {
  return std::inner_product(a.begin() + first, a.begin() + first + count, b.begin() + first, 0.0F);
}

TEST(HandTemplate, SameWhereverTheObjectIs) {
  const auto here = Painting(kSide).l_shape(3, 4, 5, {1, 0, 0}).described();
  const auto there = Painting(kSide).l_shape(20, 15, 5, {1, 0, 0}).described();
  EXPECT_EQ(here, there);
}

TEST(HandTemplate, MaskIsOfUnitLengthAndColourIsTheMean) {
  const auto numbers = Painting(kSide).l_shape(3, 4, 5, {1, 0.5, 0.25}).described();
  ASSERT_EQ(numbers.size(), static_cast<std::size_t>(kTemplateSize));
  EXPECT_NEAR(dot(numbers, numbers, 0, kMask), 1, 1e-5);
  EXPECT_FLOAT_EQ(numbers[kMask], 1);
  EXPECT_FLOAT_EQ(numbers[kMask + 1], 0.5);
  EXPECT_FLOAT_EQ(numbers[kMask + 2], 0.25);
  EXPECT_FLOAT_EQ(numbers[kMask + 3], 0);  // the place has no weight
}

TEST(HandTemplate, CentrePixelOfTheMaskIsTheCentroid) {
  Painting one(kSide);
  one.slots[7 * kSide + 9] = 1;
  const auto numbers = one.described(3);
  EXPECT_FLOAT_EQ(numbers[kTemplateSide / 2 * kTemplateSide + kTemplateSide / 2], 1);
  EXPECT_FLOAT_EQ(numbers[kMask + 3], 3.0F * 7 / kSide);
  EXPECT_FLOAT_EQ(numbers[kMask + 4], 3.0F * 9 / kSide);
}

TEST(HandTemplate, ObjectAtTheBorderStaysWhole) {
  const auto corner = Painting(kSide).l_shape(26, 26, 5, {1, 1, 1}).described();
  const auto middle = Painting(kSide).l_shape(10, 10, 5, {1, 1, 1}).described();
  EXPECT_EQ(corner, middle);
}

TEST(HandTemplate, LargerImageOfTheSameThingIsAlike) {
  const auto small = Painting(kSide).l_shape(6, 6, 5, {1, 1, 1}).described();
  const auto large = Painting(2 * kSide).l_shape(12, 12, 10, {1, 1, 1}).described();
  EXPECT_GT(dot(small, large, 0, kMask), 0.9);
}

TEST(HandTemplate, EmptyRegionIsZero) {
  const auto numbers = Painting(kSide).l_shape(3, 4, 5, {1, 1, 1}).described(3, 2);
  EXPECT_EQ(numbers, std::vector<float>(kTemplateSize));
}

}  // namespace
}  // namespace osc::program
