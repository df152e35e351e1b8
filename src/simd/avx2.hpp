// Vectors of 256 bits: AVX2, FMA and F16C. For files that are compiled with these instructions;
// simd/lanes.hpp says what each operation does.
#pragma once

#include <immintrin.h>

#include "osc/float16.hpp"
#include "simd/lanes.hpp"

namespace osc::cpu {
namespace {

template <>
struct Primitives<float> : Lanes<float, 32> {
  using Lanes::load, Lanes::store;

  static std::uint32_t bits(Mask mask) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(reinterpret_cast<Vector>(mask)));
  }
  static Vector min(Vector a, Vector b) { return _mm256_min_ps(a, b); }
  static Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }
  static Vector mul_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }

  static Vector load_first(const float* x, Index count, float fill) {
    const Mask lanes = first_lanes(count);
    return select(lanes, _mm256_maskload_ps(x, reinterpret_cast<__m256i>(lanes)), set(fill));
  }
  static void store_first(float* x, Index count, Vector a) {
    _mm256_maskstore_ps(x, reinterpret_cast<__m256i>(first_lanes(count)), a);
  }
  static void stream(float* x, Vector a) { _mm256_stream_ps(x, a); }

  template <typename Half>
  static Vector load(const Half* x) {
    return widened<Half>(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
  }
  template <typename Half>
  static Vector load_first(const Half* x, Index count, float fill) {
    Half lanes[kLanes] = {};
    for (Index i = 0; i < count; ++i) lanes[i] = x[i];
    return select(first_lanes(count), load(lanes), set(fill));
  }
  template <typename Half>
  static void store(Half* x, Vector a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(x), narrowed<Half>(a));
  }
  template <typename Half>
  static void store_first(Half* x, Index count, Vector a) {
    Half lanes[kLanes];
    store(lanes, a);
    for (Index i = 0; i < count; ++i) x[i] = lanes[i];
  }
  template <typename Half>
  static void stream(Half* x, Vector a) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(x), narrowed<Half>(a));
  }

 private:
  template <typename Half>
  static Vector widened(__m128i x) {
    if constexpr (std::is_same_v<Half, float16>) return _mm256_cvtph_ps(x);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  }
  template <typename Half>
  static __m128i narrowed(Vector a) {
    if constexpr (std::is_same_v<Half, float16>)
      return _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const auto bits = reinterpret_cast<__m256i>(a);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_srli_epi32(
        _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
  }
};

template <>
struct Primitives<double> : Lanes<double, 32> {
  using Lanes::load;

  static std::uint32_t bits(Mask mask) {
    return static_cast<std::uint32_t>(_mm256_movemask_pd(reinterpret_cast<Vector>(mask)));
  }
  static Vector min(Vector a, Vector b) { return _mm256_min_pd(a, b); }
  static Vector max(Vector a, Vector b) { return _mm256_max_pd(a, b); }
  static Vector mul_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_pd(a, b, c); }

  static Vector load(const float* x) { return _mm256_cvtps_pd(_mm_loadu_ps(x)); }
  static Vector load_first(const double* x, Index count, double fill) {
    const Mask lanes = first_lanes(count);
    return select(lanes, _mm256_maskload_pd(x, reinterpret_cast<__m256i>(lanes)), set(fill));
  }
  static Vector load_first(const float* x, Index count, double fill) {
    const __m128i lanes =
        _mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int>(count)), _mm_setr_epi32(0, 1, 2, 3));
    return select(first_lanes(count), _mm256_cvtps_pd(_mm_maskload_ps(x, lanes)), set(fill));
  }
  static void store_first(double* x, Index count, Vector a) {
    _mm256_maskstore_pd(x, reinterpret_cast<__m256i>(first_lanes(count)), a);
  }
  static void stream(double* x, Vector a) { _mm256_stream_pd(x, a); }
};

inline void fence_streams() { _mm_sfence(); }

inline std::uint64_t any_common_bit(const std::uint64_t* sets, Index count, std::uint64_t set) {
  const __m256i wanted = _mm256_set1_epi64x(static_cast<long long>(set));
  std::uint64_t result = 0;
  for (Index i = 0; i < count; i += 4) {
    const __m256i common =
        _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(sets + i)), wanted);
    const int none =
        _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(common, _mm256_setzero_si256())));
    result |= static_cast<std::uint64_t>(~none & 0xf) << i;
  }
  return result;
}

}  // namespace
}  // namespace osc::cpu
