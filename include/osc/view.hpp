// A strided view of memory that someone else owns: the only kind of array that the library takes.
//
// Element (i, j, ...) is data[i * strides[0] + j * strides[1] + ...]. Strides count elements and
// may be negative or, where the view is only read, zero. Copying copies the view, not the elements.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "osc/error.hpp"

namespace osc {

// T is double, float, float16 or bfloat16; const where the elements are only read.
template <typename T, int N>
struct View {
  T* data = nullptr;  // may be null where there are no elements
  std::int64_t sizes[N] = {};
  std::int64_t strides[N] = {};

  // NOLINTNEXTLINE(google-explicit-constructor): what may be written may be read.
  operator View<const T, N>() const noexcept
    requires(!std::is_const_v<T>)
  {
    View<const T, N> view{data};
    for (int i = 0; i < N; ++i) view.sizes[i] = sizes[i], view.strides[i] = strides[i];
    return view;
  }
};

// A row-major array: contiguous(costs.data(), {problems, rows, columns}).
template <typename T, int N>
View<T, N> contiguous(T* data, const std::int64_t (&sizes)[N]) noexcept {
  View<T, N> view{data};
  std::uint64_t stride = 1;  // wraps around where the sizes overflow; every function refuses these
  for (int i = N - 1; i >= 0; --i) {
    view.sizes[i] = sizes[i];
    view.strides[i] = static_cast<std::int64_t>(stride);
    stride *= static_cast<std::uint64_t>(sizes[i]);
  }
  return view;
}

namespace detail {

template <int N>
[[noreturn]] void refuse_slots(const std::int64_t (&sizes)[N], const char* wanted) {
  std::string shape;
  for (const std::int64_t size : sizes) shape += (shape.empty() ? "" : ", ") + std::to_string(size);
  throw InvalidArgument("slots have shape [" + shape + "]; wanted " + wanted);
}

}  // namespace detail

// Slots of two views of each image, [2, B, S, C], from an array [2B, S, C] in which rows i and i +
// B are the views of image i. Throws InvalidArgument for an odd leading dimension.
template <typename T>
View<T, 4> view_major(T* data, const std::int64_t (&sizes)[3], const std::int64_t (&strides)[3]) {
  const auto& [rows, slots, channels] = sizes;
  std::int64_t view_stride = 0;
  if (rows % 2 != 0 || __builtin_mul_overflow(rows / 2, strides[0], &view_stride)) {
    detail::refuse_slots(
        sizes, rows % 2 != 0 ? "[2B, S, C], in which rows i and i + B are the views of image i"
                             : "strides that do not overflow");
  }
  return {data, {2, rows / 2, slots, channels}, {view_stride, strides[0], strides[1], strides[2]}};
}
template <typename T>
View<T, 4> view_major(T* data, const std::int64_t (&sizes)[3]) {
  return view_major(data, sizes, contiguous(data, sizes).strides);
}

// Slots of two views of each image, [2, B, S, C], from an array [B, 2, S, C] in which the views of
// an image lie together. Throws InvalidArgument unless the second dimension is 2.
template <typename T>
View<T, 4> image_major(T* data, const std::int64_t (&sizes)[4], const std::int64_t (&strides)[4]) {
  if (sizes[1] != 2)
    detail::refuse_slots(sizes, "[B, 2, S, C], in which the second dimension is the two views");
  return {
      data, {2, sizes[0], sizes[2], sizes[3]}, {strides[1], strides[0], strides[2], strides[3]}};
}
template <typename T>
View<T, 4> image_major(T* data, const std::int64_t (&sizes)[4]) {
  return image_major(data, sizes, contiguous(data, sizes).strides);
}

}  // namespace osc
