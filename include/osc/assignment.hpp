// Linear sum assignment, exact and batched; and the matching of the slots of two views, which is
// one such problem an image.
//
// Method: the algorithm of D. F. Crouse, "On implementing 2D rectangular assignment algorithms",
// IEEE Transactions on Aerospace and Electronic Systems 52(4), 2016, with the tie rules that
// scipy.optimize.linear_sum_assignment takes from it, in vector registers. Where it would be long
// and there are few ties, row reduction and shortest augmenting paths in the costs' own type (R.
// Jonker and A. Volgenant, Computing 38, 1987), and a proof that the optimum found is the only one.
// So the indices are SciPy's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "osc/error.hpp"
#include "osc/executor.hpp"
#include "osc/export.h"
#include "osc/slots.hpp"
#include "osc/status.hpp"
#include "osc/workspace.hpp"

namespace osc {

// N problems of R rows and K columns: cost (n, r, k) is data[n * problem_stride + r * row_stride +
// k * column_stride]. Strides count elements and may be zero or negative. T is double, float,
// float16 or bfloat16.
template <typename T>
struct CostMatrices {
  const T* data = nullptr;  // may be null where N, R or K is 0
  std::int64_t problems = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t problem_stride = 0;
  std::int64_t row_stride = 0;
  std::int64_t column_stride = 1;
};

// [N, R, K], contiguous. Throws InvalidArgument where linear_sum_assignment does.
template <typename T>
OSC_API CostMatrices<T> contiguous_costs(const T* data, std::int64_t problems, std::int64_t rows,
                                         std::int64_t columns);

enum class AssignmentStatus : std::int32_t {
  solved = 0,
  nan_cost = 1,        // a cost is NaN
  unbounded_cost = 2,  // a cost is -inf (+inf where one maximises)
  infeasible =
      3,  // +inf (-inf where one maximises) forbids so many pairs that no full assignment is left
};

enum class OnUnsolvable {
  raise,      // StatusCode::unsolvable (an AssignmentError) for the first problem without an answer
  unmatched,  // -1 in all of that problem's results, no error
};

struct AssignmentOptions {
  bool maximize = false;
  OnUnsolvable on_unsolvable = OnUnsolvable::raise;
  Executor* executor = nullptr;    // null: default_executor()
  Workspace* workspace = nullptr;  // null: memory of the call's own
};

struct AssignmentResults {
  std::int64_t* column_of_row = nullptr;  // [N, R], contiguous: the column that a row is assigned
                                          // to, -1 for none. Null: not wanted.
  std::int64_t* row_of_column = nullptr;  // [N, K], contiguous: the row that a column is assigned
                                          // to, -1 for none. Null: not wanted.
  AssignmentStatus* statuses = nullptr;   // [N]. Null: not wanted.
};

// The assignment of min(R, K) pairs of least total cost (of greatest, to maximise), of each
// problem.
//
//   numbers      costs are taken as given, and the optimum is theirs: what is computed in the
//                costs' own type is certified in double, or done again in double. Exact up to
//                rounding in double, as scipy is: of assignments whose totals differ by no more
//                than the rounding of their sums, any may be taken. Whole numbers whose sums stay
//                below 2^53 are not rounded. Costs of opposite sign whose difference overflows
//                double are fine.
//   ties         of several optimal assignments the one that scipy returns; a matrix of equal costs
//                gives the identity.
//   non-finite   +inf forbids a pair, -inf where one maximises. A problem with NaN or the other
//                infinity, or without a full assignment, gets -1 in all of its results; every other
//                problem is solved. With OnUnsolvable::raise the first of them is then an error.
//   sizes        R = 0 or K = 0 leaves everything unmatched. R < K, R = K and R > K are all fine,
//                up to 2^31 - 64 rows or columns.
//   errors       InvalidArgument, before anything is written: sizes that are negative or too large,
//                null data, or sizes and strides that overflow.
//   memory       some 4 * R * K bytes a thread (8 for double), 16 times that where a row fits in
//                four vector registers; from the workspace. Nothing is allocated for a single
//                problem. The costs may not overlap the results.
//   cost         one pass over a matrix in which every row has a least cost in a column of its own.
//                Else O(min(R, K)^2 * max(R, K)) a problem at worst, in practice some min(R, K)^2 *
//                max(R, K)^(1/2) / lanes of a vector. Problems run in parallel.
template <typename T>
[[nodiscard]] OSC_API Status
try_linear_sum_assignment(const CostMatrices<T>& costs, const AssignmentResults& results,
                          const AssignmentOptions& options = {}) noexcept;

template <typename T>
void linear_sum_assignment(const CostMatrices<T>& costs, const AssignmentResults& results,
                           const AssignmentOptions& options = {}) {
  raise_unless_ok(try_linear_sum_assignment(costs, results, options));
}

// The bytes that a Workspace needs for it, on an executor of `threads` threads; the costs' data is
// not looked at. 0 for sizes that linear_sum_assignment refuses.
template <typename T>
OSC_API std::size_t linear_sum_assignment_workspace(const CostMatrices<T>& costs,
                                                    int threads) noexcept;

// What a status means, in words; a string that lives as long as the library.
OSC_API const char* describe(AssignmentStatus status) noexcept;

struct MatchOptions {
  double eps = 1e-10;  // floor of a norm: unit(x) = x / max(|x|, eps); positive and finite
  NonFinite on_nonfinite = NonFinite::propagate;
  Executor* executor = nullptr;    // null: default_executor()
  Workspace* workspace = nullptr;  // null: memory of the call's own
};

struct MatchResults {
  std::int64_t* matching = nullptr;  // [B, S], contiguous: slot s of view 0 of image i is matched
                                     // to slot matching[i, s] of view 1
  ImageStatus* statuses = nullptr;   // [B]. Null: not wanted.
};

// The matching of the slots of the two views of each image, by which the sum of their cosines is
// greatest. Cosines are of the slots' own type, of 16-bit slots float. Ties and threads as above.
// An image that holds a NaN or an infinity gets -1 in all of its row. O(S^2 C) an image for the
// cosines, and the assignment.
template <typename T>
[[nodiscard]] OSC_API Status try_match_slots(const SlotPairs<const T>& slots,
                                             const MatchResults& results,
                                             const MatchOptions& options = {}) noexcept;

template <typename T>
  requires(!std::is_const_v<T>)
[[nodiscard]] Status try_match_slots(const SlotPairs<T>& slots, const MatchResults& results,
                                     const MatchOptions& options = {}) noexcept {
  return try_match_slots(SlotPairs<const T>(slots), results, options);
}

template <typename T>
void match_slots(const SlotPairs<T>& slots, std::int64_t* matching,
                 const MatchOptions& options = {}) {
  raise_unless_ok(
      try_match_slots(SlotPairs<const std::remove_const_t<T>>(slots), {matching}, options));
}

}  // namespace osc
