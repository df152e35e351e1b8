// Threads: a loop over images or problems runs on an Executor, which is our pool or the host's.
//
// The result of every function of the library has the same bits on any executor: how a range is
// split decides only which thread computes what.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "osc/export.h"
#include "osc/osc.h"

// The osc_executor of osc/osc.h. A host with threads of its own implements it, so that two pools
// never compete for the same cores.
struct OSC_API osc_executor {
  using Body = std::function<void(std::int64_t begin, std::int64_t end)>;

  virtual ~osc_executor();

  // The number of parts that are worth making of a large range, at least 1: the number of threads.
  virtual int concurrency() const noexcept = 0;

  // Calls `body` with disjoint ranges that together are [0, count), possibly on several threads at
  // once, and returns when every call has returned. `grain` (>= 1) is the number of elements that
  // are worth waking a thread for. If calls throw, one of the exceptions is rethrown on the calling
  // thread.
  virtual void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) = 0;
};

namespace osc {

using Executor = osc_executor;

// A fixed number of threads, the calling one included. A thread without work looks out for more for
// some ten microseconds before it sleeps. Safe to call from several threads at once and from inside
// a body: while the pool is busy, a further call runs on its calling thread alone. After fork() the
// calls of the child run on the calling thread.
class OSC_API ThreadPool final : public Executor {
 public:
  // `threads` >= 1, or InvalidArgument. Starts `threads - 1` threads, fewer if the system grants no
  // more.
  explicit ThreadPool(int threads);
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) override;
  int concurrency() const noexcept override;

 private:
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

// A pool of available_cores() threads (osc/system.hpp). It starts at the first call and runs until
// the process ends.
OSC_API Executor& default_executor();

}  // namespace osc
