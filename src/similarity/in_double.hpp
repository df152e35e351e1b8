// A slot of p and its target in plain loops and in double, with norms that neither overflow nor
// vanish: for slots of extreme magnitude, and for gradients that need care.
#pragma once

#include "similarity/task.hpp"

namespace osc::cpu {

// The cosine of a slot of p with its target, that slot of the other view of f; both are finite.
// Writes the gradient, if the task wants it. `memory` has room for 2C numbers.
template <typename T>
double compare_in_double(const SimilarityTask<T>& task, Index view, Index image, Index slot,
                         Index target, double* memory) noexcept;

}  // namespace osc::cpu
