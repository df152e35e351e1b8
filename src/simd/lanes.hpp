// The vectors that the kernels are written in, Simd<T>. An instruction set provides Primitives<T>,
// on top of Lanes<T, bytes>, which is written in the compiler's own vector types. Compiled once per
// instruction set; see runtime/dispatch.hpp. The operations:
//
//   mask, first_lanes    lanes chosen by the lowest bits, or the first `count`; bits() is the
//                        inverse of mask()
//   select               of two vectors, lane by lane
//   load, store          any alignment. 16-bit numbers are widened, and rounded to nearest even. A
//                        NaN that arithmetic makes stays NaN. Vectors of double load floats, too.
//   load_first           the first `count` lanes from memory; the others are `fill`
//   store_first          the first `count` lanes to memory; nothing beyond them is written
//   stream               a store past the caches; aligned to the bytes of the vector in memory.
//                        fence_streams() after the last one.
//   mul_add              a * b + c, rounded once if the processor can
//   power_of_two         2^n of a whole number n, given as n + kWholeNumbers, whose lowest bits are
//                        those of n
//   min, max             of numbers; any result for NaN
//   least, greatest      of all lanes, in every lane
//   two_smallest         a, b: in every lane the least and the second least of all lanes of both,
//                        given that b is nowhere less than a
//   two_smallest_of_each the same of four pairs a[i], b[i] at once; only where that is faster
//   sum, sums            over the lanes; lane i of sums(a) is the sum of a[i], in the same order
//   zip                  the lanes of a and b by turns: first those of the first halves
//   any_common_bit       bit i of the result: whether sets[i] and `set` have a common bit, for
//                        i < count <= 64; reads up to the next multiple of 8
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "runtime/sizes.hpp"

namespace osc::cpu {
namespace {

template <typename T, int bytes, typename = std::make_index_sequence<bytes / sizeof(T)>>
struct Lanes;
template <typename T, int bytes, std::size_t... i>
struct Lanes<T, bytes, std::index_sequence<i...>> {
  using Integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  typedef T Vector __attribute__((vector_size(bytes)));
  typedef Integer Integers __attribute__((vector_size(bytes)));
  using Mask = Integers;  // all bits of a lane or none
  static constexpr Index kLanes = bytes / sizeof(T);
  static constexpr int kFractionBits = std::numeric_limits<T>::digits - 1;
  static constexpr T kWholeNumbers = T(3) * static_cast<T>(Integer{1} << (kFractionBits - 1));

  static Mask mask(std::uint64_t bits) {
    constexpr Integers kLaneBits = {Integer(Integer{1} << i)...};
    return ((Integers{} + static_cast<Integer>(bits)) & kLaneBits) == kLaneBits;
  }
  static Mask first_lanes(Index count) {
    constexpr Integers kNumbers = {Integer(i)...};
    return kNumbers < Integers{} + static_cast<Integer>(count);
  }
  static Vector select(Mask mask, Vector where_set, Vector elsewhere) {
    return mask ? where_set : elsewhere;
  }
  static Mask less(Vector a, Vector b) { return a < b; }
  static Mask less_equal(Vector a, Vector b) { return a <= b; }
  static Mask equal(Vector a, Vector b) { return a == b; }

  static Vector set(T x) { return x - Vector{}; }  // -0 stays -0
  static T first(Vector a) { return a[0]; }
  static Vector load(const T* x) {
    Vector a;
    __builtin_memcpy(&a, x, sizeof(a));
    return a;
  }
  static void store(T* x, Vector a) { __builtin_memcpy(x, &a, sizeof(a)); }

  static Vector add(Vector a, Vector b) { return a + b; }
  static Vector sub(Vector a, Vector b) { return a - b; }
  static Vector mul(Vector a, Vector b) { return a * b; }
  static Vector abs(Vector a) {
    return reinterpret_cast<Vector>(reinterpret_cast<Integers>(a) &
                                    std::numeric_limits<Integer>::max());
  }
  static Vector power_of_two(Vector shifted) {
    return reinterpret_cast<Vector>((reinterpret_cast<Integers>(shifted) << kFractionBits) +
                                    reinterpret_cast<Integers>(set(1)));
  }

  // a[i ^ step] in lane i.
  template <int step>
  static Vector swapped(Vector a) {
    return __builtin_shufflevector(a, a, (i ^ step)...);
  }
  // The lanes of a where the bit `step` of the lane's number is 0, else those of b.
  template <int step>
  static Vector blended(Vector a, Vector b) {
    return __builtin_shufflevector(a, b, ((i & step) == 0 ? i : i + kLanes)...);
  }
  static void zip(Vector a, Vector b, Vector& low, Vector& high) {
    low = __builtin_shufflevector(a, b, (i / 2 + i % 2 * kLanes)...);
    high = __builtin_shufflevector(a, b, (kLanes / 2 + i / 2 + i % 2 * kLanes)...);
  }
};

// Lanes, with: bits, min, max, mul_add, load_first, store_first, stream, and what is read and
// written as other types than T.
template <typename T>
struct Primitives;

template <typename T>
struct Simd : Primitives<T> {
  using Base = Primitives<T>;
  using Vector = typename Base::Vector;
  static constexpr Index kLanes = Base::kLanes;

  template <int step = 1>
  static Vector least(Vector a) {
    if constexpr (step == kLanes)
      return a;
    else
      return least<2 * step>(Base::min(a, Base::template swapped<step>(a)));
  }
  template <int step = 1>
  static Vector greatest(Vector a) {
    if constexpr (step == kLanes)
      return a;
    else
      return greatest<2 * step>(Base::max(a, Base::template swapped<step>(a)));
  }
  template <int step = 1>
  static void two_smallest(Vector& a, Vector& b) {
    if constexpr (step < kLanes) {
      merge(a, b, Base::template swapped<step>(a), Base::template swapped<step>(b));
      two_smallest<2 * step>(a, b);
    }
  }
  // a, b become the two smallest of four, given that neither b is less than its a.
  static void merge(Vector& a, Vector& b, Vector other_a, Vector other_b) {
    b = Base::min(Base::max(a, other_a), Base::min(b, other_b));
    a = Base::min(a, other_a);
  }
  template <int step = 1>
  static T sum(Vector a) {
    if constexpr (step == kLanes)
      return Base::first(a);
    else
      return sum<2 * step>(a + Base::template swapped<step>(a));
  }
  // Each step adds neighbours of two vectors and joins what is left of them in one.
  template <int step = 1>
  static Vector sums(const Vector (&a)[kLanes / step]) {
    if constexpr (step == kLanes) {
      return a[0];
    } else {
      Vector joined[kLanes / step / 2];
      for (int k = 0; k < kLanes / step / 2; ++k)
        joined[k] =
            Base::template blended<step>(a[2 * k], a[2 * k + 1]) +
            Base::template swapped<step>(Base::template blended<step>(a[2 * k + 1], a[2 * k]));
      return sums<2 * step>(joined);
    }
  }
};

}  // namespace
}  // namespace osc::cpu
