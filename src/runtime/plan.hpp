// How a batch is spread over threads, with memory for each.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <new>

#include "osc/executor.hpp"
#include "osc/status.hpp"
#include "osc/workspace.hpp"
#include "runtime/arena.hpp"
#include "runtime/failure.hpp"
#include "runtime/floating_point.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {

// The threads of a call: one part each.
struct Plan {
  Executor* executor = nullptr;  // null: the calling thread alone
  Index parts = 1;
};

// The plan for so many operations that can be split in at most so many parts. `executor` may be
// null.
inline Plan plan_for(double operations, Index most_parts, Executor* executor) {
  constexpr double kOperationsWorthAThread = 50'000;
  const auto worthwhile = static_cast<Index>(
      std::min(operations / kOperationsWorthAThread, static_cast<double>(most_parts)));
  if (worthwhile <= 1) return {};
  if (!executor) executor = &default_executor();
  return {executor, std::clamp<Index>(worthwhile, 1, std::max(executor->concurrency(), 1))};
}

// Where the part-th of `parts` even shares of [0, count) begins.
inline Index share_begin(Index count, Index part, Index parts) {
  return count / parts * part + std::min(part, count % parts);
}

// Calls work(part) for each part.
template <typename Work>
void run_parts(const Plan& plan, const Work& work) {
  if (plan.parts == 1) {
    work(Index{0});
    return;
  }
  plan.executor->parallel_for(plan.parts, 1, [&](Index begin, Index end) {
    const ScopedFloatingPoint environment;
    for (Index part = begin; part < end; ++part) work(part);
  });
}

// A thread's share of a batch. Threads that have finished their own shares steal from it.
struct alignas(Arena::kAlignment) WorkQueue {
  std::atomic<Index> next;
  Index end;
};

// A plan with memory for each of its parts.
struct Parts {
  Plan plan;
  std::size_t bytes = 0;  // of a part
  WorkQueue* queues = nullptr;
  char* memory = nullptr;

  static Parts take(Arena& arena, const Plan& plan, std::size_t bytes) {
    Parts parts{plan, Arena::aligned(bytes)};
    parts.queues = arena.take<WorkQueue>(plan.parts);
    parts.memory = arena.take<char>(static_cast<Index>(parts.bytes), plan.parts);
    return parts;
  }
  void* memory_of(Index part) const { return memory + static_cast<std::size_t>(part) * bytes; }
};

// Calls work(begin, end, a part's memory) for ranges that together are [0, count). From one call to
// the next a thread has the same share of the batch, which may still be in the cache of its core.
// It takes ranges of its share and then steals from the others, since the cost of an element is not
// known in advance.
template <typename Work>
void for_each_range(const Parts& parts, Index count, const Work& work) {
  const Index number = parts.plan.parts;
  for (Index part = 0; part < number; ++part)
    new (parts.queues + part)
        WorkQueue{share_begin(count, part, number), share_begin(count, part + 1, number)};
  constexpr Index kRangesPerPart = 8, kSolvedTogether = 16;
  const Index range = number == 1
                          ? std::max<Index>(count, 1)
                          : std::max<Index>({count / (number * kRangesPerPart),
                                             std::min(kSolvedTogether, count / (2 * number)), 1});
  run_parts(parts.plan, [&](Index part) {
    for (Index other = part; other < part + number; ++other) {
      WorkQueue& queue = parts.queues[other % number];
      for (Index begin = queue.next.fetch_add(range, std::memory_order_relaxed); begin < queue.end;
           begin = queue.next.fetch_add(range, std::memory_order_relaxed))
        work(begin, std::min(begin + range, queue.end), parts.memory_of(part));
    }
  });
}

// Calls work(i, part) for all i in [0, count), each on the next part that is free.
template <typename Work>
void for_each_by_turns(const Plan& plan, Index count, const Work& work) {
  std::atomic<Index> next = 0;
  run_parts(plan, [&](Index part) {
    for (Index i = next.fetch_add(1, std::memory_order_relaxed); i < count;
         i = next.fetch_add(1, std::memory_order_relaxed))
      work(i, part);
  });
}

// The memory of a call: the caller's workspace, or its own. lay_out() calls take(arena) twice: with
// an arena that only counts bytes, and then with one that hands them out.
class CallMemory {
 public:
  explicit CallMemory(Workspace* workspace) : workspace_(workspace ? *workspace : own_) {}

  template <typename Take>
  Status lay_out(const Take& take) {
    Arena needed;
    take(needed);
    void* const memory =
        needed.used() < Arena::kTooMuch ? workspace_.reserve(needed.used()) : nullptr;
    if (!memory) {
      return failure(StatusCode::out_of_memory, -1,
                     "no memory for %zu bytes (and up to 63 for their alignment) of workspace",
                     needed.used());
    }
    Arena arena(memory);
    take(arena);
    if (arena.used() <= needed.used()) return {};
    return failure(StatusCode::internal, -1,
                   "the workspace was counted as %zu bytes and laid out as %zu", needed.used(),
                   arena.used());
  }

 private:
  Workspace own_;
  Workspace& workspace_;
};

}  // namespace osc::cpu
