// Loops over images on XLA's own threads, so that a program under JAX has one pool for the cores,
// not two.
#pragma once

#include <cstdint>

#include "osc/executor.hpp"
#include "xla/ffi/api/ffi.h"

namespace osc::jax {

// XLA runs the custom call itself on a thread of the same pool, and may run several at once.
// Waiting for a task that no thread is free to start would be a deadlock. So the calling thread
// runs every part that has not been started, and waits only for parts that are running.
class XlaThreadPool final : public Executor {
 public:
  // `pool` is that of the custom call that is running. It is invalid after that call.
  explicit XlaThreadPool(xla::ffi::ThreadPool pool);

  int concurrency() const noexcept override;
  void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) override;

 private:
  xla::ffi::ThreadPool pool_;
  int threads_;
};

// The calling thread alone, for what is already a part of a parallel loop.
class CallingThread final : public Executor {
 public:
  int concurrency() const noexcept override { return 1; }
  void parallel_for(std::int64_t count, std::int64_t, const Body& body) override {
    if (count > 0) body(0, count);
  }
};

}  // namespace osc::jax
