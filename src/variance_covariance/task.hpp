// What the kernels of the variance and covariance are given.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/dispatch.hpp"

namespace osc::cpu {

inline constexpr double kVarianceFloor = 1e-4;  // under the root of a variance

// The variance and the covariance of the features of a group, tile by tile, in steps that each take
// all the tiles of the one before.
template <typename T>
struct VarianceCovarianceTask {
  using A = typename Computed<T>::Type;
  static constexpr std::int64_t kTile = 32;    // features
  static constexpr std::int64_t kBlock = 128;  // samples
  // Whole blocks of rows of a product of matrices, on any instruction set.
  static constexpr std::int64_t kWholeRows = 8;

  std::int64_t samples = 0, features = 0;
  std::int64_t tiles = 0;   // of features
  std::int64_t pairs = 0;   // of tiles
  std::int64_t blocks = 0;  // of samples
  std::int64_t rows = 0;    // samples in whole rows
  const T* x = nullptr;     // of the group
  std::int64_t sample_stride = 0;
  A* centred = nullptr;         // [tiles, rows, kTile]
  double* variances = nullptr;  // [features]
  // [pairs]: the sum of the squares of the covariances of two different features
  double* squares = nullptr;

  // [tiles, features, kTile], the gradients of the covariances; null: no gradient
  A* covariance_gradients = nullptr;
  // Of a feature's standard deviation, and of a covariance, in these gradients.
  double variance_weight = 0, covariance_weight = 0;
  double factor = 0;  // of grad_x
  T* grad_x = nullptr;
  std::int64_t grad_x_stride = 0;
};

// The steps, in memory of kVarianceMemory bytes: of tiles of features, of pairs of tiles (x <= y,
// row by row), of blocks of samples.
inline constexpr std::size_t kVarianceMemory = std::size_t{48} << 10;
template <typename T>
struct VarianceCovarianceKernels {
  using Step = void (*)(const VarianceCovarianceTask<T>& task, std::int64_t begin, std::int64_t end,
                        void* memory);
  Step centre, covary, write_gradient;
};

OSC_DECLARE_KERNELS(VarianceCovarianceKernels, variance_covariance_kernels)

}  // namespace osc::cpu
