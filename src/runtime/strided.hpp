// Elements of views. With internal linkage, since kernels are compiled once per instruction set.
#pragma once

#include "osc/view.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {
namespace {

// Where the C adjacent channels of slot (i, j, k) of a view [., ., ., C] begin.
template <typename T>
T* slot_of(const View<T, 4>& view, Index i, Index j, Index k) {
  return view.data + i * view.strides[0] + j * view.strides[1] + k * view.strides[2];
}

// The view whose dimension `dim` has this index alone.
template <typename T, int N>
View<T, N - 1> slice(const View<T, N>& view, int dim, Index index) {
  View<T, N - 1> result{view.data + index * view.strides[dim]};
  for (int i = 0; i + 1 < N; ++i) {
    result.sizes[i] = view.sizes[i < dim ? i : i + 1];
    result.strides[i] = view.strides[i < dim ? i : i + 1];
  }
  return result;
}

}  // namespace
}  // namespace osc::cpu
