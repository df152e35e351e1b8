#include "osc/assignment.hpp"

#include <algorithm>

#include "batch.hpp"
#include "checked_size.hpp"
#include "cpu/kernels.hpp"
#include "element_types.hpp"
#include "usual_arithmetic.hpp"

namespace osc {
namespace {

constexpr std::int64_t kLargestSide =
    (std::int64_t{1} << 31) - 64;  // indices are of 32 bits on the way

template <typename T>
Status check_sizes(const CostMatrices<T>& costs) noexcept {
  const auto fail = [&](const char* reason) {
    return Status(StatusCode::invalid_argument, -1, "costs [%lld, %lld, %lld]: %s",
                  static_cast<long long>(costs.problems), static_cast<long long>(costs.rows),
                  static_cast<long long>(costs.columns), reason);
  };
  if (costs.problems < 0 || costs.rows < 0 || costs.columns < 0) return fail("a size is negative");
  constexpr std::int64_t kElementBytes = 8;
  if (!product({costs.problems, std::max<std::int64_t>(costs.rows, 1),
                std::max<std::int64_t>(costs.columns, 1), kElementBytes})) {
    return fail("the product of the sizes overflows");
  }
  if (costs.problems == 0 || costs.rows == 0 || costs.columns == 0) return {};
  if (costs.rows > kLargestSide || costs.columns > kLargestSide)
    return fail("more than 2^31 - 64 rows or columns");
  if (!spans_memory({{costs.problems, costs.problem_stride},
                     {costs.rows, costs.row_stride},
                     {costs.columns, costs.column_stride}},
                    sizeof(T))) {
    return Status(
        StatusCode::invalid_argument, -1,
        "costs [%lld, %lld, %lld]: the strides [%lld, %lld, %lld] overflow",
        static_cast<long long>(costs.problems), static_cast<long long>(costs.rows),
        static_cast<long long>(costs.columns), static_cast<long long>(costs.problem_stride),
        static_cast<long long>(costs.row_stride), static_cast<long long>(costs.column_stride));
  }
  return {};
}

template <typename T>
Status check(const CostMatrices<T>& costs) noexcept {
  Status status = check_sizes(costs);
  if (!status.ok() || costs.problems == 0 || costs.rows == 0 || costs.columns == 0 || costs.data)
    return status;
  return Status(StatusCode::invalid_argument, -1,
                "costs [%lld, %lld, %lld]: the data pointer is null",
                static_cast<long long>(costs.problems), static_cast<long long>(costs.rows),
                static_cast<long long>(costs.columns));
}

template <typename T>
Batch batch_of(const CostMatrices<T>& costs, const cpu::KernelsOf<T>& kernels) {
  const auto shorter = static_cast<double>(std::min(costs.rows, costs.columns)),
             longer = static_cast<double>(std::max(costs.rows, costs.columns));
  return {costs.problems, 10 * shorter * longer,
          static_cast<std::size_t>(costs.problems) * sizeof(AssignmentStatus),
          kernels.assignment_memory(costs.rows, costs.columns)};
}

}  // namespace

template <typename T>
CostMatrices<T> contiguous_costs(const T* data, std::int64_t problems, std::int64_t rows,
                                 std::int64_t columns) {
  CostMatrices<T> costs{data, problems, rows, columns, 0, 0, 1};
  raise_unless_ok(check(costs));
  costs.problem_stride = rows * columns;
  costs.row_stride = columns;
  return costs;
}

template <typename T>
Status try_linear_sum_assignment(const CostMatrices<T>& costs, const AssignmentResults& results,
                                 const AssignmentOptions& options) noexcept {
  const UsualArithmetic usual;
  Status status = check(costs);
  if (!status.ok()) return status;
  const cpu::Kernels* const table = cpu::kernels(status);
  if (!table) return status;
  if (costs.rows == 0 || costs.columns == 0) {
    if (results.column_of_row) std::fill_n(results.column_of_row, costs.problems * costs.rows, -1);
    if (results.row_of_column)
      std::fill_n(results.row_of_column, costs.problems * costs.columns, -1);
    if (results.statuses) std::fill_n(results.statuses, costs.problems, AssignmentStatus::solved);
    return {};
  }
  if (costs.problems == 0) return {};
  const auto& kernels = cpu::kernels_of<T>(*table);
  // The least problem * kStatuses + status of a problem without an answer.
  constexpr std::int64_t kStatuses = 4;
  const std::int64_t none = costs.problems * kStatuses;
  std::atomic<std::int64_t> first_failure = none;
  status = for_each_range(
      batch_of(costs, kernels), options.executor, options.workspace,
      [&](void* memory) {
        return cpu::AssignmentTask<T>{
            costs.data,
            costs.rows,
            costs.columns,
            costs.problem_stride,
            costs.row_stride,
            costs.column_stride,
            options.maximize,
            results.column_of_row,
            results.row_of_column,
            results.statuses ? results.statuses : static_cast<AssignmentStatus*>(memory)};
      },
      [&](const auto& task, std::int64_t begin, std::int64_t end, void* memory) {
        kernels.assign(task, begin, end, memory);
        for (std::int64_t problem = begin; problem < end; ++problem) {
          if (task.statuses[problem] == AssignmentStatus::solved) continue;
          const std::int64_t failure =
              problem * kStatuses + static_cast<std::int64_t>(task.statuses[problem]);
          std::int64_t known = first_failure;
          while (failure < known && !first_failure.compare_exchange_weak(known, failure)) {
          }
          break;
        }
      });
  if (!status.ok() || options.on_unsolvable == OnUnsolvable::unmatched || first_failure == none)
    return status;
  const auto why = static_cast<AssignmentStatus>(first_failure % kStatuses);
  const std::int64_t problem = first_failure / kStatuses;
  return Status(StatusCode::unsolvable, problem,
                "costs [%lld, %lld, %lld]: problem %lld has no answer: %s",
                static_cast<long long>(costs.problems), static_cast<long long>(costs.rows),
                static_cast<long long>(costs.columns), static_cast<long long>(problem),
                why == AssignmentStatus::unbounded_cost && options.maximize ? "a cost is +inf"
                                                                            : describe(why));
}

template <typename T>
std::size_t linear_sum_assignment_workspace(const CostMatrices<T>& costs, int threads) noexcept {
  Status status = check_sizes(costs);
  const cpu::Kernels* const table = cpu::kernels(status);
  if (!status.ok() || costs.problems == 0 || costs.rows == 0 || costs.columns == 0) return 0;
  return batch_bytes(batch_of(costs, cpu::kernels_of<T>(*table)), threads) + kMemoryAlignment - 1;
}

#define OSC_INSTANTIATE(T)                                                                  \
  template OSC_API CostMatrices<T> contiguous_costs(const T*, std::int64_t, std::int64_t,   \
                                                    std::int64_t);                          \
  template OSC_API Status try_linear_sum_assignment(                                        \
      const CostMatrices<T>&, const AssignmentResults&, const AssignmentOptions&) noexcept; \
  template OSC_API std::size_t linear_sum_assignment_workspace(const CostMatrices<T>&,      \
                                                               int) noexcept;
OSC_FOR_EACH_ELEMENT_TYPE(OSC_INSTANTIATE)
#undef OSC_INSTANTIATE

const char* describe(AssignmentStatus status) noexcept {
  switch (status) {
    case AssignmentStatus::solved: return "solved";
    case AssignmentStatus::nan_cost: return "a cost is NaN";
    case AssignmentStatus::unbounded_cost: return "a cost is -inf";
    case AssignmentStatus::infeasible: return "infinite costs leave no full assignment";
  }
  return "unknown status";
}

}  // namespace osc
