#include "old/slots.hpp"

#include <string>

#include "checked_size.hpp"
#include "element_types.hpp"
#include "osc/error.hpp"
#include "runtime/failure.hpp"

namespace osc {
namespace {

template <std::size_t N>
std::string text(const std::array<std::int64_t, N>& shape) {
  std::string result = "[";
  for (std::size_t i = 0; i < N; ++i) result += (i ? ", " : "") + std::to_string(shape[i]);
  return result + "]";
}

template <std::size_t N>
void check_shape(const std::array<std::int64_t, N>& shape,
                 const std::array<std::int64_t, N>* strides) {
  for (const std::int64_t size : shape) {
    if (size < 0) throw InvalidArgument("slots of shape " + text(shape) + ": a size is negative");
  }
  if (strides && strides->back() != 1 && shape.back() > 1) {
    throw InvalidArgument("slots of strides " + text(*strides) +
                          ": the last dimension, the channels, must be contiguous (stride 1)");
  }
}

}  // namespace

template <typename T>
Status try_check(const SlotPairs<T>& slots, const char* name) noexcept {
  const auto fail = [&](const char* reason) {
    return failure(StatusCode::invalid_argument, -1, "%s [2*%lld, %lld, %lld]: %s", name,
                   static_cast<long long>(slots.images), static_cast<long long>(slots.slots),
                   static_cast<long long>(slots.channels), reason);
  };
  if (slots.images < 0 || slots.slots < 0 || slots.channels < 0) return fail("a size is negative");
  // With C = 0 there are still 2BS losses, and for each image S^2 cosines.
  const bool has_losses = slots.images > 0 && slots.slots > 0;
  const std::int64_t channels = slots.channels > 0 ? slots.channels : 1;
  constexpr std::int64_t kElementBytes = 8;
  if (has_losses && (!product({2, slots.images, slots.slots, channels, kElementBytes}) ||
                     !product({slots.slots, slots.slots, kElementBytes}))) {
    return fail("the product of the sizes overflows");
  }
  if (!has_losses || slots.channels == 0) return {};
  if (!slots.data) return fail("the data pointer is null");
  if (!spans_memory({{2, slots.view_stride},
                     {slots.images, slots.image_stride},
                     {slots.slots, slots.slot_stride},
                     {slots.channels, 1}},
                    sizeof(T))) {
    return failure(
        StatusCode::invalid_argument, -1,
        "%s [2*%lld, %lld, %lld]: the strides [view %lld, image %lld, slot %lld] overflow", name,
        static_cast<long long>(slots.images), static_cast<long long>(slots.slots),
        static_cast<long long>(slots.channels), static_cast<long long>(slots.view_stride),
        static_cast<long long>(slots.image_stride), static_cast<long long>(slots.slot_stride));
  }
  return {};
}

template <typename T>
void check(const SlotPairs<T>& slots) {
  raise_unless_ok(try_check(slots, "slots"));
}

#define OSC_INSTANTIATE(T)                                                      \
  template OSC_API void check(const SlotPairs<T>&);                             \
  template OSC_API void check(const SlotPairs<const T>&);                       \
  template OSC_API Status try_check(const SlotPairs<T>&, const char*) noexcept; \
  template OSC_API Status try_check(const SlotPairs<const T>&, const char*) noexcept;
OSC_FOR_EACH_ELEMENT_TYPE(OSC_INSTANTIATE)
#undef OSC_INSTANTIATE

namespace detail {

SlotLayout view_major_layout(const std::array<std::int64_t, 3>& shape,
                             const std::array<std::int64_t, 3>* strides) {
  check_shape(shape, strides);
  const auto [rows, slots, channels] = shape;
  if (rows % 2 != 0) {
    throw InvalidArgument("slots of shape " + text(shape) +
                          ": the leading dimension must be even, 2B rows of which i and i + B are "
                          "the views of image i");
  }
  const std::int64_t images = rows / 2;
  const auto overflow = [&] {
    return InvalidArgument("slots of shape " + text(shape) + ": the sizes and strides overflow");
  };
  std::int64_t row_stride = 0;
  if (strides) {
    row_stride = (*strides)[0];
  } else if (const auto size = product({slots, channels})) {
    row_stride = *size;
  } else {
    throw overflow();
  }
  if (images > 0 && !spans_memory({{images + 1, row_stride}}, 1)) throw overflow();
  return {
      images, slots, channels, images * row_stride, row_stride, strides ? (*strides)[1] : channels};
}

SlotLayout image_major_layout(const std::array<std::int64_t, 4>& shape,
                              const std::array<std::int64_t, 4>* strides) {
  check_shape(shape, strides);
  const auto [images, views, slots, channels] = shape;
  if (views != 2)
    throw InvalidArgument("slots of shape " + text(shape) +
                          ": the second dimension must be 2, the views of an image");
  if (strides) return {images, slots, channels, (*strides)[1], (*strides)[0], (*strides)[2]};
  const auto view_stride = product({slots, channels});
  const auto image_stride = product({2, slots, channels});
  if (!image_stride)
    throw InvalidArgument("slots of shape " + text(shape) + ": the product of the sizes overflows");
  return {images, slots, channels, *view_stride, *image_stride, channels};
}

}  // namespace detail
}  // namespace osc
