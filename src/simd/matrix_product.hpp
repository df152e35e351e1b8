// Products of matrices that lie in the caches. Compiled once per instruction set; see
// runtime/dispatch.hpp.
#pragma once

#include "runtime/sizes.hpp"

namespace osc::cpu {
namespace {

template <typename A>
class MatrixProduct {
  using V = Simd<A>;
  using Vector = typename V::Vector;
  static constexpr Index kLanes = V::kLanes;

 public:
  static constexpr Index kRows =
      kLanes * sizeof(A) == 64 ? 8 : 4;  // a block of kRows x 2 vectors fits in the registers

  // out (+)= a b, with a[i, k] at a + i * a_row + k * a_depth, in blocks of kRows rows by two
  // vectors. Rows up to the next multiple of kRows are read and written. Every element adds its
  // products in the order of k, wherever it lies.
  template <bool kAdds>
  static void multiply(const A* a, Index a_row, Index a_depth, Index rows, const A* b,
                       Index b_depth, Index vectors, Index depth, A* out, Index out_row) {
    Index v = 0;
    for (; v + 2 <= vectors; v += 2) {
      for (Index i = 0; i < rows; i += kRows)
        block<2, kAdds>(a + i * a_row, a_row, a_depth, b + v * kLanes, b_depth, depth,
                        out + i * out_row + v * kLanes, out_row);
    }
    if (v == vectors) return;
    for (Index i = 0; i < rows; i += kRows)
      block<1, kAdds>(a + i * a_row, a_row, a_depth, b + v * kLanes, b_depth, depth,
                      out + i * out_row + v * kLanes, out_row);
  }

 private:
  // A function of its own, so that nothing else competes for the registers.
  template <int kColumns, bool kAdds>
  [[gnu::noinline]] static void block(const A* a, Index a_row, Index a_depth, const A* b,
                                      Index b_depth, Index depth, A* out, Index out_row) {
    Vector products[kRows][kColumns];
    for (Index i = 0; i < kRows; ++i) {
      for (int j = 0; j < kColumns; ++j) products[i][j] = V::set(0);
    }
    for (Index k = 0; k < depth; ++k) {
      Vector right[kColumns];
      for (int j = 0; j < kColumns; ++j) right[j] = V::load(b + k * b_depth + j * kLanes);
      for (Index i = 0; i < kRows; ++i) {
        const Vector left = V::set(a[i * a_row + k * a_depth]);
        for (int j = 0; j < kColumns; ++j)
          products[i][j] = V::mul_add(left, right[j], products[i][j]);
      }
    }
    for (Index i = 0; i < kRows; ++i) {
      for (int j = 0; j < kColumns; ++j) {
        A* const target = out + i * out_row + j * kLanes;
        V::store(target, kAdds ? V::add(V::load(target), products[i][j]) : products[i][j]);
      }
    }
  }
};

}  // namespace
}  // namespace osc::cpu
