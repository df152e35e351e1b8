// What an element type and the arithmetic behind it can tell apart.
#pragma once

#include <type_traits>

#include "osc/float16.hpp"

namespace osc {

// The type's own rounding, and that of the arithmetic behind it.
template <typename T>
constexpr double kRounding = std::is_same_v<T, double>    ? 0x1p-53
                             : std::is_same_v<T, float>   ? 0x1p-24
                             : std::is_same_v<T, float16> ? 0x1p-11
                                                          : 0x1p-8;
template <typename T>
constexpr double kArithmetic = std::is_same_v<T, double> ? 0x1p-53 : 0x1p-24;
template <typename T>
constexpr double kSmallest = std::is_same_v<T, double>    ? 0x1p-1074
                             : std::is_same_v<T, float16> ? 0x1p-24
                             : std::is_same_v<T, float>   ? 0x1p-149
                                                          : 0x1p-133;
template <typename T>
constexpr double kGreatest = std::is_same_v<T, double>    ? 0x1.fffffffffffffp1023
                             : std::is_same_v<T, float16> ? 65504
                             : std::is_same_v<T, float>   ? 0x1.fffffep127
                                                          : 0x1.fep127;

}  // namespace osc
