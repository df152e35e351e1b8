#include "report/numbers.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace osc::program {
namespace {

constexpr std::string_view kMinus = "\xE2\x88\x92";

std::string plain(double value, std::chars_format format, int precision) {
  std::array<char, 512> buffer;  // a fixed double has at most 309 digits before the point
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format, precision);
  return {buffer.data(), end.ptr};
}

bool is_zero(std::string_view digits) {
  return digits.find_first_of("123456789") == std::string_view::npos;
}

std::string with_true_minus(std::string text) {
  for (std::size_t at = 0; (at = text.find('-', at)) != std::string::npos; at += kMinus.size())
    text.replace(at, 1, kMinus);
  return text;
}

}  // namespace

const nlohmann::json& value_at(const nlohmann::json& object, const std::string& pointer) {
  static const nlohmann::json kNull;
  const nlohmann::json::json_pointer path(pointer);
  return object.contains(path) ? object.at(path) : kNull;
}

std::optional<double> finite(const nlohmann::json& value) {
  if (!value.is_number() || !std::isfinite(value.get<double>())) return std::nullopt;
  return value.get<double>();
}

std::optional<double> number_at(const nlohmann::json& object, const std::string& pointer) {
  return finite(value_at(object, pointer));
}

std::string fixed(double value, int decimals) {
  std::string text = plain(value, std::chars_format::fixed, decimals);
  if (text.front() == '-' && is_zero(text)) text.erase(0, 1);
  return with_true_minus(text);
}

std::string score(std::optional<double> value) {
  return value ? fixed(*value, 3) : std::string(kEnDash);
}

std::string brief(double value) {
  const double size = std::abs(value);
  if (size != 0 && (size < 1e-4 || size >= 1e5))
    return with_true_minus(plain(value, std::chars_format::general, 3));
  const int whole_digits = size < 1 ? 0 : static_cast<int>(std::floor(std::log10(size))) + 1;
  const int leading_zeros =
      size == 0 || size >= 1 ? 0 : static_cast<int>(std::ceil(-std::log10(size))) - 1;
  return fixed(value, std::max(0, 3 - whole_digits + leading_zeros));
}

std::string grouped(double value) {
  std::string digits = plain(std::abs(std::round(value)), std::chars_format::fixed, 0);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, 1, ',');
  return value <= -0.5 ? std::string(kMinus) + digits : digits;
}

std::string duration(double seconds) {
  const double whole = std::round(std::max(0.0, seconds));
  if (whole < 60) return fixed(whole, 0) + " s";
  const double minutes = std::floor(whole / 60);
  if (minutes < 60) return fixed(minutes, 0) + " min " + fixed(whole - 60 * minutes, 0) + " s";
  const double hours = std::floor(minutes / 60);
  return grouped(hours) + " h " + fixed(minutes - 60 * hours, 0) + " min";
}

std::string coordinate(double value) {
  std::string text = plain(value, std::chars_format::fixed, 1);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

}  // namespace osc::program
