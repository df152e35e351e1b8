// Doubles to elements of any type, rounded, and back; and the instruction sets that there are.
#pragma once

#include <cstring>
#include <span>
#include <string>
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

// Compares bits, so that NaN equals itself.
template <typename T>
bool same_bits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

// The instruction sets of this processor, the baseline first: the error for another name lists
// them.
inline std::vector<std::string> instruction_sets() {
  std::string text = try_set_instruction_set("none").text();
  text.erase(0, text.find(" have ") + 6);
  std::vector<std::string> names;
  for (std::size_t at = 0; at != std::string::npos; at = text.find(", ", at + 1)) {
    const std::size_t begin = names.empty() ? 0 : at + 2;
    names.push_back(text.substr(begin, text.find(", ", begin) - begin));
  }
  return names;
}

// What action() returns on each instruction set, with its name. Afterwards the previous set is in
// force again.
template <typename Action>
auto on_every_instruction_set(const Action& action) {
  const std::string before = instruction_set();
  std::vector<std::pair<std::string, decltype(action())>> results;
  for (const std::string& name : instruction_sets()) {
    set_instruction_set(name.c_str());
    results.emplace_back(name, action());
  }
  set_instruction_set(before.c_str());
  return results;
}

}  // namespace osc
