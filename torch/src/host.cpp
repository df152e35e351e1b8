#include "host.hpp"

#include "host_executor.hpp"

namespace osc::libtorch {

Executor& host_executor() {
  static HostExecutor executor;
  return executor;
}

void check_elements(const char* name, const torch::Tensor& tensor) {
  const auto dtype = tensor.scalar_type();
  TORCH_CHECK_TYPE(dtype == torch::kDouble || dtype == torch::kFloat || dtype == torch::kHalf ||
                       dtype == torch::kBFloat16,
                   name, " is ", dtype, "; wanted float64, float32, float16 or bfloat16");
  TORCH_CHECK_VALUE(tensor.is_cpu() && tensor.layout() == torch::kStrided, name, " is a ",
                    tensor.layout(), " tensor on ", tensor.device(),
                    "; wanted a dense one on the CPU");
}

void check_slots(const char* name, const torch::Tensor& slots) {
  TORCH_CHECK_VALUE(slots.defined(), name, " is an undefined tensor");
  TORCH_CHECK_VALUE(slots.dim() == 3 && slots.size(0) % 2 == 0, name, " has shape ", slots.sizes(),
                    "; wanted [2B, S, C], in which rows i and i + B are the views of image i");
  check_elements(name, slots);
}

torch::Tensor computed_in(const torch::Tensor& slots) {
  return slots.scalar_type() == torch::kDouble ? slots : slots.to(torch::kFloat);
}

torch::Tensor readable(const torch::Tensor& slots) {
  const torch::Tensor plain = slots.resolve_neg();
  return plain.stride(-1) == 1 || plain.size(-1) <= 1 ? plain : plain.contiguous();
}

torch::Tensor empty_gradient(const torch::Tensor& slots) {
  const torch::Tensor gradient = torch::empty_like(slots);
  return readable(gradient).is_same(gradient)
             ? gradient
             : torch::empty_like(slots, torch::MemoryFormat::Contiguous);
}

torch::Tensor features_as_slots(const char* name, const torch::Tensor& features) {
  TORCH_CHECK_VALUE(features.defined(), name, " is an undefined tensor");
  TORCH_CHECK_VALUE(features.dim() == 2 && features.size(0) % 2 == 0, name, " has shape ",
                    features.sizes(),
                    "; wanted [2B, C], in which rows i and i + B are the views of image i");
  torch::Tensor slots = features.unsqueeze(1);
  check_slots(name, slots);
  return slots;
}

}  // namespace osc::libtorch
