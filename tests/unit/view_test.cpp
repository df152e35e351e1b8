#include "osc/view.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace osc {
namespace {

template <typename T, int N>
std::int64_t offset(const View<T, N>& view, const std::int64_t (&at)[N]) {
  std::int64_t result = 0;
  for (int i = 0; i < N; ++i) result += at[i] * view.strides[i];
  return result;
}

TEST(View, ContiguousIsRowMajor) {
  double data[24];
  const auto view = contiguous(data, {2, 3, 4});
  EXPECT_EQ(view.data, data);
  EXPECT_EQ(offset(view, {1, 2, 3}), (1 * 3 + 2) * 4 + 3);
  const View<const double, 3> read_only = view;
  EXPECT_EQ(read_only.data, data);
  EXPECT_EQ(offset(read_only, {1, 0, 2}), 14);
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(contiguous(data, {2, most, most}).strides[2], 1);  // refused where it is used
}

TEST(View, OfViewMajorSlotsHasRowsIAndIPlusB) {
  float data[4 * 3 * 2];
  const auto view = view_major(data, {4, 3, 2});
  EXPECT_EQ(view.sizes[1], 2);
  EXPECT_EQ(offset(view, {0, 1, 2, 0}), (1 * 3 + 2) * 2);
  EXPECT_EQ(offset(view, {1, 1, 2, 0}), (3 * 3 + 2) * 2);
  EXPECT_EQ(offset(view_major(data, {4, 3, 2}, {-2, 8, 1}), {1, 0, 2, 1}), -4 + 16 + 1);
}

TEST(View, OfImageMajorSlotsHasAnImagesViewsTogether) {
  float data[2 * 2 * 3 * 2];
  const auto view = image_major(data, {2, 2, 3, 2});
  EXPECT_EQ(view.sizes[1], 2);
  EXPECT_EQ(offset(view, {1, 0, 2, 0}), ((0 * 2 + 1) * 3 + 2) * 2);
  EXPECT_EQ(offset(view, {0, 1, 0, 1}), (1 * 2 + 0) * 6 + 1);
}

TEST(View, RefusesSlotsThatAreNoPairs) {
  float data[12];
  const auto text_of = [](const auto& make) -> std::string {
    try {
      make();
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(text_of([&] { view_major(data, {3, 2, 2}); }),
            "slots have shape [3, 2, 2]; wanted [2B, S, C], in which rows i and i + B are the "
            "views of image i");
  EXPECT_EQ(text_of([&] { image_major(data, {1, 3, 2, 2}); }),
            "slots have shape [1, 3, 2, 2]; wanted [B, 2, S, C], in which the second dimension is "
            "the two views");
  EXPECT_EQ(text_of([&] {
              view_major(data, {8, 2, 2}, {std::numeric_limits<std::int64_t>::max(), 2, 1});
            }),
            "slots have shape [8, 2, 2]; wanted strides that do not overflow");
}

}  // namespace
}  // namespace osc
