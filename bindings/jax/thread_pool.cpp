#include "thread_pool.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>

namespace osc::jax {
namespace {

// The state of one parallel_for, which its tasks own together. A task that starts after the end
// finds nothing to do. `body` is only called while parallel_for waits.
struct Loop {
  std::int64_t count, parts;
  const Executor::Body* body;
  std::atomic<std::int64_t> next = 0;
  std::mutex mutex;
  std::condition_variable all_done;
  std::int64_t done = 0;
  std::exception_ptr error;

  Loop(std::int64_t count_, std::int64_t parts_, const Executor::Body& body_)
      : count(count_), parts(parts_), body(&body_) {}

  std::int64_t start_of(std::int64_t part) const {
    return count / parts * part + std::min(part, count % parts);
  }

  void work() {
    for (std::int64_t part = next++; part < parts; part = next++) {
      std::exception_ptr thrown;
      try {
        (*body)(start_of(part), start_of(part + 1));
      } catch (...) {
        thrown = std::current_exception();
      }
      const std::lock_guard lock(mutex);
      if (thrown) error = thrown;
      if (++done == parts) all_done.notify_one();
    }
  }
};

}  // namespace

XlaThreadPool::XlaThreadPool(xla::ffi::ThreadPool pool)
    : pool_(pool),
      threads_(static_cast<int>(std::clamp<std::int64_t>(pool.num_threads(), 1, 1024))) {}

int XlaThreadPool::concurrency() const noexcept { return threads_; }

void XlaThreadPool::parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  const std::int64_t parts = std::min<std::int64_t>(
      threads_, std::max<std::int64_t>(count / std::max<std::int64_t>(grain, 1), 1));
  if (count <= 0) return;
  if (parts == 1) return body(0, count);
  const auto loop = std::make_shared<Loop>(count, parts, body);
  for (std::int64_t helper = 1; helper < parts; ++helper) pool_.Schedule([loop] { loop->work(); });
  loop->work();
  std::unique_lock lock(loop->mutex);
  loop->all_done.wait(lock, [&] { return loop->done == parts; });
  if (loop->error) std::rethrow_exception(loop->error);
}

}  // namespace osc::jax
