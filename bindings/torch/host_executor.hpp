// PyTorch's intra-op threads (torch.set_num_threads) as an Executor, through the functions of its
// stable ABI: of libtorch it needs no C++ header, and no OpenMP of the wheel's.
#pragma once

#include <torch/csrc/stable/c/shim.h>

#include <algorithm>
#include <exception>
#include <mutex>
#include <stdexcept>

#include "osc/executor.hpp"

namespace osc {

class HostExecutor final : public Executor {
 public:
  int concurrency() const noexcept override {
    std::uint32_t threads = 1;
    torch_get_num_threads(&threads);  // leaves 1 where it fails
    return std::max(1, static_cast<int>(threads));
  }

  void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) override {
    Call call{body, {}, nullptr};
    if (torch_parallel_for(0, count, grain, &run, &call) != AOTI_TORCH_SUCCESS)
      throw std::runtime_error("PyTorch's thread pool failed");
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

}  // namespace osc
