// A call through the C interface: its row in the table, its checks, and its arrays as views.
#pragma once

#include <cstddef>
#include <cstring>

#include "osc/float16.hpp"
#include "osc/osc.h"
#include "osc/status.hpp"
#include "osc/view.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/failure.hpp"
#include "runtime/floating_point.hpp"

namespace osc::cpu {

// A function of the C interface as the table has it.
template <auto function>
osc_status erased(const void* call) {
  return [call]<typename Call>(osc_status (*run)(const Call*)) {
    return run(static_cast<const Call*>(call));
  }(function);
}

// The row of the function (src/operators.cpp).
struct ParsedRow;
struct Row {
  const osc_operator* described;
  const ParsedRow* parsed;
};
Row row_of(osc_status (*run)(const void*)) noexcept;

// The i-th array of a call.
inline const osc_array& array_of(const void* call, int i) noexcept {
  return *reinterpret_cast<const osc_array*>(static_cast<const char*>(call) + sizeof(std::size_t) +
                                             static_cast<std::size_t>(i) * sizeof(osc_array));
}

// Whether arrays and options are as the row wants them. `call` is complete.
Status check(const Row& row, const void* call) noexcept;
// Whether the struct_size of a call is one that the row allows.
Status check_struct_size(const osc_operator& row, const void* call) noexcept;

// The function of the C interface: checks the call, and returns what compute(call, kernels...) does
// with the kernels of the instruction set in use for the type of the inputs.
template <auto function, typename Call, typename Compute, typename... Tables>
osc_status run_call(const Call* call, const Compute& compute, const Tables&... tables) noexcept {
  static const Row row = row_of(erased<function>);
  Status status = check_struct_size(*row.described, call);
  if (!status.ok()) return reported(status);
  Call complete;
  if (call->struct_size < sizeof(Call)) {
    complete = {};
    std::memcpy(&complete, call, call->struct_size);
    call = &complete;
  }
  const ScopedFloatingPoint environment;
  status = check(row, call);
  const InstructionSet* const set = status.ok() ? instruction_set_in_use(status) : nullptr;
  if (!set) return reported(status);
  const auto with = [&]<typename T>(T) {
    return guarded([&] { return compute(*call, kernels_of<T>(*tables[set->index])...); });
  };
  switch (array_of(call, 0).dtype) {
    case OSC_FLOAT64: return reported(with(double()));
    case OSC_FLOAT32: return reported(with(float()));
    case OSC_FLOAT16: return reported(with(float16()));
    default: return reported(with(bfloat16()));
  }
}

// The value of an option; zero selects the default.
inline double or_default(double value, double default_value) noexcept {
  return value == 0 ? default_value : value;
}

inline bool is_given(const osc_array& array) noexcept { return array.dtype != OSC_ABSENT; }

// The elements of a contiguous array; null: not given.
template <typename T>
T* elements(const osc_array& array) noexcept {
  return is_given(array) ? static_cast<T*>(array.data) : nullptr;
}

// An array that check() let pass, as N dimensions. `split` is the dimension 2B of the views, which
// becomes 2 and B; an array may have it in two already.
template <typename T, int N>
View<T, N> view(const osc_array& array, int split = N) noexcept {
  View<T, N> result{static_cast<T*>(array.data)};
  const bool joined = array.dims < N;
  bool is_empty = false;
  for (int i = 0; i < N; ++i) {
    const int source = joined && i > split ? i - 1 : i;
    result.sizes[i] = array.sizes[source];
    if (joined && i == split) result.sizes[i] = 2;
    if (joined && i == split + 1) result.sizes[i] /= 2;
    is_empty |= result.sizes[i] == 0;
    if (array.strides) result.strides[i] = array.strides[source];
  }
  if (!array.strides) return contiguous(result.data, result.sizes);
  if (joined) result.strides[split] *= result.sizes[split + 1];
  return is_empty ? contiguous(result.data, result.sizes) : result;
}

// A gradient as a view. One without sizes has those of its input.
template <typename T, int N>
View<T, N> gradient_view(const osc_array& array, const View<const T, N>& input,
                         int split = N) noexcept {
  if (!is_given(array)) return {};
  return array.sizes ? view<T, N>(array, split)
                     : contiguous(static_cast<T*>(array.data), input.sizes);
}

}  // namespace osc::cpu
