#include "osc/slots.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "osc/error.hpp"

namespace osc {
namespace {

constexpr std::int64_t kHuge = std::int64_t{1} << 40;
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

TEST(SlotPairs, ViewMajorAddressesRowsIAndIPlusB) {
  std::vector<float> data(4 * 3 * 2);
  const auto slots = view_major_slots(data.data(), {4, 3, 2});
  EXPECT_EQ(slots.images, 2);
  EXPECT_EQ(slots.at(0, 1, 2) - data.data(), (1 * 3 + 2) * 2);
  EXPECT_EQ(slots.at(1, 1, 2) - data.data(), (3 * 3 + 2) * 2);
}

TEST(SlotPairs, ImageMajorAddressesViewsTogether) {
  std::vector<float> data(2 * 2 * 3 * 2);
  const auto slots = image_major_slots(data.data(), {2, 2, 3, 2});
  EXPECT_EQ(slots.images, 2);
  EXPECT_EQ(slots.at(1, 0, 2) - data.data(), ((0 * 2 + 1) * 3 + 2) * 2);
  EXPECT_EQ(slots.at(0, 1, 0) - data.data(), ((1 * 2 + 0) * 3 + 0) * 2);
}

TEST(SlotPairs, StridesMayBeAnythingThatKeepsChannelsTogether) {
  std::vector<double> data(100);
  const auto slots = view_major_slots(data.data() + 50, {4, 3, 2}, {-2, 8, 1});
  EXPECT_EQ(slots.at(1, 0, 2) - data.data(), 50 - 4 + 16);
  EXPECT_NO_THROW(view_major_slots(data.data(), {4, 3, 1}, {3, 1, 99}));
  const SlotPairs<const double> read_only = slots;
  EXPECT_EQ(read_only.at(0, 1, 0), slots.at(0, 1, 0));
}

TEST(SlotPairs, BadShapesAreErrorsThatSayTheShape) {
  std::vector<float> data(64);
  try {
    view_major_slots(data.data(), {3, 2, 2});
    FAIL() << "no error";
  } catch (const InvalidArgument& error) {
    EXPECT_STREQ(error.what(),
                 "slots of shape [3, 2, 2]: the leading dimension must be even, 2B rows of which i "
                 "and i + B are the views of image i");
  }
  EXPECT_THROW(view_major_slots(data.data(), {-2, 2, 2}), InvalidArgument);
  EXPECT_THROW(view_major_slots<float>(nullptr, {2, 2, 2}), InvalidArgument);
  EXPECT_THROW(view_major_slots(data.data(), {2, 2, 2}, {4, 1, 2}), InvalidArgument);
  EXPECT_THROW(view_major_slots(data.data(), {kHuge, kHuge, 2}), InvalidArgument);
  EXPECT_THROW(view_major_slots(data.data(), {kHuge, 2, 2}, {kMost, 2, 1}), InvalidArgument);
  EXPECT_THROW(
      view_major_slots(data.data(), {2, 2, 2}, {std::numeric_limits<std::int64_t>::min(), 2, 1}),
      InvalidArgument);
  EXPECT_THROW(view_major_slots(data.data(), {2, 2, 2}, {kMost - 1, kMost - 1, 1}),
               InvalidArgument);
  EXPECT_THROW(view_major_slots(data.data(), {kMost - 1, 1, 0}),
               InvalidArgument);  // that many losses
  EXPECT_THROW(image_major_slots(data.data(), {2, 3, 2, 2}), InvalidArgument);
  EXPECT_THROW(image_major_slots(data.data(), {kHuge, 2, kHuge, 2}), InvalidArgument);
  EXPECT_THROW(check(SlotPairs<float>{data.data(), 1, -1, 1}), InvalidArgument);
}

TEST(SlotPairs, EmptyNeedsNoData) {
  EXPECT_NO_THROW(view_major_slots<float>(nullptr, {0, 2, 2}));
  EXPECT_NO_THROW(view_major_slots<float>(nullptr, {2, 0, 2}));
  EXPECT_NO_THROW(view_major_slots<float>(nullptr, {2, 2, 0}));
  EXPECT_NO_THROW(image_major_slots<float>(nullptr, {0, 2, 2, 2}));
}

}  // namespace
}  // namespace osc
