// The table of kernels, one for each instruction set, and what they are given.
//
// simd/*.hpp wrap the vectors of one instruction set each. The files *_kernel.hpp are written in
// them, once; kernels_<set>.cpp includes both and is compiled with that set's flags. All that such
// a file defines has internal linkage, so that the linker can never take one of its functions for a
// processor that lacks the instructions.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "osc/assignment.hpp"
#include "osc/float16.hpp"
#include "osc/status.hpp"

namespace osc::cpu {

// The type that elements are computed in.
template <typename T>
struct Computed {
  using Type = float;
};
template <>
struct Computed<double> {
  using Type = double;
};

// numerator / denominator, which may be no number of its own.
struct Ratio {
  double numerator = 1, denominator = 1;
};

template <typename T>
struct AssignmentTask {
  const T* data;
  std::int64_t rows, columns, problem_stride, row_stride, column_stride;
  bool maximize;
  std::int64_t* column_of_row;  // null: not wanted, as are the next two
  std::int64_t* row_of_column;
  AssignmentStatus* statuses;
};

template <typename T>
struct SlotRows {
  T* data = nullptr;
  std::int64_t view_stride = 0, image_stride = 0, slot_stride = 0;
};

// What is to be done for each image: match, or take the given matching; and with p also the losses
// and the gradient.
template <typename T>
struct SimilarityTask {
  std::int64_t images, slots, channels;
  double eps;
  SlotRows<const T> f;
  const std::int64_t* given_matching = nullptr;  // [B, S], rows of -1 allowed; null: to be computed
  std::int64_t* matching = nullptr;  // [B, S]; null: not wanted, as are all the results below
  ImageStatus* statuses = nullptr;   // [B]

  bool has_p = false;
  SlotRows<const T> p{};
  T* losses = nullptr;           // [2BS]
  double* image_sums = nullptr;  // [B]
  bool has_gradient = false;
  SlotRows<T> gradient{};
  const T* incoming = nullptr;  // [2BS] or one; null stands for ones
  bool incoming_per_slot = false;
  double weight = 1;  // of every incoming gradient
  // Becomes false where a slot's gradient is so small, or so large, that T does not hold all of its
  // bits. Null: not wanted.
  std::atomic<bool>* gradient_scales = nullptr;
  bool stream = false;  // the gradient past the caches, which could not keep it
  bool fetch = false;   // f and p ahead of time from memory
};

// Slots that are told apart from each other: the arithmetic of the contrastive loss, on rows in
// blocks. The first `own` rows, from 0, are those whose losses and gradients are wanted; `others`
// more, from first_other() on, are only candidates. Each array has an element a row. What lies
// between the two and after them, up to whole tiles, is zero.
template <typename T>
struct ContrastiveProblem {
  using A = typename Computed<T>::Type;
  static constexpr std::int64_t kTile = 64;

  std::int64_t own = 0, others = 0, channels = 0;
  std::int64_t span = kTile;  // rows of a block, a multiple of kTile
  double eps = 0;
  A rate = 0;  // 1 / temperature, for powers of 2
  bool shares_shift =
      false;  // whether a power of 2 of any (cosine - 1) * rate is far from vanishing
  const T** slots = nullptr;  // where they are read
  T** targets = nullptr;      // where their gradients are written; own rows
  A* units = nullptr;         // [rows, padded()]
  A* panels = nullptr;  // the same with kTile rows together, channel by channel: [rows / kTile,
                        // channels, kTile]
  A* slopes = nullptr;  // [rows, padded()], the gradients of the units; null: not wanted
  double* inverse_norms = nullptr;  // as Units<T>::read gives them
  std::int64_t* matches = nullptr;  // the row of its match; own rows
  A* match_cosines = nullptr;       // own rows
  A* rivals = nullptr;     // the greatest cosine with another candidate than the match; own rows.
                           // Null: not wanted.
  A* shifts = nullptr;     // sums are of powers of 2 of cosine * rate - shift; own rows
  double* sums = nullptr;  // of the powers of the rivals: all candidates but the match; own rows
  double* log_sums = nullptr;  // natural logarithms of the sums of exponentials of all candidates
  A* incoming = nullptr;       // gradients of the losses
  A* weights = nullptr;  // of a power of 2 in the gradient: where the shift is shared, incoming /
                         // sum; else incoming
  A* offsets = nullptr;  // rate - log2 of the sum of powers of 2, where the shift is not shared

  std::int64_t padded() const { return (channels + 15) / 16 * 16; }
  std::int64_t first_other() const { return (own + kTile - 1) / kTile * kTile; }
  std::int64_t end() const { return others > 0 ? first_other() + others : own; }
  std::int64_t own_blocks() const { return (own + span - 1) / span; }
  std::int64_t other_blocks() const { return (others + span - 1) / span; }
};

// Small crops against large ones, for each image: match, or take the given matching; and the
// gradient. Views of SlotRows are crops here.
template <typename T>
struct SmallToLargeTask {
  struct Totals {
    double sum;  // of the losses of pairs that count; NaN where the image is not finite
    std::int64_t counted, pairs;  // slots, and pairs of crops with such a slot
  };

  std::int64_t images, large_crops, large_slots, small_crops, small_slots, channels;
  double eps;
  SlotRows<const T> f, p;
  const std::int64_t* given_matching =
      nullptr;  // [B, Al, As, S]; null: to be computed, with what follows up to `losses`
  std::int64_t* matching = nullptr;  // [B, Al, As, S]
  Totals* totals = nullptr;          // [B]
  T* losses = nullptr;               // [B, Al, As]; null: not wanted, as are statuses
  ImageStatus* statuses = nullptr;   // [B]

