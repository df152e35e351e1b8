// What the kernels of the variance and covariance are given.
#pragma once

#include <cstddef>

#include "runtime/dispatch.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {

inline constexpr double kVarianceFloor = 1e-4;  // under the root of a variance

// The variance and the covariance of the features of a group, tile by tile, in steps that each take
// all the tiles of the one before.
template <typename T>
struct VarianceCovarianceTask {
  using A = typename Computed<T>::Type;
  static constexpr Index kTile = 32;    // features
  static constexpr Index kBlock = 128;  // samples
  // Whole blocks of rows of a product of matrices, on any instruction set.
  static constexpr Index kWholeRows = 8;

  Index samples = 0, features = 0;
  Index tiles = 0;       // of features
  Index pairs = 0;       // of tiles
  Index blocks = 0;      // of samples
  Index rows = 0;        // samples in whole rows
  const T* x = nullptr;  // of the group
  Index sample_stride = 0;
  A* centred = nullptr;         // [tiles, rows, kTile]
  double* variances = nullptr;  // [features]
  // [pairs]: the sum of the squares of the covariances of two different features
  double* squares = nullptr;

  // [tiles, features, kTile], the gradients of the covariances; null: no gradient
  A* covariance_gradients = nullptr;
  // The weights of a feature's standard deviation, and of a covariance, in these gradients.
  double variance_weight = 0, covariance_weight = 0;
  double factor = 0;  // of grad_x
  T* grad_x = nullptr;
  Index grad_x_stride = 0;
};

// The steps work in memory of kVarianceMemory bytes. They take tiles of features, of pairs of tiles
// (x <= y, row by row), of blocks of samples.
inline constexpr std::size_t kVarianceMemory = std::size_t{48} << 10;
template <typename T>
struct VarianceCovarianceKernels {
  using Step = void (*)(const VarianceCovarianceTask<T>& task, Index begin, Index end,
                        void* memory);
  Step centre, covary, write_gradient;
};

OSC_DECLARE_KERNELS(VarianceCovarianceKernels, variance_covariance_kernels)

}  // namespace osc::cpu
