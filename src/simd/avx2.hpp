// Vectors of 256 bits: AVX2, FMA and F16C. For files that are compiled with these instructions;
// simd/vector128.hpp says what each operation does.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "osc/float16.hpp"

namespace osc::cpu {
namespace {

template <typename T>
struct Simd;

template <>
struct Simd<float> {
  using Vector = __m256;
  using Mask = __m256;  // all bits of a lane or none
  static constexpr std::int64_t kLanes = 8;

  static Mask mask(std::uint64_t bits) {
    const __m256i lane_bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set_bits =
        _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits & 0xff)), lane_bits);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(set_bits, lane_bits));
  }
  static Mask first_lanes(std::int64_t count) {
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                                                  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
  }
  static std::uint32_t bits(Mask mask) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(mask));
  }
  static Vector select(Mask mask, Vector where_set, Vector elsewhere) {
    return _mm256_blendv_ps(elsewhere, where_set, mask);
  }

  static Vector set(float x) { return _mm256_set1_ps(x); }
  static Vector load(const float* x) { return _mm256_loadu_ps(x); }
  static Vector load(const float16* x) { return _mm256_cvtph_ps(load16(x)); }
  static Vector load(const bfloat16* x) { return from_bfloat16(load16(x)); }
  static Vector load_first(const float* x, std::int64_t count, float fill) {
    const Mask lanes = first_lanes(count);
    return select(lanes, _mm256_maskload_ps(x, _mm256_castps_si256(lanes)), set(fill));
  }
  static Vector load_first(const float16* x, std::int64_t count, float fill) {
    return select(first_lanes(count), _mm256_cvtph_ps(load16_first(x, count)), set(fill));
  }
  static Vector load_first(const bfloat16* x, std::int64_t count, float fill) {
    return select(first_lanes(count), from_bfloat16(load16_first(x, count)), set(fill));
  }
  static void store(float* x, Vector a) { _mm256_storeu_ps(x, a); }
  static void store(float16* x, Vector a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(x), to_float16(a));
  }
  static void store(bfloat16* x, Vector a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(x), to_bfloat16(a));
  }
  static void store_first(float* x, std::int64_t count, Vector a) {
    _mm256_maskstore_ps(x, _mm256_castps_si256(first_lanes(count)), a);
  }
  static void store_first(float16* x, std::int64_t count, Vector a) {
    store16_first(x, count, to_float16(a));
  }
  static void store_first(bfloat16* x, std::int64_t count, Vector a) {
    store16_first(x, count, to_bfloat16(a));
  }
  static void stream(float* x, Vector a) { _mm256_stream_ps(x, a); }
  static void stream(float16* x, Vector a) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(x), to_float16(a));
  }
  static void stream(bfloat16* x, Vector a) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(x), to_bfloat16(a));
  }

  static Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static Vector sub(Vector a, Vector b) { return _mm256_sub_ps(a, b); }
  static Vector mul(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  static Vector mul_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static constexpr float kWholeNumbers = 0x1.8p23f;
  static Vector power_of_two(Vector shifted) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(shifted), 23),
                                                _mm256_castps_si256(set(1))));
  }
  static Vector min(Vector a, Vector b) { return _mm256_min_ps(a, b); }
  static Vector max(Vector a, Vector b) { return _mm256_max_ps(a, b); }
  static Vector abs(Vector a) { return _mm256_andnot_ps(set(-0.0f), a); }
  static Mask less(Vector a, Vector b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  static Mask less_equal(Vector a, Vector b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
  static Mask equal(Vector a, Vector b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }

  static float first(Vector a) { return _mm256_cvtss_f32(a); }
  static Vector least(Vector a) {
    a = min(a, halves(a));
    a = min(a, pairs(a));
    return min(a, neighbours(a));
  }
  static Vector greatest(Vector a) {
    a = max(a, halves(a));
    a = max(a, pairs(a));
    return max(a, neighbours(a));
  }
  static void two_smallest(Vector& a, Vector& b) {
    merge(a, b, halves(a), halves(b));
    merge(a, b, pairs(a), pairs(b));
    merge(a, b, neighbours(a), neighbours(b));
  }
  static void zip(Vector a, Vector b, Vector& low, Vector& high) {
    const Vector even = _mm256_unpacklo_ps(a, b), odd = _mm256_unpackhi_ps(a, b);
    low = _mm256_permute2f128_ps(even, odd, 0x20);
    high = _mm256_permute2f128_ps(even, odd, 0x31);
  }
  static Vector sums(const Vector (&a)[kLanes]) {
    const Vector low = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
    const Vector high = _mm256_hadd_ps(_mm256_hadd_ps(a[4], a[5]), _mm256_hadd_ps(a[6], a[7]));
    return add(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
  }
  static float sum(Vector a) {
    a = add(a, neighbours(a));
    a = add(a, pairs(a));
    return first(add(a, halves(a)));
  }

 private:
  static Vector halves(Vector a) { return _mm256_permute2f128_ps(a, a, 0x01); }
  static Vector pairs(Vector a) { return _mm256_permute_ps(a, 0x4e); }
  static Vector neighbours(Vector a) { return _mm256_permute_ps(a, 0xb1); }
  static void merge(Vector& a, Vector& b, Vector other_a, Vector other_b) {
    b = min(max(a, other_a), min(b, other_b));
    a = min(a, other_a);
  }
  template <typename Half>
  static __m128i load16(const Half* x) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
  }
  template <typename Half>
  static __m128i load16_first(const Half* x, std::int64_t count) {
    alignas(16) Half lanes[kLanes] = {};
    for (std::int64_t i = 0; i < count; ++i) lanes[i] = x[i];
    return load16(lanes);
  }
  template <typename Half>
  static void store16_first(Half* x, std::int64_t count, __m128i a) {
    alignas(16) Half lanes[kLanes];
    _mm_store_si128(reinterpret_cast<__m128i*>(lanes), a);
    for (std::int64_t i = 0; i < count; ++i) x[i] = lanes[i];
  }
  static Vector from_bfloat16(__m128i x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  }
  static __m128i to_float16(Vector a) {
    return _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static __m128i to_bfloat16(Vector a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i high = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_srli_epi32(
        _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
  }
};

template <>
struct Simd<double> {
  using Vector = __m256d;
  using Mask = __m256d;
  static constexpr std::int64_t kLanes = 4;

  static Mask mask(std::uint64_t bits) {
    const __m256i lane_bits = _mm256_setr_epi64x(1, 2, 4, 8);
    const __m256i set_bits =
        _mm256_and_si256(_mm256_set1_epi64x(static_cast<long long>(bits & 0xf)), lane_bits);
    return _mm256_castsi256_pd(_mm256_cmpeq_epi64(set_bits, lane_bits));
  }
  static Mask first_lanes(std::int64_t count) {
    return _mm256_castsi256_pd(
        _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3)));
  }
  static std::uint32_t bits(Mask mask) {
    return static_cast<std::uint32_t>(_mm256_movemask_pd(mask));
  }
  static Vector select(Mask mask, Vector where_set, Vector elsewhere) {
    return _mm256_blendv_pd(elsewhere, where_set, mask);
  }

  static Vector set(double x) { return _mm256_set1_pd(x); }
  static Vector load(const double* x) { return _mm256_loadu_pd(x); }
  static Vector load(const float* x) { return _mm256_cvtps_pd(_mm_loadu_ps(x)); }
  static Vector load_first(const double* x, std::int64_t count, double fill) {
    const Mask lanes = first_lanes(count);
    return select(lanes, _mm256_maskload_pd(x, _mm256_castpd_si256(lanes)), set(fill));
  }
  static Vector load_first(const float* x, std::int64_t count, float fill) {
    const __m128i lanes =
        _mm_cmpgt_epi32(_mm_set1_epi32(static_cast<int>(count)), _mm_setr_epi32(0, 1, 2, 3));
    return select(first_lanes(count), _mm256_cvtps_pd(_mm_maskload_ps(x, lanes)), set(fill));
  }
  static void store(double* x, Vector a) { _mm256_storeu_pd(x, a); }
  static void store_first(double* x, std::int64_t count, Vector a) {
    _mm256_maskstore_pd(x, _mm256_castpd_si256(first_lanes(count)), a);
  }
  static void stream(double* x, Vector a) { _mm256_stream_pd(x, a); }

  static Vector add(Vector a, Vector b) { return _mm256_add_pd(a, b); }
  static Vector sub(Vector a, Vector b) { return _mm256_sub_pd(a, b); }
  static Vector mul(Vector a, Vector b) { return _mm256_mul_pd(a, b); }
  static Vector mul_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_pd(a, b, c); }
  static constexpr double kWholeNumbers = 0x1.8p52;
  static Vector power_of_two(Vector shifted) {
    return _mm256_castsi256_pd(_mm256_add_epi64(_mm256_slli_epi64(_mm256_castpd_si256(shifted), 52),
                                                _mm256_castpd_si256(set(1))));
  }
  static Vector min(Vector a, Vector b) { return _mm256_min_pd(a, b); }
  static Vector max(Vector a, Vector b) { return _mm256_max_pd(a, b); }
  static Vector abs(Vector a) { return _mm256_andnot_pd(set(-0.0), a); }
  static Mask less(Vector a, Vector b) { return _mm256_cmp_pd(a, b, _CMP_LT_OQ); }
  static Mask less_equal(Vector a, Vector b) { return _mm256_cmp_pd(a, b, _CMP_LE_OQ); }
  static Mask equal(Vector a, Vector b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }

  static double first(Vector a) { return _mm256_cvtsd_f64(a); }
  static Vector least(Vector a) {
    a = min(a, halves(a));
    return min(a, neighbours(a));
  }
  static Vector greatest(Vector a) {
    a = max(a, halves(a));
    return max(a, neighbours(a));
  }
  static void two_smallest(Vector& a, Vector& b) {
    merge(a, b, halves(a), halves(b));
    merge(a, b, neighbours(a), neighbours(b));
  }
  static void zip(Vector a, Vector b, Vector& low, Vector& high) {
    const Vector even = _mm256_unpacklo_pd(a, b), odd = _mm256_unpackhi_pd(a, b);
    low = _mm256_permute2f128_pd(even, odd, 0x20);
    high = _mm256_permute2f128_pd(even, odd, 0x31);
  }
  static Vector sums(const Vector (&a)[kLanes]) {
    const Vector low = _mm256_hadd_pd(a[0], a[1]), high = _mm256_hadd_pd(a[2], a[3]);
    return add(_mm256_permute2f128_pd(low, high, 0x20), _mm256_permute2f128_pd(low, high, 0x31));
  }
  static double sum(Vector a) {
    a = add(a, neighbours(a));
    return first(add(a, halves(a)));
  }

 private:
  static Vector halves(Vector a) { return _mm256_permute2f128_pd(a, a, 0x01); }
  static Vector neighbours(Vector a) { return _mm256_permute_pd(a, 0x5); }
  static void merge(Vector& a, Vector& b, Vector other_a, Vector other_b) {
    b = min(max(a, other_a), min(b, other_b));
    a = min(a, other_a);
  }
};

inline void fence_streams() { _mm_sfence(); }

inline std::uint64_t any_common_bit(const std::uint64_t* sets, std::int64_t count,
                                    std::uint64_t set) {
  const __m256i wanted = _mm256_set1_epi64x(static_cast<long long>(set));
  std::uint64_t result = 0;
  for (std::int64_t i = 0; i < count; i += 4) {
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
