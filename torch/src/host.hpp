// What stands between libtorch and the kernel library: threads, errors, views of tensors.
#pragma once

#include <c10/util/Exception.h>
#include <torch/types.h>

#include <utility>

#include "osc/error.hpp"
#include "osc/executor.hpp"
#include "osc/slots.hpp"

namespace osc::libtorch {

// PyTorch's intra-op threads (torch::set_num_threads).
Executor& host_executor();

// Runs `call` and turns the kernel library's exceptions into PyTorch's.
template <typename Call>
auto translated(const Call& call) {
  try {
    return call();
  } catch (const InvalidArgument& error) {
    TORCH_CHECK_VALUE(false, error.what());
  } catch (const NonFiniteError& error) {
    TORCH_CHECK_VALUE(false, error.what());
  } catch (const AssignmentError& error) {
    TORCH_CHECK_VALUE(false, error.what());
  }
  throw std::logic_error("unreachable");
}

// Calls `call` with a value of the tensor's element type, which check_slots lets pass.
template <typename Call>
auto with_element_type(const torch::Tensor& tensor, const Call& call) {
  switch (tensor.scalar_type()) {
    case torch::kDouble: return call(double{});
    case torch::kHalf: return call(float16{});
    case torch::kBFloat16: return call(bfloat16{});
    default: return call(float{});
  }
}

// ValueError or TypeError unless `tensor` is a dense CPU tensor of a dtype that the losses take;
// and of shape [2B, S, C].
void check_elements(const char* name, const torch::Tensor& tensor);
void check_slots(const char* name, const torch::Tensor& slots);

// float64 stays, everything else that check_slots lets pass becomes float32. Differentiable.
torch::Tensor computed_in(const torch::Tensor& slots);

// The elements, T being what with_element_type says.
template <typename T>
const T* elements(const torch::Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}
template <typename T>
T* mutable_elements(const torch::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

// The tensor itself where the kernels can read it, or a contiguous copy.
torch::Tensor readable(const torch::Tensor& slots);

// Memory for the gradient of `slots`, of their layout, contiguous where the kernels could not write
// that.
torch::Tensor empty_gradient(const torch::Tensor& slots);

// Features of whole images [2B, C], as slots of which each image has one. ValueError or TypeError
// for what is not such.
torch::Tensor features_as_slots(const char* name, const torch::Tensor& features);

template <typename T>
SlotPairs<const T> view(const torch::Tensor& slots) {
  return view_major_slots(elements<T>(slots), {slots.size(0), slots.size(1), slots.size(2)},
                          {slots.stride(0), slots.stride(1), slots.stride(2)});
}
template <typename T>
SlotPairs<T> mutable_view(const torch::Tensor& slots) {
  return view_major_slots(mutable_elements<T>(slots), {slots.size(0), slots.size(1), slots.size(2)},
                          {slots.stride(0), slots.stride(1), slots.stride(2)});
}

}  // namespace osc::libtorch
