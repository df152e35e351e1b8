#include "support/parallel.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace osc::program {
namespace {

TEST(ParallelFor, CallsEachIndexOnce) {
  for (const int threads : {-1, 0, 1, 2, 7}) {
    for (const std::int64_t count : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
      parallel_for(count, threads, [&](std::int64_t i) { ++calls[static_cast<std::size_t>(i)]; });
      for (const auto& n : calls) EXPECT_EQ(n, 1) << "threads " << threads << ", count " << count;
    }
  }
}

TEST(ParallelFor, ThrowsTheErrorOfTheLeastIndex) {
  for (const int threads : {1, 4}) {
    for (const std::int64_t slow :
         {20, 21}) {  // the least failing index fails after another thread's, and before
      std::string message;
      try {
        parallel_for(100, threads, [&](std::int64_t i) {
          if (i == 20 || i == 21)
            std::this_thread::sleep_for(std::chrono::milliseconds(i == slow ? 60 : 30));
          if (i >= 20) throw std::runtime_error(std::to_string(i));
        });
      } catch (const std::runtime_error& error) {
        message = error.what();
      }
      EXPECT_EQ(message, "20") << "threads " << threads << ", slow " << slow;
    }
  }
}

TEST(ParallelFor, StartsNothingAfterAnError) {
  std::atomic<int> calls{0};
  EXPECT_THROW(parallel_for(1000000, 1,
                            [&](std::int64_t) {
                              ++calls;
                              throw std::runtime_error("stop");
                            }),
               std::runtime_error);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace osc::program
