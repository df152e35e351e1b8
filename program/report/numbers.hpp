// Numbers out of JSON and into text, the same in any locale.
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace osc::program {

inline constexpr std::string_view kEnDash = "\xE2\x80\x93";

// The value at a JSON pointer ("/masks/clean"), or null.
const nlohmann::json& value_at(const nlohmann::json& object, const std::string& pointer);

// A finite number, or nothing.
std::optional<double> finite(const nlohmann::json& value);
std::optional<double> number_at(const nlohmann::json& object, const std::string& pointer);

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
