// Exact, batched linear sum assignment, and the matching of slots, on libtorch tensors. What the
// answers are, at ties and at non-finite values too, is said in osc/assignment.hpp.
//
// CPU tensors; runs on PyTorch's own threads; not differentiable. Bad shapes, values and options
// are a c10::ValueError, bad dtypes a c10::TypeError, both of which are std::exception.
#pragma once

#include <torch/types.h>

#include <tuple>

#include "osc/assignment.hpp"

namespace osc::libtorch {

using osc::NonFinite;
using osc::OnUnsolvable;

// cost: [..., R, K], any strides; float64, float32, float16 and bfloat16 are read in place, every
// other real dtype and bool becomes float64. Returns column_of_row [..., R] and row_of_column [...,
// K], int64, -1 where unmatched. A problem without an answer is a ValueError that names its index
// in the flattened batch, or with OnUnsolvable::unmatched all -1.
std::tuple<torch::Tensor, torch::Tensor> linear_sum_assignment(
    const torch::Tensor& cost, bool maximize = false,
    OnUnsolvable on_unsolvable = OnUnsolvable::raise);

// f: [2B, S, C], float64, float32, float16 or bfloat16 (the last two are matched in float32); no
// copy where C is contiguous. Returns int64 [B, S]: slot s of view 0 of image i is matched to slot
// result[i, s] of view 1; all -1 for an image that holds a NaN or an infinity.
torch::Tensor match_slots(const torch::Tensor& f, double eps = 1e-10,
                          NonFinite on_nonfinite = NonFinite::propagate);

}  // namespace osc::libtorch
