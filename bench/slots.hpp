// Slots to measure with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "osc/float16.hpp"

namespace osc::bench {

template <typename T>
inline T element(double x) {
  return static_cast<T>(x);
}
template <>
inline float16 element<float16>(double x) {
  return to_float16(static_cast<float>(x));
}
template <>
inline bfloat16 element<bfloat16>(double x) {
  return to_bfloat16(static_cast<float>(x));
}

enum class Slots {
  gaussian,  // the two views have nothing in common
  trained,   // the second view is a permutation of the first, with Gaussian noise of half its size
};

// [2B, S, C]: rows i and i + B are the views of image i.
template <typename T>
std::vector<T> slots_of(Slots kind, std::int64_t images, std::int64_t slots,
                        std::int64_t channels) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  const std::int64_t view = images * slots * channels;
  std::vector<double> values(2 * view);
  for (double& x : values) x = normal(random);
  std::vector<std::int64_t> partner(slots);
  for (std::int64_t image = 0; image < images && kind == Slots::trained; ++image) {
    std::iota(partner.begin(), partner.end(), 0);
    std::shuffle(partner.begin(), partner.end(), random);
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      const double* const first = values.data() + (image * slots + partner[slot]) * channels;
      double* const second = values.data() + view + (image * slots + slot) * channels;
      for (std::int64_t c = 0; c < channels; ++c) second[c] = first[c] + 0.5 * second[c];
    }
  }
  std::vector<T> result(2 * view);
  std::transform(values.begin(), values.end(), result.begin(), element<T>);
  return result;
}

}  // namespace osc::bench
