// Vectors of 128 bits in the compiler's own vector types: SSE2, NEON, or whatever the target has.
// The operations that the kernels are written in:
//
//   mask, first_lanes      lanes chosen by the lowest bits, or the first `count`; bits() is the way
//                          back
//   select                 lane by lane
//   load, store            any alignment; 16-bit numbers are widened and rounded to nearest even on
//                          the way; of NaN, only the one that arithmetic makes is sure to stay one.
//                          Vectors of double load floats, too.
//   load_first             the first `count` lanes from memory, nothing beyond them is touched; the
//                          others are `fill`
//   store_first            the first `count` lanes to memory, nothing beyond them is touched
//   stream                 a store that leaves the caches alone; aligned to the vector's bytes in
//                          memory. fence_streams() after the last one.
//   mul_add                a * b + c, rounded once where the processor can
//   power_of_two           2^n of a whole number n, given as n + kWholeNumbers, whose lowest bits
//                          are those of n
//   min, max               of numbers; any result for NaN
//   least, greatest        of all lanes, in every lane
//   two_smallest              a, b: in every lane the least and the second least of all lanes of
//   both,
//                          given that b is nowhere less than a
//   two_smallest_of_each      the same of four pairs a[i], b[i] at once; not every instruction set
//   has
//                          a faster way for that
//   sum, sums              over the lanes; sums: lane i of the result is the sum of a[i], each
//                          added in the same order
//   zip                    the lanes of a and b by turns: those of the first halves, and those of
//                          the second
//   any_common_bit         bit i of the result: whether sets[i] and `set` have a bit in common, for
//                          i < count <= 64; more may be read, up to the next multiple of 8
#pragma once

#include <cstdint>

#include "osc/float16.hpp"
#include "simd/bits16.hpp"

namespace osc::cpu {
namespace {

template <typename T>
struct Vector128;
template <>
struct Vector128<float> {
  typedef float Floats __attribute__((vector_size(16)));
  typedef std::int32_t Integers __attribute__((vector_size(16)));
};
template <>
struct Vector128<double> {
  typedef double Floats __attribute__((vector_size(16)));
  typedef std::int64_t Integers __attribute__((vector_size(16)));
};

inline float widened(float x) { return x; }
inline double widened(double x) { return x; }
inline float widened(float16 x) { return float_of_half(x.bits); }
inline float widened(bfloat16 x) { return float_of_bfloat(x.bits); }
inline void round_to(float& target, float x) { target = x; }
inline void round_to(double& target, double x) { target = x; }
inline void round_to(float16& target, float x) { target.bits = half_of_float(x); }
inline void round_to(bfloat16& target, float x) { target.bits = bfloat_of_float(x); }

template <typename T>
struct Simd {
  using Vector = typename Vector128<T>::Floats;
  using Mask = typename Vector128<T>::Integers;
  static constexpr std::int64_t kLanes = 16 / sizeof(T);

  static Mask mask(std::uint64_t bits) {
    Mask result;
    for (int i = 0; i < kLanes; ++i) result[i] = -static_cast<int>(bits >> i & 1);
    return result;
  }
  static Mask first_lanes(std::int64_t count) { return mask((std::uint64_t{1} << count) - 1); }
  static std::uint32_t bits(Mask mask) {
    std::uint32_t result = 0;
    for (int i = 0; i < kLanes; ++i) result |= static_cast<std::uint32_t>(mask[i] & 1) << i;
    return result;
  }
  static Vector select(Mask mask, Vector where_set, Vector elsewhere) {
    return reinterpret_cast<Vector>((mask & reinterpret_cast<Mask>(where_set)) |
                                    (~mask & reinterpret_cast<Mask>(elsewhere)));
  }

  static constexpr T kWholeNumbers = sizeof(T) == 4 ? T(0x1.8p23) : T(0x1.8p52);
  static Vector power_of_two(Vector shifted) {
    constexpr int kFractionBits = sizeof(T) == 4 ? 23 : 52;
    return reinterpret_cast<Vector>((reinterpret_cast<Mask>(shifted) << kFractionBits) +
                                    reinterpret_cast<Mask>(set(1)));
  }

