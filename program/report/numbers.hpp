// Numbers out of JSON and into text, the same in any locale.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace osc::program {

inline constexpr std::string_view kEnDash = "\xE2\x80\x93";

// The finite number at object[path[0]][path[1]]…; nothing where a key is missing or the value is
// anything else.
std::optional<double> number_at(const nlohmann::json& object,
                                std::initializer_list<std::string_view> path);

// The value at the path, or null.
const nlohmann::json& value_at(const nlohmann::json& object,
                               std::initializer_list<std::string_view> path);

// "0.973", with a true minus sign; never "−0.000".
std::string fixed(double value, int decimals);
// As fixed with three decimals, an en dash where there is no number.
std::string score(std::optional<double> value);
// Three significant digits, scientific far from 1: for losses of any size.
std::string brief(double value);
// Rounded, with separators: "12,345".
std::string grouped(double value);
// "4 min 31 s".
std::string duration(double seconds);
// For SVG attributes: one decimal, ASCII.
std::string coordinate(double value);

}  // namespace osc::program
