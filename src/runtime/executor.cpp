#include "osc/executor.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "osc/error.hpp"
#include "osc/system.hpp"
#include "runtime/failure.hpp"
#include "runtime/plan.hpp"

osc_executor::~osc_executor() = default;

namespace osc {
namespace {

// Waking a sleeping thread takes longer than most calls. So threads poll this many times, some ten
// microseconds, before they sleep: workers for work, the caller for the end of it.
constexpr int kLooks = 2000;

template <typename Condition>
bool comes_true_soon(const Condition& condition) {
  for (int look = 0; look < kLooks; ++look) {
    if (condition()) return true;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  return false;
}

}  // namespace

struct ThreadPool::Shared {
  struct Job {
    const Body* body = nullptr;
    std::int64_t count = 0;
    int parts = 0;
  };

  const pid_t owner = getpid();  // threads do not survive fork()
  std::atomic_flag busy;
  std::mutex mutex;
  std::condition_variable job_ready;
  std::condition_variable job_done;
  Job job;
  std::atomic<std::uint64_t> jobs_started = 0;  // changes under the mutex, as do the next two
  std::atomic<int> parts_running = 0;  // of the workers; the caller's own part is not counted
  std::exception_ptr failure;
  std::atomic<bool> stopping = false;
  std::vector<std::thread> workers;

  void run_part(const Job& current, int part) {
    try {
      (*current.body)(cpu::share_begin(current.count, part, current.parts),
                      cpu::share_begin(current.count, part + 1, current.parts));
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  }

  void work(int part) {
    std::uint64_t jobs_seen = 0;
    const auto has_news = [&] { return stopping || jobs_started != jobs_seen; };
    while (true) {
      comes_true_soon(has_news);
      std::unique_lock lock(mutex);
      job_ready.wait(lock, has_news);
      if (stopping) return;
      jobs_seen = jobs_started;
      if (part >= job.parts) continue;
      const Job current = job;
      lock.unlock();
      run_part(current, part);
      lock.lock();
      if (--parts_running == 0) job_done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int threads) {
  if (threads < 1)
    throw InvalidArgument("a thread pool of " + std::to_string(threads) +
                          " threads: at least 1 is needed");
  shared_ = std::make_unique<Shared>();
  shared_->workers.reserve(static_cast<std::size_t>(threads - 1));
  for (int part = 1; part < threads; ++part) {
    try {
      shared_->workers.emplace_back([shared = shared_.get(), part] { shared->work(part); });
    } catch (const std::system_error&) {
      break;
    }
  }
}

ThreadPool::~ThreadPool() {
  if (getpid() != shared_->owner) {
    // After fork() the threads do not exist, and one of them may have held the lock: leave all of
    // it to the end of the process.
    shared_.release();  // NOLINT(bugprone-unused-return-value)
    return;
  }
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopping = true;
  }
  shared_->job_ready.notify_all();
  for (std::thread& worker : shared_->workers) worker.join();
}

int ThreadPool::concurrency() const noexcept {
  return static_cast<int>(shared_->workers.size()) + 1;
}

void ThreadPool::parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  if (count <= 0) return;
  const std::int64_t worthwhile =
      std::max<std::int64_t>(count / std::max<std::int64_t>(grain, 1), 1);
  const int parts = static_cast<int>(std::min<std::int64_t>(worthwhile, concurrency()));
  Shared& shared = *shared_;
  if (parts == 1 || getpid() != shared.owner ||
      shared.busy.test_and_set(std::memory_order_acquire)) {
    body(0, count);
    return;
  }
  const Shared::Job job{&body, count, parts};
  {
    const std::lock_guard lock(shared.mutex);
    shared.job = job;
    shared.parts_running = parts - 1;
    shared.failure = nullptr;
    ++shared.jobs_started;
  }
  shared.job_ready.notify_all();
  shared.run_part(job, 0);
  const auto all_done = [&] { return shared.parts_running == 0; };
  comes_true_soon(all_done);
  std::exception_ptr failure;
  {
    std::unique_lock lock(shared.mutex);
    shared.job_done.wait(lock, all_done);
    failure = std::exchange(shared.failure, nullptr);
  }
  shared.busy.clear(std::memory_order_release);
  if (failure) std::rethrow_exception(failure);
}

Executor& default_executor() {
  // Never destroyed: threads may still use it when the process ends.
  static ThreadPool* const pool = new ThreadPool(available_cores());
  return *pool;
}

}  // namespace osc

osc_status osc_thread_pool_create(int32_t threads, osc_executor** executor) {
  return osc::cpu::reported(osc::cpu::guarded([&] {
    if (!executor) throw osc::InvalidArgument("the pointer for the thread pool is null");
    *executor = new osc::ThreadPool(threads);
    return osc::Status();
  }));
}

void osc_executor_destroy(osc_executor* executor) { delete executor; }
