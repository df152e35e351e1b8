// Slots of two views of each image, as a view of memory that someone else owns.
//
// B images, 2 views, S slots, C channels. Whatever the order in memory, slot (view, image, slot) is
// C adjacent elements at data + view * view_stride + image * image_stride + slot * slot_stride.
// Strides count elements and may be negative or, where a view is only read, zero.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "osc/export.h"
#include "osc/float16.hpp"
#include "osc/status.hpp"

namespace osc {

// T is double, float, float16 or bfloat16, const where the slots are only read. Data is aligned as
// T is. Copying copies the view, not the slots.
template <typename T>
struct SlotPairs {
  T* data = nullptr;  // may be null where B, S or C is 0
  std::int64_t images = 0;
  std::int64_t slots = 0;
  std::int64_t channels = 0;
  std::int64_t view_stride = 0;
  std::int64_t image_stride = 0;
  std::int64_t slot_stride = 0;

  T* at(std::int64_t view, std::int64_t image, std::int64_t slot) const noexcept {
    if (channels == 0) return data;  // may be null, and the strides anything
    return data + view * view_stride + image * image_stride + slot * slot_stride;
  }

  operator SlotPairs<const T>() const noexcept  // NOLINT(google-explicit-constructor): reading what
                                                // may be written is always allowed
    requires(!std::is_const_v<T>)
  {
    return {data, images, slots, channels, view_stride, image_stride, slot_stride};
  }
};

// Throws InvalidArgument unless sizes are not negative, data is there where there are elements, and
// neither the number of bytes nor the distance between the first and the last element overflows.
// The factories below call it; so does every function that takes a SlotPairs, which may be filled
// by hand. O(1).
template <typename T>
OSC_API void check(const SlotPairs<T>& slots);
// The same as a Status, whose text calls the slots `name`.
template <typename T>
OSC_API Status try_check(const SlotPairs<T>& slots, const char* name) noexcept;

// [2B, S, C]: rows i and i + B of the leading dimension are the two views of image i. Contiguous,
// or with the strides of a NumPy or PyTorch array in elements, the last of which must be 1 (or C <=
// 1). Throw InvalidArgument for an odd leading dimension and where check() does.
template <typename T>
SlotPairs<T> view_major_slots(T* data, std::array<std::int64_t, 3> shape);
template <typename T>
SlotPairs<T> view_major_slots(T* data, std::array<std::int64_t, 3> shape,
                              std::array<std::int64_t, 3> strides);

// [B, 2, S, C]: the two views of an image lie together. As above; the second dimension must be 2.
template <typename T>
SlotPairs<T> image_major_slots(T* data, std::array<std::int64_t, 4> shape);
template <typename T>
SlotPairs<T> image_major_slots(T* data, std::array<std::int64_t, 4> shape,
                               std::array<std::int64_t, 4> strides);

namespace detail {

struct SlotLayout {
  std::int64_t images, slots, channels, view_stride, image_stride, slot_stride;
};
OSC_API SlotLayout view_major_layout(const std::array<std::int64_t, 3>& shape,
                                     const std::array<std::int64_t, 3>* strides);
OSC_API SlotLayout image_major_layout(const std::array<std::int64_t, 4>& shape,
                                      const std::array<std::int64_t, 4>* strides);

template <typename T>
SlotPairs<T> checked(T* data, const SlotLayout& layout) {
  const SlotPairs<T> slots{data,
                           layout.images,
                           layout.slots,
                           layout.channels,
                           layout.view_stride,
                           layout.image_stride,
                           layout.slot_stride};
  check(slots);
  return slots;
}

}  // namespace detail

template <typename T>
SlotPairs<T> view_major_slots(T* data, std::array<std::int64_t, 3> shape) {
  return detail::checked(data, detail::view_major_layout(shape, nullptr));
}
template <typename T>
SlotPairs<T> view_major_slots(T* data, std::array<std::int64_t, 3> shape,
                              std::array<std::int64_t, 3> strides) {
  return detail::checked(data, detail::view_major_layout(shape, &strides));
}
template <typename T>
SlotPairs<T> image_major_slots(T* data, std::array<std::int64_t, 4> shape) {
  return detail::checked(data, detail::image_major_layout(shape, nullptr));
}
template <typename T>
SlotPairs<T> image_major_slots(T* data, std::array<std::int64_t, 4> shape,
                               std::array<std::int64_t, 4> strides) {
  return detail::checked(data, detail::image_major_layout(shape, &strides));
}

}  // namespace osc
