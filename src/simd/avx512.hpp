// Vectors of 512 bits: AVX-512 F, BW, DQ and VL. For files that are compiled with these
// instructions; simd/lanes.hpp says what each operation does.
#pragma once

#include <immintrin.h>

#include "osc/float16.hpp"
#include "simd/lanes.hpp"

namespace osc::cpu {
namespace {

// Masks are numbers, a bit a lane.
template <typename T, typename Bits>
struct MaskedLanes : Lanes<T, 64> {
  using Mask = Bits;
  static Mask mask(std::uint64_t bits) { return static_cast<Mask>(bits); }
  static Mask first_lanes(Index count) { return static_cast<Mask>((1u << count) - 1); }
  static std::uint32_t bits(Mask mask) { return mask; }
};

template <>
struct Primitives<float> : MaskedLanes<float, __mmask16> {
  using Lanes::load, Lanes::store;

  static Vector select(Mask mask, Vector where_set, Vector elsewhere) {
    return _mm512_mask_blend_ps(mask, elsewhere, where_set);
  }
  static Mask less(Vector a, Vector b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static Mask less_equal(Vector a, Vector b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
  static Mask equal(Vector a, Vector b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
  static Vector min(Vector a, Vector b) { return _mm512_min_ps(a, b); }
  static Vector max(Vector a, Vector b) { return _mm512_max_ps(a, b); }
  static Vector mul_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }

  static Vector load_first(const float* x, Index count, float fill) {
    return _mm512_mask_loadu_ps(set(fill), first_lanes(count), x);
  }
  static void store_first(float* x, Index count, Vector a) {
    _mm512_mask_storeu_ps(x, first_lanes(count), a);
  }
  static void stream(float* x, Vector a) { _mm512_stream_ps(x, a); }

  template <typename Half>
  static Vector load(const Half* x) {
    return widened<Half>(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
  }
  template <typename Half>
  static Vector load_first(const Half* x, Index count, float fill) {
    const Mask lanes = first_lanes(count);
    return select(lanes, widened<Half>(_mm256_maskz_loadu_epi16(lanes, x)), set(fill));
  }
  template <typename Half>
  static void store(Half* x, Vector a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(x), narrowed<Half>(a));
  }
  template <typename Half>
  static void store_first(Half* x, Index count, Vector a) {
    _mm256_mask_storeu_epi16(x, first_lanes(count), narrowed<Half>(a));
  }
  template <typename Half>
  static void stream(Half* x, Vector a) {
    _mm256_stream_si256(reinterpret_cast<__m256i*>(x), narrowed<Half>(a));
  }

  static void two_smallest_of_each(Vector (&a)[4], Vector (&b)[4]) {
    // The first step interleaves lanes of two pairs, the second those of all four. Each quarter of
    // a vector then holds candidates of all four pairs.
    constexpr auto merge = Simd<float>::merge;
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
    merge(all_a, all_b, swapped<8>(all_a), swapped<8>(all_b));
    merge(all_a, all_b, swapped<4>(all_a), swapped<4>(all_b));
    a[0] = _mm512_permute_ps(all_a, 0x00), b[0] = _mm512_permute_ps(all_b, 0x00);
    a[1] = _mm512_permute_ps(all_a, 0x55), b[1] = _mm512_permute_ps(all_b, 0x55);
    a[2] = _mm512_permute_ps(all_a, 0xaa), b[2] = _mm512_permute_ps(all_b, 0xaa);
    a[3] = _mm512_permute_ps(all_a, 0xff), b[3] = _mm512_permute_ps(all_b, 0xff);
  }

 private:
  template <typename Half>
  static Vector widened(__m256i x) {
    if constexpr (std::is_same_v<Half, float16>) return _mm512_cvtph_ps(x);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
  }
  template <typename Half>
  static __m256i narrowed(Vector a) {
    if constexpr (std::is_same_v<Half, float16>)
      return _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const auto bits = reinterpret_cast<__m512i>(a);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(
        _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16));
  }
};

template <>
struct Primitives<double> : MaskedLanes<double, __mmask8> {
  using Lanes::load;

  static Vector select(Mask mask, Vector where_set, Vector elsewhere) {
    return _mm512_mask_blend_pd(mask, elsewhere, where_set);
  }
  static Mask less(Vector a, Vector b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
  static Mask less_equal(Vector a, Vector b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
  static Mask equal(Vector a, Vector b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
  static Vector min(Vector a, Vector b) { return _mm512_min_pd(a, b); }
  static Vector max(Vector a, Vector b) { return _mm512_max_pd(a, b); }
  static Vector mul_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_pd(a, b, c); }

  static Vector load(const float* x) { return _mm512_cvtps_pd(_mm256_loadu_ps(x)); }
  static Vector load_first(const double* x, Index count, double fill) {
    return _mm512_mask_loadu_pd(set(fill), first_lanes(count), x);
  }
  static Vector load_first(const float* x, Index count, float fill) {
    return _mm512_cvtps_pd(_mm256_mask_loadu_ps(_mm256_set1_ps(fill), first_lanes(count), x));
  }
  static void store_first(double* x, Index count, Vector a) {
    _mm512_mask_storeu_pd(x, first_lanes(count), a);
  }
  static void stream(double* x, Vector a) { _mm512_stream_pd(x, a); }
};

inline void fence_streams() { _mm_sfence(); }

inline std::uint64_t any_common_bit(const std::uint64_t* sets, Index count, std::uint64_t set) {
  const __m512i wanted = _mm512_set1_epi64(static_cast<long long>(set));
  std::uint64_t result = 0;
  for (Index i = 0; i < count; i += 8) {
    const __mmask8 common = _mm512_test_epi64_mask(_mm512_loadu_si512(sets + i), wanted);
    result |= static_cast<std::uint64_t>(common) << i;
  }
  return result;
}

}  // namespace
}  // namespace osc::cpu
