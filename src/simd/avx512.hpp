// Vectors of 512 bits: AVX-512 F, BW, DQ and VL. For files that are compiled with these
// instructions; simd/vector128.hpp says what each operation does.
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
  using Vector = __m512;
  using Mask = __mmask16;
  static constexpr std::int64_t kLanes = 16;

  static Mask mask(std::uint64_t bits) { return static_cast<Mask>(bits); }
  static Mask first_lanes(std::int64_t count) { return static_cast<Mask>((1u << count) - 1); }
  static std::uint32_t bits(Mask mask) { return mask; }
  static Vector select(Mask mask, Vector where_set, Vector elsewhere) {
    return _mm512_mask_blend_ps(mask, elsewhere, where_set);
  }

  static Vector set(float x) { return _mm512_set1_ps(x); }
  static Vector load(const float* x) { return _mm512_loadu_ps(x); }
  static Vector load(const float16* x) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
  }
  static Vector load(const bfloat16* x) {
    return from_bfloat16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
  }
  static Vector load_first(const float* x, std::int64_t count, float fill) {
    return _mm512_mask_loadu_ps(set(fill), first_lanes(count), x);
  }
  static Vector load_first(const float16* x, std::int64_t count, float fill) {
    return select(first_lanes(count),
                  _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(count), x)), set(fill));
  }
  static Vector load_first(const bfloat16* x, std::int64_t count, float fill) {
    return select(first_lanes(count),
                  from_bfloat16(_mm256_maskz_loadu_epi16(first_lanes(count), x)), set(fill));
  }
  static void store(float* x, Vector a) { _mm512_storeu_ps(x, a); }
  static void store(float16* x, Vector a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(x), to_float16(a));
  }
  static void store(bfloat16* x, Vector a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(x), to_bfloat16(a));
  }
  static void store_first(float* x, std::int64_t count, Vector a) {
    _mm512_mask_storeu_ps(x, first_lanes(count), a);
  }
  static void store_first(float16* x, std::int64_t count, Vector a) {
    _mm256_mask_storeu_epi16(x, first_lanes(count), to_float16(a));
  }
  static void store_first(bfloat16* x, std::int64_t count, Vector a) {
    _mm256_mask_storeu_epi16(x, first_lanes(count), to_bfloat16(a));
  }
  static void stream(float* x, Vector a) { _mm512_stream_ps(x, a); }
  static void stream(float16* x, Vector a) {
    _mm256_stream_si256(reinterpret_cast<__m256i*>(x), to_float16(a));
  }
  static void stream(bfloat16* x, Vector a) {
    _mm256_stream_si256(reinterpret_cast<__m256i*>(x), to_bfloat16(a));
  }

  static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static Vector sub(Vector a, Vector b) { return _mm512_sub_ps(a, b); }
  static Vector mul(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  static Vector mul_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static constexpr float kWholeNumbers = 0x1.8p23f;
  static Vector power_of_two(Vector shifted) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(shifted), 23),
                                                _mm512_castps_si512(set(1))));
  }
  static Vector min(Vector a, Vector b) { return _mm512_min_ps(a, b); }
  static Vector max(Vector a, Vector b) { return _mm512_max_ps(a, b); }
  static Vector abs(Vector a) { return _mm512_abs_ps(a); }
  static Mask less(Vector a, Vector b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static Mask less_equal(Vector a, Vector b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
  static Mask equal(Vector a, Vector b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }

  static float first(Vector a) { return _mm512_cvtss_f32(a); }
  static Vector least(Vector a) {
    a = min(a, halves(a));
    a = min(a, quarters(a));
    a = min(a, pairs(a));
    return min(a, neighbours(a));
  }
  static Vector greatest(Vector a) {
    a = max(a, halves(a));
    a = max(a, quarters(a));
    a = max(a, pairs(a));
    return max(a, neighbours(a));
  }
  static void two_smallest(Vector& a, Vector& b) {
    merge(a, b, halves(a), halves(b));
    merge(a, b, quarters(a), quarters(b));
    merge(a, b, pairs(a), pairs(b));
    merge(a, b, neighbours(a), neighbours(b));
  }
  static void two_smallest_of_each(Vector (&a)[4], Vector (&b)[4]) {
    // Lanes of two pairs alternate after the first step, of all four after the second; then each
    // quarter holds what is left of all.
    Vector pair_a[2], pair_b[2];
    for (int i = 0; i < 2; ++i) {
      pair_a[i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]);
      pair_b[i] = _mm512_unpacklo_ps(b[2 * i], b[2 * i + 1]);
      merge(pair_a[i], pair_b[i], _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]),
            _mm512_unpackhi_ps(b[2 * i], b[2 * i + 1]));
    }
    Vector all_a = _mm512_shuffle_ps(pair_a[0], pair_a[1], 0x44),
           all_b = _mm512_shuffle_ps(pair_b[0], pair_b[1], 0x44);
    merge(all_a, all_b, _mm512_shuffle_ps(pair_a[0], pair_a[1], 0xee),
          _mm512_shuffle_ps(pair_b[0], pair_b[1], 0xee));
    merge(all_a, all_b, halves(all_a), halves(all_b));
    merge(all_a, all_b, quarters(all_a), quarters(all_b));
    a[0] = _mm512_permute_ps(all_a, 0x00), b[0] = _mm512_permute_ps(all_b, 0x00);
    a[1] = _mm512_permute_ps(all_a, 0x55), b[1] = _mm512_permute_ps(all_b, 0x55);
    a[2] = _mm512_permute_ps(all_a, 0xaa), b[2] = _mm512_permute_ps(all_b, 0xaa);
    a[3] = _mm512_permute_ps(all_a, 0xff), b[3] = _mm512_permute_ps(all_b, 0xff);
  }
  static void zip(Vector a, Vector b, Vector& low, Vector& high) {
    low = _mm512_permutex2var_ps(
        a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), b);
    high = _mm512_permutex2var_ps(
        a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), b);
  }
  static Vector sums(const Vector (&a)[kLanes]) {
    Vector quads[4];
    for (int i = 0; i < 4; ++i) {
      const Vector low = add(_mm512_unpacklo_ps(a[4 * i], a[4 * i + 1]),
                             _mm512_unpackhi_ps(a[4 * i], a[4 * i + 1]));
      const Vector high = add(_mm512_unpacklo_ps(a[4 * i + 2], a[4 * i + 3]),
                              _mm512_unpackhi_ps(a[4 * i + 2], a[4 * i + 3]));
      quads[i] = add(_mm512_shuffle_ps(low, high, 0x44), _mm512_shuffle_ps(low, high, 0xee));
    }
    const Vector low = add(_mm512_shuffle_f32x4(quads[0], quads[1], 0x88),
                           _mm512_shuffle_f32x4(quads[0], quads[1], 0xdd));
    const Vector high = add(_mm512_shuffle_f32x4(quads[2], quads[3], 0x88),
                            _mm512_shuffle_f32x4(quads[2], quads[3], 0xdd));
    return add(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
  }
  static float sum(Vector a) {
    a = add(a, neighbours(a));
    a = add(a, pairs(a));
    a = add(a, quarters(a));
    return first(add(a, halves(a)));
  }

 private:
  static Vector halves(Vector a) { return _mm512_shuffle_f32x4(a, a, 0x4e); }
  static Vector quarters(Vector a) { return _mm512_shuffle_f32x4(a, a, 0xb1); }
  static Vector pairs(Vector a) { return _mm512_permute_ps(a, 0x4e); }
  static Vector neighbours(Vector a) { return _mm512_permute_ps(a, 0xb1); }
  static void merge(Vector& a, Vector& b, Vector other_a, Vector other_b) {
    b = min(max(a, other_a), min(b, other_b));
    a = min(a, other_a);
  }
  static Vector from_bfloat16(__m256i x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
  }
  static __m256i to_float16(Vector a) {
    return _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static __m256i to_bfloat16(Vector a) {
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(
        _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16));
  }
};

