// What the operators of PyTorch (torch_*.cpp) share: tensors as the kernels' views, results of the
// right layout, checks, threads and memory.
//
// On the stable ABI of PyTorch 2.10 alone, so that one binary serves 2.10 and every later release.
// What else belongs to an operator (shapes for the compiler, derivatives, batching, devices) is in
// osc/_torch.py. The dispatcher calls the operators with the interpreter's lock released; what they
// throw is a ValueError in Python.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "osc/executor.hpp"
#include "osc/float16.hpp"
#include "osc/reduction.hpp"
#include "osc/slots.hpp"
#include "osc/workspace.hpp"

namespace osc::torch_operators {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

Executor& host_executor();

// A thread's memory for its calls, so that they allocate nothing but what they return; null for
// larger ones, which take their own and give it back.
Workspace* kept_workspace(std::size_t bytes);

[[noreturn]] void refuse(const std::string& text);

std::string shape_of(const Tensor& tensor);

// As osc.h numbers them. The operators take no string: the headers of the stable ABI leak the one
// that they make of it (PyTorch issue 191340).
Reduction reduction_from_code(std::int64_t code);

// The dispatcher brings none but dense tensors on the CPU here.
void check_slots(const char* name, const Tensor& slots);
void check_same_dtype(const char* name, const Tensor& tensor, const char* other_name,
                      const Tensor& other);
// The gradient that comes in for a loss: of no dimensions, or for Reduction::none of as many
// losses.
void check_incoming(const Tensor& grad_loss, const char* name, const Tensor& slots,
                    Reduction reduction, std::int64_t losses);
void check_matching(const Tensor& matching, std::int64_t images, std::int64_t slots);

std::int32_t dtype_of(const Tensor& tensor);

template <std::size_t Dimensions>
Tensor empty_strided(const std::array<std::int64_t, Dimensions>& sizes,
                     const std::array<std::int64_t, Dimensions>& strides, std::int32_t dtype) {
  AtenTensorHandle handle = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      Dimensions, sizes.data(), strides.data(), dtype, aoti_torch_device_type_cpu(), 0, &handle));
  return Tensor(handle);
}

template <std::size_t Dimensions>
Tensor empty_contiguous(const std::array<std::int64_t, Dimensions>& sizes, std::int32_t dtype) {
  std::array<std::int64_t, Dimensions> strides{};
  std::int64_t stride = 1;
  for (std::size_t i = Dimensions; i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<std::int64_t>(sizes[i], 1);
  }
  return empty_strided<Dimensions>(sizes, strides, dtype);
}

// One loss, or for Reduction::none so many.
Tensor empty_loss(Reduction reduction, std::int64_t losses, std::int32_t dtype);
Tensor empty_matching(std::int64_t images, std::int64_t slots);
// Of the layout of p as torch.empty_like has it; contiguous where the kernels cannot write that.
Tensor empty_gradient(const Tensor& p);

Tensor made_contiguous(const Tensor& tensor);
bool has_adjacent_channels(const Tensor& slots);
// The tensor itself where the kernels can read it, or a contiguous copy.
Tensor readable(const Tensor& slots);
// Where the matrices of the last two dimensions are evenly spaced in memory, their distance; else
// nothing.
std::optional<std::int64_t> matrix_stride(const Tensor& batch);
std::int64_t matrices(const Tensor& batch);

template <typename T>
const T* const_data(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}
template <typename T>
T* mutable_data(const Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

template <typename T, typename Pointer>
SlotPairs<T> view(Pointer* data, const Tensor& slots) {
  const std::array<std::int64_t, 3> sizes{slots.size(0), slots.size(1), slots.size(2)};
  if (slots.numel() == 0) return view_major_slots(data, sizes);  // its strides may be anything
  return view_major_slots(data, sizes, {slots.stride(0), slots.stride(1), slots.stride(2)});
}
template <typename T>
SlotPairs<const T> view(const Tensor& slots) {
  return view<const T>(const_data<T>(slots), slots);
}

// Calls `call` with a value of the tensor's element type.
template <typename Call>
auto with_element_type(const char* name, const Tensor& tensor, const Call& call) {
  switch (tensor.scalar_type()) {
    case ScalarType::Double: return call(double{});
    case ScalarType::Float: return call(float{});
    case ScalarType::Half: return call(float16{});
    case ScalarType::BFloat16: return call(bfloat16{});
    default: refuse(std::string(name) + " is neither float64, float32, float16 nor bfloat16");
  }
}

}  // namespace osc::torch_operators
