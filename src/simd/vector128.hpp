// Vectors of 128 bits for any processor: SSE2, NEON, or whatever the compiler makes of its own
// vector types. simd/lanes.hpp says what each operation does.
#pragma once

#include "osc/float16.hpp"
#include "simd/bits16.hpp"
#include "simd/lanes.hpp"

namespace osc::cpu {
namespace {

inline float widened(float x) { return x; }
inline double widened(double x) { return x; }
inline float widened(float16 x) { return float_of_half(x.bits); }
inline float widened(bfloat16 x) { return float_of_bfloat(x.bits); }
inline void round_to(float& target, float x) { target = x; }
inline void round_to(double& target, double x) { target = x; }
inline void round_to(float16& target, float x) { target.bits = half_of_float(x); }
inline void round_to(bfloat16& target, float x) { target.bits = bfloat_of_float(x); }

template <typename T>
struct Primitives : Lanes<T, 16> {
  using Base = Lanes<T, 16>;
  using Base::kLanes, Base::load, Base::store;
  using typename Base::Mask, typename Base::Vector;

  static std::uint32_t bits(Mask mask) {
    std::uint32_t result = 0;
    for (int i = 0; i < kLanes; ++i) result |= static_cast<std::uint32_t>(mask[i] & 1) << i;
    return result;
  }
  static Vector min(Vector a, Vector b) { return a < b ? a : b; }
  static Vector max(Vector a, Vector b) { return a > b ? a : b; }
  static Vector mul_add(Vector a, Vector b, Vector c) { return a * b + c; }

  template <typename Element>
  static Vector load(const Element* x) {
    return load_first(x, kLanes, T(0));
  }
  template <typename Element>
  static Vector load_first(const Element* x, Index count, T fill) {
    Vector a = Base::set(fill);
    for (int i = 0; i < kLanes; ++i) {
      if (i < count) a[i] = widened(x[i]);
    }
    return a;
  }
  template <typename Element>
  static void store(Element* x, Vector a) {
    store_first(x, kLanes, a);
  }
  template <typename Element>
  static void store_first(Element* x, Index count, Vector a) {
    for (int i = 0; i < kLanes; ++i) {
      if (i < count) round_to(x[i], a[i]);
    }
  }
  template <typename Element>
  static void stream(Element* x, Vector a) {
    store(x, a);
  }
};

inline void fence_streams() {}

inline std::uint64_t any_common_bit(const std::uint64_t* sets, Index count, std::uint64_t set) {
  std::uint64_t result = 0;
  for (Index i = 0; i < count; ++i) result |= static_cast<std::uint64_t>((sets[i] & set) != 0) << i;
  return result;
}

}  // namespace
}  // namespace osc::cpu
