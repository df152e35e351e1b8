#include "host.hpp"

// PyTorch's thread pool behind a C function. at::parallel_for itself is a template that would need this project to be compiled with the OpenMP of the wheel.
#include <ATen/Parallel.h>
#include <torch/csrc/stable/c/shim.h>

#include <exception>
#include <mutex>
#include <stdexcept>

namespace osc::libtorch {
namespace {

class HostExecutor final : public Executor {
 public:
  int concurrency() const noexcept override { return at::get_num_threads(); }

  void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) override {
    Call call{body, {}, nullptr};
    if (torch_parallel_for(0, count, grain, &run, &call) != AOTI_TORCH_SUCCESS) throw std::runtime_error("PyTorch's thread pool failed");
    if (call.failure) std::rethrow_exception(call.failure);
  }

 private:
  struct Call {
    const Body& body;
    std::mutex mutex;
    std::exception_ptr failure;
  };

  // An exception must not cross the C function.
  static void run(std::int64_t begin, std::int64_t end, void* context) {
    auto& call = *static_cast<Call*>(context);
    try {
      call.body(begin, end);
    } catch (...) {
      const std::lock_guard lock(call.mutex);
      if (!call.failure) call.failure = std::current_exception();
    }
  }
};

}  // namespace

Executor& host_executor() {
  static HostExecutor executor;
  return executor;
}

void check_slots(const char* name, const torch::Tensor& slots) {
  TORCH_CHECK_VALUE(slots.defined(), name, " is an undefined tensor");
  TORCH_CHECK_VALUE(slots.dim() == 3 && slots.size(0) % 2 == 0, name, " has shape ", slots.sizes(),
                    "; wanted [2B, S, C], in which rows i and i + B are the views of image i");
  const auto dtype = slots.scalar_type();
  TORCH_CHECK_TYPE(dtype == torch::kDouble || dtype == torch::kFloat || dtype == torch::kHalf || dtype == torch::kBFloat16, name, " is ", dtype,
                   "; wanted float64, float32, float16 or bfloat16");
  TORCH_CHECK_VALUE(slots.is_cpu() && slots.layout() == torch::kStrided, name, " is a ", slots.layout(), " tensor on ", slots.device(),
                    "; wanted a dense one on the CPU");
}

torch::Tensor computed_in(const torch::Tensor& slots) { return slots.scalar_type() == torch::kDouble ? slots : slots.to(torch::kFloat); }

torch::Tensor readable(const torch::Tensor& slots) {
  const torch::Tensor plain = slots.resolve_neg();
  return plain.stride(2) == 1 || plain.size(2) <= 1 ? plain : plain.contiguous();
}

}  // namespace osc::libtorch
