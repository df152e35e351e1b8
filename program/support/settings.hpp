// Numbers that a row of a table is configured by: a term of the objective, a source of images.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace osc::program {

struct NumberSetting {
  std::string_view name;
  double standard, least, most;
  bool whole;
  std::string_view help;
};

// By name. An absent value is the standard one.
using NumberValues = std::map<std::string, double, std::less<>>;

inline double value_of(const NumberValues& values, const NumberSetting& setting) {
  const auto found = values.find(setting.name);
  return found == values.end() ? setting.standard : found->second;
}

}  // namespace osc::program