  static Vector set(T x) { return Vector{} + x; }
  template <typename Element>
  static Vector load(const Element* x) {
    return load_first(x, kLanes, T(0));
  }
  static Vector load(const T* x) {
    Vector a;
    __builtin_memcpy(&a, x, sizeof(a));
    return a;
  }
  template <typename Element>
  static Vector load_first(const Element* x, std::int64_t count, T fill) {
    Vector a = set(fill);
    for (int i = 0; i < kLanes; ++i) {
      if (i < count) a[i] = widened(x[i]);
    }
    return a;
  }
  template <typename Element>
  static void store(Element* x, Vector a) {
    store_first(x, kLanes, a);
  }
  static void store(T* x, Vector a) { __builtin_memcpy(x, &a, sizeof(a)); }
  template <typename Element>
  static void store_first(Element* x, std::int64_t count, Vector a) {
    for (int i = 0; i < kLanes; ++i) {
      if (i < count) round_to(x[i], a[i]);
    }
  }
  template <typename Element>
  static void stream(Element* x, Vector a) {
    store(x, a);
  }

  static Vector add(Vector a, Vector b) { return a + b; }
  static Vector sub(Vector a, Vector b) { return a - b; }
  static Vector mul(Vector a, Vector b) { return a * b; }
  static Vector mul_add(Vector a, Vector b, Vector c) { return a * b + c; }
  static Vector min(Vector a, Vector b) { return select(a < b, a, b); }
  static Vector max(Vector a, Vector b) { return select(a > b, a, b); }
  static Vector abs(Vector a) { return select(a < set(0), -a, a); }
  static Mask less(Vector a, Vector b) { return a < b; }
  static Mask less_equal(Vector a, Vector b) { return a <= b; }
  static Mask equal(Vector a, Vector b) { return a == b; }

  static T first(Vector a) { return a[0]; }
  static Vector least(Vector a) {
    T result = a[0];
    for (int i = 1; i < kLanes; ++i) result = a[i] < result ? a[i] : result;
    return set(result);
  }
  static Vector greatest(Vector a) {
    T result = a[0];
    for (int i = 1; i < kLanes; ++i) result = a[i] > result ? a[i] : result;
    return set(result);
  }
  static void two_smallest(Vector& a, Vector& b) {
    T first = a[0], second = b[0];
    for (int i = 1; i < kLanes; ++i) {
      const T larger = first < a[i] ? a[i] : first;
      second = second < b[i] ? second : b[i];
      second = second < larger ? second : larger;
      first = first < a[i] ? first : a[i];
    }
    a = set(first);
    b = set(second);
  }
  static T sum(Vector a) {
    if constexpr (kLanes == 2) {
      return a[0] + a[1];
    } else {
      return (a[0] + a[2]) + (a[1] + a[3]);
    }
  }
  static void zip(Vector a, Vector b, Vector& low, Vector& high) {
    Vector both[2] = {a, b};
    for (int i = 0; i < kLanes; ++i) {
      both[2 * i / kLanes][2 * i % kLanes] = a[i];
      both[2 * i / kLanes][2 * i % kLanes + 1] = b[i];
    }
    low = both[0];
    high = both[1];
  }
  static Vector sums(const Vector (&a)[kLanes]) {
    Vector result;
    for (int i = 0; i < kLanes; ++i) result[i] = sum(a[i]);
    return result;
  }
};

inline void fence_streams() {}

inline std::uint64_t any_common_bit(const std::uint64_t* sets, std::int64_t count,
                                    std::uint64_t set) {
  std::uint64_t result = 0;
  for (std::int64_t i = 0; i < count; ++i)
    result |= static_cast<std::uint64_t>((sets[i] & set) != 0) << i;
  return result;
}

}  // namespace
}  // namespace osc::cpu
