// A parallel loop over independent indices.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

namespace osc::program {

// Calls `work(i)` once for each i of 0 … count-1, on up to `threads` threads (one of them the
// caller's), and returns when all are done. After an exception no further index is started. The
// exception of the least i is thrown, the same for any number of threads, because indices start in
// order.
template <typename Work>
void parallel_for(std::int64_t count, int threads, const Work& work) {
  std::atomic<std::int64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::exception_ptr error;
  std::int64_t error_index = std::numeric_limits<std::int64_t>::max();
  const auto run = [&] {
    while (!failed) {
      const std::int64_t i = next++;
      if (i >= count) return;
      try {
        work(i);
      } catch (...) {
        const std::scoped_lock lock(mutex);
        if (i < error_index) {
          error_index = i;
          error = std::current_exception();
        }
        failed = true;
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (std::int64_t t = 1; t < std::min<std::int64_t>(threads, count); ++t)
      helpers.emplace_back(run);
    run();
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace osc::program
