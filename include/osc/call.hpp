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

// The dtype of an element type, or of an enumeration of statuses.
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

// osc_array has one pointer, without const, for inputs and for outputs.
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

// A call with these options, and with those results that several operators have in common. The
// inputs, and the results of one operator alone, are left to the caller.
template <typename Call, typename Options, typename Results>
Call call_of(const Options& options, const Results& results) noexcept {
  Call call{};
  call.struct_size = sizeof(call);
  if constexpr (requires { options.given_matching; })
    call.given_matching = contiguous_array(options.given_matching);
  if constexpr (requires { results.loss; }) call.loss = contiguous_array(results.loss);
  if constexpr (requires { results.matching; }) call.matching = contiguous_array(results.matching);
  if constexpr (requires { results.statuses; }) call.statuses = contiguous_array(results.statuses);
  if constexpr (requires { results.grad_output; })
    call.grad_output = contiguous_array(results.grad_output);
  if constexpr (requires { options.reduction; })
    call.reduction = static_cast<std::int32_t>(options.reduction);
  if constexpr (requires { options.on_nonfinite; })
    call.on_nonfinite = static_cast<std::int32_t>(options.on_nonfinite);
  if constexpr (requires { options.temperature; }) call.temperature = options.temperature;
  if constexpr (requires { options.eps; }) call.eps = options.eps;
  call.executor = options.executor;
  call.workspace = options.workspace;
  return call;
}

// In C, zero selects the default of an option. In C++ it is an error, as any bad value is.
inline Status refused_zero(const char* option) noexcept {
  char text[64];
  std::snprintf(text, sizeof(text), "%s is 0; wanted a positive, finite number", option);
  return Status(StatusCode::invalid_argument, -1, text);
}

// The status of a call that returned this code.
inline Status status_of(osc_status code) noexcept {
  if (code == OSC_OK) return Status();
  return Status(static_cast<StatusCode>(code), osc_last_error_index(), osc_last_error());
}

// Checks the reduction of a function that returns one loss.
inline void check_scalar(Reduction reduction) {
  if (reduction == Reduction::none)
    throw InvalidArgument("reduction is \"none\", which has many losses: give memory for them");
}

}  // namespace osc::detail