template <>
struct Simd<double> {
  using Vector = __m512d;
  using Mask = __mmask8;
  static constexpr std::int64_t kLanes = 8;

  static Mask mask(std::uint64_t bits) { return static_cast<Mask>(bits); }
  static Mask first_lanes(std::int64_t count) { return static_cast<Mask>((1u << count) - 1); }
  static std::uint32_t bits(Mask mask) { return mask; }
  static Vector select(Mask mask, Vector where_set, Vector elsewhere) {
    return _mm512_mask_blend_pd(mask, elsewhere, where_set);
  }

  static Vector set(double x) { return _mm512_set1_pd(x); }
  static Vector load(const double* x) { return _mm512_loadu_pd(x); }
  static Vector load(const float* x) { return _mm512_cvtps_pd(_mm256_loadu_ps(x)); }
  static Vector load_first(const double* x, std::int64_t count, double fill) {
    return _mm512_mask_loadu_pd(set(fill), first_lanes(count), x);
  }
  static Vector load_first(const float* x, std::int64_t count, float fill) {
    return _mm512_cvtps_pd(_mm256_mask_loadu_ps(_mm256_set1_ps(fill), first_lanes(count), x));
  }
  static void store(double* x, Vector a) { _mm512_storeu_pd(x, a); }
  static void store_first(double* x, std::int64_t count, Vector a) {
    _mm512_mask_storeu_pd(x, first_lanes(count), a);
  }
  static void stream(double* x, Vector a) { _mm512_stream_pd(x, a); }

