// What the kernels of the contrastive loss are given.
//
// Exponentials are powers of 2: exp(cosine / temperature) = 2^(cosine * exponent_scale), where
// exponent_scale = log2(e) / temperature. No cosine is above 1, so 2^((cosine - 1) *
// exponent_scale) cannot overflow. If it cannot vanish either, 1 is the shared maximum of all rows.
// Else each row has a running maximum of its cosine * exponent_scale.
#pragma once

#include <cstddef>

#include "runtime/dispatch.hpp"
#include "runtime/sizes.hpp"
#include "simd/units_in_double.hpp"

namespace osc::cpu {

inline constexpr double kLn2 = 0.69314718055994530942;

// Slots that are contrasted with each other, as rows in blocks. The first `own` rows are those
// whose losses and gradients are wanted; `others` more, from first_other on, are only candidates.
// Each array has one element per row. Padding rows, after either part up to whole tiles, are zero.
template <typename T>
struct ContrastiveTask {
  using A = typename Computed<T>::Type;
  static constexpr Index kTile = 64;

  Index own = 0, others = 0, first_other = 0, end = 0;
  Index channels = 0, padded = 0;  // padded: in whole vectors
  Index span = kTile;              // rows of a block, a multiple of kTile
  Index own_blocks = 0, other_blocks = 0;
  double eps = 0;
  A exponent_scale = 0;
  // Whether a power of 2 of any (cosine - 1) * exponent_scale is far from vanishing.
  bool shares_maximum = false;

  const T** slots = nullptr;           // where they are read
  T** targets = nullptr;               // where their gradients are written; own rows
  A* units = nullptr;                  // [rows, padded]
  A* panels = nullptr;                 // the units of kTile rows together, channel by channel:
                                       // [rows / kTile, channels, kTile]
  A* unit_gradients = nullptr;         // [rows, padded]; null: not wanted
  double* inverse_norms = nullptr;     // as Units<T>::read gives them
  Index* positives = nullptr;          // the row of its match; own rows
  A* positive_similarities = nullptr;  // the cosine with it; own rows
  A* hardest_negatives = nullptr;      // the greatest cosine with another candidate; own rows.
                                       // Null: not wanted.
  A* running_maxima = nullptr;         // own rows
  double* sums = nullptr;              // of the powers of 2 of all negatives; own rows
  double* log_sum_exps = nullptr;      // natural, of all candidates
  A* grad_outputs = nullptr;
  // The weight of a power of 2 in the gradient: where the maximum is shared, grad_output / sum;
  // else grad_output.
  A* weights = nullptr;
  // exponent_scale - log2 of the sum of powers of 2; where the maximum is not shared.
  A* offsets = nullptr;
};

// The kernels work in memory of kContrastiveMemory bytes, aligned to 64.
inline constexpr std::size_t kContrastiveMemory = std::size_t{48} << 10;
template <typename T>
struct ContrastiveKernels {
  // The units of the rows [begin, end).
  void (*read)(const ContrastiveTask<T>& task, Index begin, Index end, void* memory);
  // All pairs of a row of own block x with a row of block y >= x. The first adds their powers to
  // the sums of the rows, the second adds to the gradients of the units.
  void (*log_sum_exp_tiles)(const ContrastiveTask<T>& task, Index x, Index y, void* memory);
  void (*gradient_tiles)(const ContrastiveTask<T>& task, Index x, Index y, void* memory);
  // The gradients of the rows [begin, end): the vjp of their units, times `factor`.
  void (*write)(const ContrastiveTask<T>& task, Index begin, Index end, const Ratio& factor,
                void* memory);
};

OSC_DECLARE_KERNELS(ContrastiveKernels, contrastive_kernels)

}  // namespace osc::cpu
