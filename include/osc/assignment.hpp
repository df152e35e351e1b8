// Linear sum assignment, exact and batched.
//
// Method: the algorithm of D. F. Crouse, "On implementing 2D rectangular assignment algorithms",
// IEEE Transactions on Aerospace and Electronic Systems 52(4), 2016, with the tie rules that
// scipy.optimize.linear_sum_assignment takes from it, in vector registers. Where it would be long
// and there are few ties, row reduction and shortest augmenting paths in the costs' own type (R.
// Jonker and A. Volgenant, Computing 38, 1987), and a proof that the optimum found is the only one.
// So the indices are SciPy's.
#pragma once

#include <cstdint>
#include <type_traits>

#include "osc/call.hpp"
#include "osc/error.hpp"
#include "osc/executor.hpp"
#include "osc/status.hpp"
#include "osc/view.hpp"
#include "osc/workspace.hpp"

namespace osc {

enum class OnUnsolvable : std::int32_t {
  raise,      // StatusCode::unsolvable (an AssignmentError) for the first problem without an answer
  unmatched,  // -1 in all of that problem's results, no error
};

struct AssignmentOptions {
  bool maximize = false;
  OnUnsolvable on_unsolvable = OnUnsolvable::raise;
  Executor* executor = nullptr;    // null: default_executor()
  Workspace* workspace = nullptr;  // null: memory of the call's own
};

// Outputs. Those that are null are not written.
struct AssignmentResults {
  std::int64_t* col4row = nullptr;       // [N, R]: the column of each row, -1 for none
  std::int64_t* row4col = nullptr;       // [N, K]: the row of each column, -1 for none
  AssignmentStatus* statuses = nullptr;  // [N]
};

// The assignment of min(R, K) pairs of least total cost (of greatest, to maximise), of each of N
// problems of R rows and K columns: cost [N, R, K], with any strides.
//
//   numbers      costs are taken as given, and the optimum is theirs: what is computed in their own
//                type is certified in double, or done again in double. Exact up to rounding in
//                double, as scipy is: of assignments whose totals differ by no more than the
//                rounding of their sums, any may be taken. Whole numbers whose sums stay below 2^53
//                are not rounded. Costs of opposite sign whose difference overflows double are
//                fine.
//   ties         of several optimal assignments the one that scipy returns; a matrix of equal costs
//                gives the identity.
//   non-finite   +inf forbids a pair, -inf to maximise. A problem with NaN or the other infinity,
//                or without a full assignment, gets -1 in all of its results; every other problem
//                is solved. With OnUnsolvable::raise the first of them is then an error.
//   sizes        R = 0 or K = 0 leaves everything unmatched. R < K, R = K and R > K are all fine,
//                up to 2^31 - 64 rows or columns.
//   errors       InvalidArgument, before anything is written.
//   memory       some 4 * R * K bytes a thread (8 for double), 16 times that if a row fits in four
//                vector registers; from the workspace. Nothing is allocated for a single problem.
//                The costs may not overlap the results.
//   cost         one pass over a matrix in which every row has a least cost in a column of its own.
//                Else O(min(R, K)^2 * max(R, K)) a problem at worst, in practice some min(R, K)^2 *
//                max(R, K)^(1/2) / lanes of a vector. Problems run in parallel.
//
// T is double, float, float16 or bfloat16.
template <typename T>
[[nodiscard]] Status try_linear_sum_assignment(const View<T, 3>& cost,
                                               const AssignmentResults& results,
                                               const AssignmentOptions& options = {}) noexcept {
  auto call = detail::call_of<osc_assignment>(options, results);
  call.cost = detail::input(cost);
  call.col4row = detail::contiguous_array(results.col4row);
  call.row4col = detail::contiguous_array(results.row4col);
  call.maximize = options.maximize;
  call.on_unsolvable = static_cast<std::int32_t>(options.on_unsolvable);
  return detail::status_of(osc_linear_sum_assignment(&call));
}

template <typename T>
void linear_sum_assignment(const View<T, 3>& cost, const AssignmentResults& results,
                           const AssignmentOptions& options = {}) {
  raise_unless_ok(try_linear_sum_assignment(cost, results, options));
}

}  // namespace osc
