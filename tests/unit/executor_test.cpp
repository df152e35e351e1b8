#include "osc/executor.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "osc/error.hpp"

namespace osc {
namespace {

TEST(ThreadPool, VisitsEachElementOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.concurrency(), threads);
    for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
      for (const std::int64_t grain : {1, 3, 5000}) {
        std::vector<int> visits(count, 0);
        pool.parallel_for(count, grain, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) ++visits[i];
        });
        EXPECT_EQ(std::accumulate(visits.begin(), visits.end(), 0), count);
        EXPECT_TRUE(visits.empty() || *std::min_element(visits.begin(), visits.end()) == 1);
      }
    }
  }
}

TEST(ThreadPool, UsesItsThreads) {
  ThreadPool pool(3);
  std::atomic<int> inside = 0;
  pool.parallel_for(3, 1, [&](std::int64_t, std::int64_t) {
    ++inside;
    while (inside < 3)
      std::this_thread::yield();  // ends only where three threads are in here at once
  });
  EXPECT_EQ(inside, 3);
}

TEST(ThreadPool, RethrowsAndStaysUsable) {
  ThreadPool pool(4);
  for (int repeat = 0; repeat < 50; ++repeat) {
    EXPECT_THROW(pool.parallel_for(100, 1,
                                   [](std::int64_t begin, std::int64_t) {
                                     if (begin > 0) throw std::runtime_error("from a worker");
                                   }),
                 std::runtime_error);
    std::atomic<std::int64_t> visited = 0;
    pool.parallel_for(100, 1,
                      [&](std::int64_t begin, std::int64_t end) { visited += end - begin; });
    EXPECT_EQ(visited, 100);
  }
}

TEST(ThreadPool, NestedAndConcurrentCallsFinish) {
  ThreadPool pool(2);
  std::atomic<std::int64_t> visited = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller) {
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 20; ++repeat) {
        pool.parallel_for(4, 1, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) {
            pool.parallel_for(5, 1, [&](std::int64_t inner_begin, std::int64_t inner_end) {
              visited += inner_end - inner_begin;
            });
          }
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(visited, 3 * 20 * 4 * 5);
}

TEST(ThreadPool, AForkedChildRunsOnItsOwnThread) {
  ThreadPool pool(3);
  pool.parallel_for(3, 1, [](std::int64_t, std::int64_t) {});
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::int64_t visited = 0;
    pool.parallel_for(10, 1, [&](std::int64_t begin, std::int64_t end) { visited += end - begin; });
    _exit(visited == 10 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(ThreadPool, NeedsAThread) {
  EXPECT_THROW(ThreadPool(0), InvalidArgument);
  EXPECT_THROW(ThreadPool(-3), InvalidArgument);
}

TEST(DefaultExecutor, IsOne) {
  EXPECT_EQ(&default_executor(), &default_executor());
  std::atomic<std::int64_t> visited = 0;
  default_executor().parallel_for(
      1000, 1, [&](std::int64_t begin, std::int64_t end) { visited += end - begin; });
  EXPECT_EQ(visited, 1000);
}

}  // namespace
}  // namespace osc
