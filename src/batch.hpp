// How a batch is spread over threads, with memory for each.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "cpu/arena.hpp"
#include "guarded.hpp"
#include "osc/executor.hpp"
#include "osc/status.hpp"
#include "osc/workspace.hpp"
#include "usual_arithmetic.hpp"

namespace osc {

using cpu::Arena;
inline constexpr std::size_t kMemoryAlignment = Arena::kAlignment;
inline std::size_t aligned(std::size_t bytes) { return Arena::aligned_product(bytes, 1); }

struct Batch {
  std::int64_t count;      // of elements
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
inline std::size_t batch_bytes(const Batch& batch, std::int64_t threads) {
  const std::size_t part = Arena::plus(sizeof(Share), aligned(batch.part_bytes));
  return Arena::plus(
      aligned(batch.own_bytes),
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

inline Crew crew_for(const Batch& batch, Executor* executor) {
  return crew_for(static_cast<double>(batch.count) * (batch.operations + 1), batch.count, executor);
}

// Where the part-th of `parts` even shares of [0, count) begins.
inline std::int64_t share_begin(std::int64_t count, std::int64_t part, std::int64_t parts) {
  return count / parts * part + std::min(part, count % parts);
}

// Calls work(part) for each part, on several threads where there is an executor.
template <typename Work>
void on_parts(const Crew& crew, const Work& work) {
  if (crew.parts == 1) {
    work(std::int64_t{0});
    return;
  }
  crew.executor->parallel_for(crew.parts, 1, [&](std::int64_t begin, std::int64_t end) {
    const UsualArithmetic usual;
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
        Status(StatusCode::out_of_memory, -1,
               "no memory for %zu bytes (and up to 63 for their alignment) of workspace", bytes);
  return memory;
}

// Calls lay_out(arena) with an arena that counts, and again with memory of as many bytes: what it
// takes is then ready to use. An error where the second time took more than the first.
template <typename LayOut>
Status lay_out_memory(Workspace* workspace, Workspace& own, const LayOut& lay_out) {
  Arena needed;
  lay_out(needed);
  Status status;
  char* const memory = take_memory(needed.used(), workspace, own, status);
  if (!memory) return status;
  Arena arena(memory);
  lay_out(arena);
  if (arena.used() <= needed.used()) return status;
  return Status(StatusCode::internal, -1,
                "the workspace was counted as %zu bytes and laid out as %zu", needed.used(),
                arena.used());
}

// Calls start(own memory) once, then work(begin, end, part's memory) for ranges that together are
// [0, count). What start returns goes to every call of work. From one call to the next a thread has
// the same share of the batch, which may still be in its core's cache; it takes ranges of it, and
// then of the others', since which images are slow is not known beforehand.
template <typename Start, typename Work>
Status for_each_range(const Batch& batch, const Crew& crew, Workspace* workspace,
                      const Start& start, const Work& work) noexcept {
  return guarded([&] {
    const std::int64_t count = batch.count, parts = crew.parts;
    Workspace own_workspace;
    Status status;
    char* const memory = take_memory(batch_bytes(batch, parts), workspace, own_workspace, status);
    if (!memory) return status;
    auto* const shares = reinterpret_cast<Share*>(memory + aligned(batch.own_bytes));
    auto* const part_memory = reinterpret_cast<char*>(shares + parts);
    const auto context = start(memory);
    for (std::int64_t part = 0; part < parts; ++part)
      new (shares + part)
          Share{share_begin(count, part, parts), share_begin(count, part + 1, parts)};
    constexpr std::int64_t kRangesPerPart = 8, kSolvedTogether = 16;
    const std::int64_t range =
        parts == 1 ? count
                   : std::max<std::int64_t>({count / (parts * kRangesPerPart),
                                             std::min(kSolvedTogether, count / (2 * parts)), 1});
    on_parts(crew, [&](std::int64_t part) {
      char* const memory_of_part =
          part_memory + static_cast<std::size_t>(part) * aligned(batch.part_bytes);
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

// On as many threads as are worthwhile.
template <typename Start, typename Work>
Status for_each_range(const Batch& batch, Executor* executor, Workspace* workspace,
                      const Start& start, const Work& work) noexcept {
  return guarded(
      [&] { return for_each_range(batch, crew_for(batch, executor), workspace, start, work); });
}

}  // namespace osc
