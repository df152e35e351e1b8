// Doubles to elements of any type, rounded, and back; and the instruction sets that there are.
#pragma once

#include <cstring>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "osc/float16.hpp"
#include "osc/system.hpp"

namespace osc {

template <typename T>
T element(double x) {
  if constexpr (std::is_same_v<T, float16>) {
    return to_float16(static_cast<float>(x));
  } else if constexpr (std::is_same_v<T, bfloat16>) {
    return to_bfloat16(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

template <typename T>
double value(T x) {
  if constexpr (std::is_arithmetic_v<T>) {
    return static_cast<double>(x);
  } else {
    return to_float(x);
  }
}

// NaN included.
template <typename T>
bool same_bits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

// What action() returns on each instruction set of this processor, the baseline first, with its
// name. The one that was in force is so again.
template <typename Action>
auto on_every_instruction_set(const Action& action) {
  const char* const before = instruction_set();
  std::vector<std::pair<const char*, decltype(action())>> results;
  for (const char* const name : {"generic", "neon", "x86-64", "avx2", "avx512"}) {
    if (try_set_instruction_set(name).ok()) results.emplace_back(name, action());
  }
  set_instruction_set(before);
  return results;
}

}  // namespace osc
