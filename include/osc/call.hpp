// How the functions in C++ call those in C (osc/osc.h).
#pragma once

#include <cstdint>
#include <cstdio>
#include <type_traits>

#include "osc/error.hpp"
#include "osc/float16.hpp"
#include "osc/osc.h"
#include "osc/reduction.hpp"
#include "osc/status.hpp"
#include "osc/view.hpp"

namespace osc::detail {

// Of an element type, or of an enumeration of statuses.
template <typename T>
inline constexpr std::int32_t dtype = std::is_enum_v<T> ? OSC_INT32 : OSC_ABSENT;
template <>
inline constexpr std::int32_t dtype<double> = OSC_FLOAT64;
template <>
inline constexpr std::int32_t dtype<float> = OSC_FLOAT32;
template <>
inline constexpr std::int32_t dtype<float16> = OSC_FLOAT16;
template <>
inline constexpr std::int32_t dtype<bfloat16> = OSC_BFLOAT16;
template <>
inline constexpr std::int32_t dtype<std::int64_t> = OSC_INT64;
template <>
inline constexpr std::int32_t dtype<std::int32_t> = OSC_INT32;

// C knows no const where an array may be an input or an output.
template <typename T>
void* data(T* pointer) noexcept {
  return const_cast<std::remove_const_t<T>*>(pointer);
}

// Valid as long as the view lives.
template <typename T, int N>
osc_array input(const View<T, N>& view) noexcept {
  return {data(view.data), view.sizes, view.strides, N, dtype<std::remove_const_t<T>>};
}

// A default View is not given.
template <typename T, int N>
osc_array gradient(const View<T, N>& view) noexcept {
  for (int i = 0; i < N; ++i) {
    if (view.data || view.sizes[i] != 0) return input(view);
  }
  return {};
}

// A contiguous array of the wanted sizes; null: not given.
template <typename T>
osc_array contiguous_array(T* pointer) noexcept {
  return {data(pointer), nullptr, nullptr, 0, pointer ? dtype<std::remove_const_t<T>> : OSC_ABSENT};
}

// In C zero stands for the default of an option; in C++ it is an error as any bad value is.
inline Status refused_zero(const char* option) noexcept {
  char text[64];
  std::snprintf(text, sizeof(text), "%s is 0; wanted a positive, finite number", option);
  return Status(StatusCode::invalid_argument, -1, text);
}

// From what a function in C returned.
inline Status status_of(osc_status code) noexcept {
  if (code == OSC_OK) return Status();
  return Status(static_cast<StatusCode>(code), osc_last_error_index(), osc_last_error());
}

// Functions that return one loss.
inline void check_scalar(Reduction reduction) {
  if (reduction == Reduction::none)
    throw InvalidArgument("reduction is \"none\", which has many losses: give memory for them");
}

}  // namespace osc::detail
