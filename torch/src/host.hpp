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

// Calls `call` with a value of the tensor's element type, float or double.
template <typename Call>
auto with_element_type(const torch::Tensor& tensor, const Call& call) {
  return tensor.scalar_type() == torch::kDouble ? call(double{}) : call(float{});
}

// ValueError or TypeError unless `slots` is a dense CPU tensor [2B, S, C] of a dtype that the losses take.
void check_slots(const char* name, const torch::Tensor& slots);

// float64 stays, everything else that check_slots lets pass becomes float32. Differentiable.
torch::Tensor computed_in(const torch::Tensor& slots);

// The tensor itself where the kernels can read it, or a contiguous copy.
torch::Tensor readable(const torch::Tensor& slots);

template <typename T>
SlotPairs<const T> view(const torch::Tensor& slots) {
  return view_major_slots(slots.const_data_ptr<T>(), {slots.size(0), slots.size(1), slots.size(2)}, {slots.stride(0), slots.stride(1), slots.stride(2)});
}
template <typename T>
SlotPairs<T> mutable_view(const torch::Tensor& slots) {
  return view_major_slots(slots.mutable_data_ptr<T>(), {slots.size(0), slots.size(1), slots.size(2)}, {slots.stride(0), slots.stride(1), slots.stride(2)});
}

}  // namespace osc::libtorch
