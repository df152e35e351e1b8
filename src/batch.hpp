// How a batch is spread over threads, with memory for each.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "cpu/arena.hpp"
#include "osc/executor.hpp"
#include "osc/status.hpp"
#include "osc/workspace.hpp"
#include "runtime/failure.hpp"
#include "runtime/floating_point.hpp"

namespace osc {

using cpu::Arena;
inline constexpr std::size_t kMemoryAlignment = Arena::kAlignment;
inline std::size_t aligned(std::size_t bytes) { return Arena::aligned_product(bytes, 1); }

struct BatchOptions {
  Executor* executor;      // null: default_executor()
  Workspace* workspace;    // null: memory of the call's own
  double operations;       // a rough number for each element
  std::size_t own_bytes;   // of memory for the whole batch
  std::size_t part_bytes;  // of memory for each thread
};

// A thread's own part of a batch, from which others may take when they have done theirs.
struct alignas(kMemoryAlignment) Share {
  std::atomic<std::int64_t> next;
  std::int64_t end;
};

// Memory for `threads` threads; Arena::kTooMuch where it is more than there can be.
inline std::size_t batch_bytes(const BatchOptions& options, std::int64_t threads) {
  const std::size_t part = Arena::plus(sizeof(Share), aligned(options.part_bytes));
  return Arena::plus(
      aligned(options.own_bytes),
      Arena::aligned_product(static_cast<std::size_t>(std::max<std::int64_t>(threads, 1)), part));
}

// What carries out a batch of so many operations, in so many parts: no executor where one part is
// enough.
struct Crew {
  Executor* executor = nullptr;
  std::int64_t parts = 1;
};

inline Crew crew_for(double operations, std::int64_t most_parts, Executor* executor) {
  constexpr double kOperationsWorthAThread = 50'000;
  const auto worthwhile = static_cast<std::int64_t>(
      std::min(operations / kOperationsWorthAThread, static_cast<double>(most_parts)));
  if (worthwhile <= 1) return {};
  Crew crew{executor ? executor : &default_executor()};
  crew.parts = std::clamp<std::int64_t>(worthwhile, 1, std::max(crew.executor->concurrency(), 1));
  return crew;
}

// Calls work(part) for each part, on several threads where there is an executor.
template <typename Work>
void on_parts(const Crew& crew, const Work& work) {
  if (crew.parts == 1) {
    work(std::int64_t{0});
    return;
  }
  crew.executor->parallel_for(crew.parts, 1, [&](std::int64_t begin, std::int64_t end) {
    const ScopedFloatingPoint usual;
    for (std::int64_t part = begin; part < end; ++part) work(part);
  });
}

// What the workspace (or `own`, where there is none) gives; null, and why in `status`, where that
// is not enough.
inline char* take_memory(std::size_t bytes, Workspace* workspace, Workspace& own, Status& status) {
  auto* const memory = bytes < Arena::kTooMuch
                           ? static_cast<char*>((workspace ? *workspace : own).reserve(bytes))
                           : nullptr;
  if (!memory)
    status =
        failure(StatusCode::out_of_memory, -1,
                "no memory for %zu bytes (and up to 63 for their alignment) of workspace", bytes);
  return memory;
}

// Calls start(own memory) once, then work(begin, end, part's memory) for ranges that together are
// [0, count). What start returns goes to every call of work. From one call to the next a thread has
// the same share of the batch, which may still be in its core's cache; it takes ranges of it, and
// then of the others', since which images are slow is not known beforehand.
template <typename Start, typename Work>
Status for_each_range(std::int64_t count, const BatchOptions& options, const Start& start,
                      const Work& work) noexcept {
  return guarded([&] {
    const Crew crew =
        crew_for(static_cast<double>(count) * (options.operations + 1), count, options.executor);
    const std::int64_t parts = crew.parts;
    Workspace own_workspace;
    Status status;
    char* const memory =
        take_memory(batch_bytes(options, parts), options.workspace, own_workspace, status);
    if (!memory) return status;
    auto* const shares = reinterpret_cast<Share*>(memory + aligned(options.own_bytes));
    auto* const part_memory = reinterpret_cast<char*>(shares + parts);
    const auto context = start(memory);
    for (std::int64_t part = 0; part < parts; ++part)
      new (shares + part) Share{count * part / parts, count * (part + 1) / parts};
    constexpr std::int64_t kRangesPerPart = 8, kSolvedTogether = 16;
    const std::int64_t range =
        parts == 1 ? count
                   : std::max<std::int64_t>({count / (parts * kRangesPerPart),
                                             std::min(kSolvedTogether, count / (2 * parts)), 1});
    on_parts(crew, [&](std::int64_t part) {
      char* const memory_of_part =
          part_memory + static_cast<std::size_t>(part) * aligned(options.part_bytes);
      for (std::int64_t other = part; other < part + parts; ++other) {
        Share& share = shares[other % parts];
        for (std::int64_t begin = share.next.fetch_add(range, std::memory_order_relaxed);
             begin < share.end; begin = share.next.fetch_add(range, std::memory_order_relaxed)) {
          work(context, begin, std::min(begin + range, share.end), memory_of_part);
        }
      }
    });
    return status;
  });
}

}  // namespace osc
