// Linear sum assignment, exact and batched; and the matching of the slots of two views, which is one such problem an image.
//
// Method: shortest augmenting paths, as published by D. F. Crouse, "On implementing 2D rectangular assignment algorithms", IEEE Transactions on Aerospace and
// Electronic Systems 52(4), 2016, with the tie rules that scipy.optimize.linear_sum_assignment takes from it, so that both return the same indices.
#pragma once

#include <cstdint>

#include "osc/executor.hpp"
#include "osc/export.h"
#include "osc/slots.hpp"

namespace osc {

// N problems of R rows and K columns: cost (n, r, k) is data[n * problem_stride + r * row_stride + k * column_stride]. Strides count elements and may be
// zero or negative. T is float or double.
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
OSC_API CostMatrices<T> contiguous_costs(const T* data, std::int64_t problems, std::int64_t rows, std::int64_t columns);

enum class AssignmentStatus : std::int32_t {
  solved = 0,
  nan_cost = 1,          // a cost is NaN
  unbounded_cost = 2,    // a cost is -inf (+inf where one maximises)
  infeasible = 3,        // +inf (-inf where one maximises) forbids so many pairs that no full assignment is left
};

enum class OnUnsolvable {
  raise,      // AssignmentError for the first problem without an answer
  unmatched,  // -1 in all of that problem's results, no error
};

struct AssignmentOptions {
  bool maximize = false;
  OnUnsolvable on_unsolvable = OnUnsolvable::raise;
  Executor* executor = nullptr;  // null: default_executor()
};

struct AssignmentResults {
  std::int64_t* column_of_row = nullptr;  // [N, R], contiguous: the column that a row is assigned to, -1 for none. Null: not wanted.
  std::int64_t* row_of_column = nullptr;  // [N, K], contiguous: the row that a column is assigned to, -1 for none. Null: not wanted.
  AssignmentStatus* statuses = nullptr;   // [N]. Null: not wanted.
};

// The assignment of min(R, K) pairs of least total cost (of greatest, to maximise), of each problem.
//
//   numbers      costs are taken as given; sums and duals are double for both types. Costs of opposite sign whose difference overflows double are fine.
//   ties         of several optimal assignments the one that scipy returns; a matrix of equal costs gives the identity.
//   non-finite   +inf forbids a pair, -inf where one maximises. A problem with NaN or the other infinity, or without a full assignment, gets -1 in all of its
//                results; every other problem is solved. With OnUnsolvable::raise the first of them is then thrown as an AssignmentError.
//   sizes        R = 0 or K = 0 leaves everything unmatched. R < K, R = K and R > K are all fine.
//   errors       InvalidArgument, before anything is written: negative sizes, null data or sizes and strides that overflow.
//   memory       8 * R * K bytes a thread and a little more, allocated once a call and thread. The costs may not overlap the results.
//   cost         O(min(R, K)^2 * max(R, K)) a problem at worst. Problems run in parallel.
OSC_API void linear_sum_assignment(const CostMatrices<float>& costs, const AssignmentResults& results, const AssignmentOptions& options = {});
OSC_API void linear_sum_assignment(const CostMatrices<double>& costs, const AssignmentResults& results, const AssignmentOptions& options = {});

// What a status means, in words; a string that lives as long as the library.
OSC_API const char* describe(AssignmentStatus status) noexcept;

enum class NonFinite {
  propagate,  // the image's own results are NaN (or -1), every other image's are untouched
  raise,      // NonFiniteError for the first image that holds a NaN or an infinity, before anything is written
};

struct MatchOptions {
  double eps = 1e-10;  // floor of a norm: unit(x) = x / max(|x|, eps); positive and finite
  NonFinite on_nonfinite = NonFinite::propagate;
  Executor* executor = nullptr;  // null: default_executor()
};

// matching [B, S], contiguous: slot s of view 0 of image i is matched to slot matching[i, s] of view 1, so that the sum of the cosines is greatest.
// Cosines of float slots are computed in double and rounded to float, and those are matched; double stays double. Ties, threads and errors as above.
// An image that holds a NaN or an infinity gets -1 in all of its row. O(S^2 C + S^3) an image; 8 * (2SC + S^2) bytes a thread.
OSC_API void match_slots(const SlotPairs<const float>& slots, std::int64_t* matching, const MatchOptions& options = {});
OSC_API void match_slots(const SlotPairs<const double>& slots, std::int64_t* matching, const MatchOptions& options = {});

}  // namespace osc
