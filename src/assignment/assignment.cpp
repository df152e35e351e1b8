#include <algorithm>
#include <atomic>

#include "assignment/task.hpp"
#include "runtime/call.hpp"
#include "runtime/plan.hpp"

namespace osc::cpu {
namespace {

constexpr Index kLargestSide = (Index{1} << 31) - 64;  // of indices of 32 bits

const char* describe(AssignmentStatus status, bool maximize) {
  switch (status) {
    case AssignmentStatus::nan_cost: return "a cost is NaN";
    case AssignmentStatus::unbounded_cost: return maximize ? "a cost is +inf" : "a cost is -inf";
    default: return "infinite costs leave no full assignment";
  }
}

template <typename T>
Status assign(const osc_assignment& call, const AssignmentKernels<T>& kernels) {
  const View<const T, 3> cost = view<const T, 3>(call.cost);
  const Index problems = cost.sizes[0], rows = cost.sizes[1], columns = cost.sizes[2];
  if (rows > kLargestSide || columns > kLargestSide)
    return failure(StatusCode::invalid_argument, -1,
                   "cost has %lld rows and %lld columns; wanted at most 2^31 - 64 of either",
                   static_cast<long long>(rows), static_cast<long long>(columns));
  AssignmentTask<T> task{cost, call.maximize != 0, elements<Index>(call.col4row),
                         elements<Index>(call.row4col), elements<AssignmentStatus>(call.statuses)};
  if (problems == 0 || rows == 0 || columns == 0) {
    if (task.col4row) std::fill_n(task.col4row, problems * rows, -1);
    if (task.row4col) std::fill_n(task.row4col, problems * columns, -1);
    if (task.statuses) std::fill_n(task.statuses, problems, AssignmentStatus::solved);
    return {};
  }

  const Plan plan = plan_for(10 * product({problems, rows, columns}), problems, call.executor);
  const std::size_t part_bytes = kernels.memory(rows, columns);
  Parts parts;
  CallMemory memory(call.workspace);
  const Status status = memory.lay_out([&](Arena& arena) {
    if (!is_given(call.statuses)) task.statuses = arena.take<AssignmentStatus>(problems);
    parts = Parts::take(arena, plan, part_bytes);
  });
  if (!status.ok()) return status;
  for_each_range(parts, problems, [&](Index begin, Index end, void* part_memory) {
    kernels.run(task, begin, end, part_memory);
  });

  if (call.on_unsolvable == OSC_UNSOLVABLE_UNMATCHED) return {};
  const auto* const unsolved =
      std::find_if(task.statuses, task.statuses + problems,
                   [](AssignmentStatus s) { return s != AssignmentStatus::solved; });
  const Index problem = unsolved - task.statuses;
  if (problem == problems) return {};
  return failure(StatusCode::unsolvable, problem, "cost: problem %lld of %lld has no answer: %s",
                 static_cast<long long>(problem), static_cast<long long>(problems),
                 describe(*unsolved, task.maximize));
}

}  // namespace
}  // namespace osc::cpu

osc_status osc_linear_sum_assignment(const osc_assignment* call) {
  using namespace osc::cpu;
  return run_call<osc_linear_sum_assignment>(
      call, [](const auto&... arguments) { return assign(arguments...); }, assignment_kernels);
}
