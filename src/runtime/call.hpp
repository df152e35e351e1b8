// A call through the C interface: its row in the table, its checks, and its arrays as views.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "osc/float16.hpp"
#include "osc/osc.h"
#include "osc/status.hpp"
#include "osc/view.hpp"
#include "runtime/failure.hpp"
#include "runtime/floating_point.hpp"

namespace osc {

// A function of the C interface as the table has it.
template <auto function>
osc_status erased(const void* call) {
  return [call]<typename Call>(osc_status (*run)(const Call*)) {
    return run(static_cast<const Call*>(call));
  }(function);
}

// The row of the function (src/operators.cpp).
struct Shapes;
struct Row {
  const osc_operator* described;
  const Shapes* shapes;
};
Row row_of(osc_status (*run)(const void*)) noexcept;

// Whether arrays and options are as the row wants them. `call` is complete.
Status check(const Row& row, const void* call) noexcept;
// The same of the size that a call says it has.
Status check_struct_size(const osc_operator& described, const void* call) noexcept;

// The function of the C interface: checks the call, and returns what compute(call) does.
template <auto function, typename Call, typename Compute>
osc_status run_call(const Call* call, const Compute& compute) noexcept {
  static const Row row = row_of(erased<function>);
  Status status = check_struct_size(*row.described, call);
  if (!status.ok()) return reported(status);
  Call complete{};
  if (call->struct_size < sizeof(Call)) {
    std::memcpy(&complete, call, call->struct_size);
    call = &complete;
  }
  const ScopedFloatingPoint environment;
  status = check(row, call);
  return reported(status.ok() ? guarded([&] { return compute(*call); }) : status);
}

// Calls call(T()) with T the C++ type of `dtype`, one of the first four.
template <typename Call>
Status with_type(std::int32_t dtype, const Call& call) {
  switch (dtype) {
    case OSC_FLOAT64: return call(double());
    case OSC_FLOAT32: return call(float());
    case OSC_FLOAT16: return call(float16());
    default: return call(bfloat16());
  }
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

// The same of a gradient, which may come without sizes: it has those of its input then.
template <typename T, int N>
View<T, N> gradient_view(const osc_array& array, const View<const T, N>& input,
                         int split = N) noexcept {
  if (!is_given(array)) return {};
  return array.sizes ? view<T, N>(array, split)
                     : contiguous(static_cast<T*>(array.data), input.sizes);
}

}  // namespace osc