  bool has_gradient = false;
  SlotRows<T> gradient{};
  const T* incoming = nullptr;  // [B, Al, As] or one; null stands for ones
  bool incoming_per_pair = false;
  double weight = 1;  // of every incoming gradient
};

// The variance and the covariance of features, tile by tile, group by group; steps that each take
// all the tiles of the one before.
template <typename T>
struct VarianceCovarianceTask {
  using A = typename Computed<T>::Type;
  static constexpr std::int64_t kTile = 32;    // features
  static constexpr std::int64_t kBlock = 128;  // samples
  static constexpr std::int64_t kWholeRows =
      8;  // whole blocks of rows of a product of matrices, on any instruction set

  std::int64_t samples, features;
  const T* x = nullptr;  // of the group
  std::int64_t sample_stride = 0;
  A* centred = nullptr;         // [tiles, rows(), kTile]
  double* variances = nullptr;  // [features]
  double* squares =
      nullptr;  // [pairs of tiles]: the sum of the squares of covariances of two different features

  A* slopes = nullptr;  // [tiles, features, kTile], of the covariances; null: no gradient
  double variance_weight = 0,
         covariance_weight =
             0;       // of a feature's standard deviation, and of a covariance, in the slopes
  double factor = 0;  // of the gradient
  T* gradient = nullptr;
  std::int64_t gradient_stride = 0;

  static constexpr std::int64_t whole(std::int64_t count, std::int64_t of) {
    return (count + of - 1) / of;
  }
  std::int64_t tiles() const { return whole(features, kTile); }
  std::int64_t pairs() const {
    return tiles() % 2 == 0 ? tiles() / 2 * (tiles() + 1) : (tiles() + 1) / 2 * tiles();
  }
  std::int64_t blocks() const { return whole(samples, kBlock); }
  std::int64_t rows() const { return whole(samples, kWholeRows) * kWholeRows; }
};

// Work on the elements [begin, end) of a batch, in `memory` of as many bytes as the other function
// says, aligned to 64.
template <typename T>
struct KernelsOf {
  std::size_t (*assignment_memory)(std::int64_t rows, std::int64_t columns);
  void (*assign)(const AssignmentTask<T>& task, std::int64_t begin, std::int64_t end, void* memory);
  std::size_t (*similarity_memory)(std::int64_t slots, std::int64_t channels);
  void (*similarity)(const SimilarityTask<T>& task, std::int64_t begin, std::int64_t end,
                     void* memory);

  // In memory of kContrastiveMemory bytes. Rows [begin, end): their units; and their gradients,
  // which are `factor` times the slopes of the units.
  void (*read_contrasted)(const ContrastiveProblem<T>& problem, std::int64_t begin,
                          std::int64_t end, void* memory);
  void (*write_contrasted)(const ContrastiveProblem<T>& problem, std::int64_t begin,
                           std::int64_t end, const Ratio& factor, void* memory);
  // All pairs of a row of block x, which is one of the own, and a row of block y >= x: what they
  // add to sums, or to slopes.
  void (*sum_contrasted)(const ContrastiveProblem<T>& problem, std::int64_t x, std::int64_t y,
                         void* memory);
  void (*slope_contrasted)(const ContrastiveProblem<T>& problem, std::int64_t x, std::int64_t y,
                           void* memory);

  std::size_t (*small_to_large_memory)(const SmallToLargeTask<T>& task);
  void (*small_to_large)(const SmallToLargeTask<T>& task, std::int64_t begin, std::int64_t end,
                         void* memory);

  // The steps: of tiles of features, of pairs of tiles (x <= y, row by row), of blocks of samples.
  // In memory of kVarianceMemory bytes.
  void (*centre_features)(const VarianceCovarianceTask<T>& task, std::int64_t begin,
                          std::int64_t end, void* memory);
  void (*covary_features)(const VarianceCovarianceTask<T>& task, std::int64_t begin,
                          std::int64_t end, void* memory);
  void (*write_variance_gradient)(const VarianceCovarianceTask<T>& task, std::int64_t begin,
                                  std::int64_t end, void* memory);
};

inline constexpr std::size_t kVarianceMemory = std::size_t{48} << 10;
inline constexpr double kVarianceFloor = 1e-4;  // under the root of a variance

inline constexpr double kLn2 = 0.69314718055994530942;
inline constexpr std::size_t kContrastiveMemory = std::size_t{48} << 10;

struct Kernels {
  const char* instruction_set;
  KernelsOf<double> f64;
  KernelsOf<float> f32;
  KernelsOf<float16> f16;
  KernelsOf<bfloat16> bf16;
};

extern const Kernels baseline_kernels;
#if defined(OSC_X86_KERNELS)
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
#endif

// The table in use: of the instruction set that was forced, or else of the widest that the
// processor has. Null, and why in `status`, where the environment forces one that there is not.
// Another thread may force another at any time: a call of the library asks once, where it begins,
// and hands the table to all that it calls.
const Kernels* kernels(Status& status) noexcept;

template <typename T>
const KernelsOf<T>& kernels_of(const Kernels& table) noexcept {
  if constexpr (std::is_same_v<T, double>) {
    return table.f64;
  } else if constexpr (std::is_same_v<T, float>) {
    return table.f32;
  } else if constexpr (std::is_same_v<T, float16>) {
    return table.f16;
  } else {
    return table.bf16;
  }
}

}  // namespace osc::cpu