  static Vector add(Vector a, Vector b) { return _mm512_add_pd(a, b); }
  static Vector sub(Vector a, Vector b) { return _mm512_sub_pd(a, b); }
  static Vector mul(Vector a, Vector b) { return _mm512_mul_pd(a, b); }
  static Vector mul_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_pd(a, b, c); }
  static constexpr double kWholeNumbers = 0x1.8p52;
  static Vector power_of_two(Vector shifted) {
    return _mm512_castsi512_pd(_mm512_add_epi64(_mm512_slli_epi64(_mm512_castpd_si512(shifted), 52),
                                                _mm512_castpd_si512(set(1))));
  }
  static Vector min(Vector a, Vector b) { return _mm512_min_pd(a, b); }
  static Vector max(Vector a, Vector b) { return _mm512_max_pd(a, b); }
  static Vector abs(Vector a) { return _mm512_abs_pd(a); }
  static Mask less(Vector a, Vector b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
  static Mask less_equal(Vector a, Vector b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
  static Mask equal(Vector a, Vector b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }

  static double first(Vector a) { return _mm512_cvtsd_f64(a); }
  static Vector least(Vector a) {
    a = min(a, halves(a));
    a = min(a, quarters(a));
    return min(a, neighbours(a));
  }
  static Vector greatest(Vector a) {
    a = max(a, halves(a));
    a = max(a, quarters(a));
    return max(a, neighbours(a));
  }
  static void two_smallest(Vector& a, Vector& b) {
    merge(a, b, halves(a), halves(b));
    merge(a, b, quarters(a), quarters(b));
    merge(a, b, neighbours(a), neighbours(b));
  }
  static void zip(Vector a, Vector b, Vector& low, Vector& high) {
    low = _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b);
    high = _mm512_permutex2var_pd(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b);
  }
  static Vector sums(const Vector (&a)[kLanes]) {
    Vector pairs[4];
    for (int i = 0; i < 4; ++i)
      pairs[i] = add(_mm512_unpacklo_pd(a[2 * i], a[2 * i + 1]),
                     _mm512_unpackhi_pd(a[2 * i], a[2 * i + 1]));
    const Vector low = add(_mm512_shuffle_f64x2(pairs[0], pairs[1], 0x88),
                           _mm512_shuffle_f64x2(pairs[0], pairs[1], 0xdd));
    const Vector high = add(_mm512_shuffle_f64x2(pairs[2], pairs[3], 0x88),
                            _mm512_shuffle_f64x2(pairs[2], pairs[3], 0xdd));
    return add(_mm512_shuffle_f64x2(low, high, 0x88), _mm512_shuffle_f64x2(low, high, 0xdd));
  }
  static double sum(Vector a) {
    a = add(a, neighbours(a));
    a = add(a, quarters(a));
    return first(add(a, halves(a)));
  }

 private:
  static Vector halves(Vector a) { return _mm512_shuffle_f64x2(a, a, 0x4e); }
  static Vector quarters(Vector a) { return _mm512_shuffle_f64x2(a, a, 0xb1); }
  static Vector neighbours(Vector a) { return _mm512_permute_pd(a, 0x55); }
  static void merge(Vector& a, Vector& b, Vector other_a, Vector other_b) {
    b = min(max(a, other_a), min(b, other_b));
    a = min(a, other_a);
  }
};

inline void fence_streams() { _mm_sfence(); }

inline std::uint64_t any_common_bit(const std::uint64_t* sets, std::int64_t count,
                                    std::uint64_t set) {
  const __m512i wanted = _mm512_set1_epi64(static_cast<long long>(set));
  std::uint64_t result = 0;
  for (std::int64_t i = 0; i < count; i += 8)
    result |=
        static_cast<std::uint64_t>(_mm512_test_epi64_mask(_mm512_loadu_si512(sets + i), wanted))
        << i;
  return result;
}

}  // namespace
}  // namespace osc::cpu
