// The rows of a matrix as adjacent numbers of the type that is computed in. Compiled once per
// instruction set; see runtime/dispatch.hpp.
#pragma once

#include "osc/view.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {
namespace {

// Rows of adjacent costs, each to be taken times `sign`, 1 or -1.
template <typename T>
struct CostRows {
  const T* data;
  Index stride;
  T sign;

  const T* row(Index r) const { return data + r * stride; }
};

template <typename T>
class RowPacker {
  using V = Simd<T>;
  using Vector = typename V::Vector;
  static constexpr Index kLanes = V::kLanes;

 public:
  // Into memory of [rows, stride], with stride a multiple of the lanes and at least `columns`.
  // Blocks of as many rows and columns as a vector has lanes, in the order of the given memory.
  template <typename Element>
  static void pack(const View<const Element, 2>& given, T* packed, Index stride) {
    const auto block_at = [&](Index r, Index c) {
      const Index height = at_most_lanes(given.sizes[0] - r),
                  width = at_most_lanes(given.sizes[1] - c);
      const Element* const source = given.data + r * given.strides[0] + c * given.strides[1];
      T* const target = packed + r * stride + c;
      if (given.strides[0] == 1) {
        Vector a[kLanes];
        for (Index k = 0; k < kLanes; ++k)
          a[k] = load(source + (k < width ? k : 0) * given.strides[1], height);
        transpose(a);
        for (Index k = 0; k < height; ++k) V::store(target + k * stride, a[k]);
      } else if (given.strides[1] == 1) {
        for (Index k = 0; k < height; ++k)
          V::store(target + k * stride, load(source + k * given.strides[0], width));
      } else {
        for (Index k = 0; k < height; ++k) {
          for (Index i = 0; i < width; ++i) {
            target[k * stride + i] = V::first(
                V::load_first(source + k * given.strides[0] + i * given.strides[1], 1, T(0)));
          }
        }
      }
    };
    if (given.strides[0] == 1) {
      for (Index c = 0; c < given.sizes[1]; c += kLanes) {
        for (Index r = 0; r < given.sizes[0]; r += kLanes) block_at(r, c);
      }
    } else {
      for (Index r = 0; r < given.sizes[0]; r += kLanes) {
        for (Index c = 0; c < given.sizes[1]; c += kLanes) block_at(r, c);
      }
    }
  }

 private:
  static Index at_most_lanes(Index count) { return count < kLanes ? count : kLanes; }

  template <typename Element>
  static Vector load(const Element* x, Index count) {
    return count == kLanes ? V::load(x) : V::load_first(x, count, T(0));
  }

  // Each round moves the first bit of the row index to the end of the column index. After
  // log2(kLanes) rounds, rows and columns have changed places.
  static void transpose(Vector (&a)[kLanes]) {
    for (Index round = 1; round < kLanes; round *= 2) {
      Vector b[kLanes];
      for (Index k = 0; k < kLanes / 2; ++k)
        V::zip(a[k], a[k + kLanes / 2], b[2 * k], b[2 * k + 1]);
      for (Index k = 0; k < kLanes; ++k) a[k] = b[k];
    }
  }
};

}  // namespace
}  // namespace osc::cpu
