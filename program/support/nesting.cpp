#include "support/nesting.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "support/error.hpp"

namespace osc::program {
namespace {

void check_levels(std::size_t levels) {
  if (levels > static_cast<std::size_t>(kMaxNesting))
    throw UserError("is nested deeper than " + std::to_string(kMaxNesting) + " levels");
}

// Past the end of the string of JSON or TOML whose opening quote is at `at`.
std::size_t end_of_string(std::string_view text, std::size_t at) {
  const char quote = text[at];
  for (++at; at < text.size() && text[at] != '\n'; ++at) {
    if (text[at] == quote) return at + 1;
    if (text[at] == '\\' && quote == '"') ++at;
  }
  return std::min(at, text.size());
}

// The same where three quotes open it, for which a line break is no end.
std::size_t end_of_multi_line_string(std::string_view text, std::size_t at) {
  const std::string_view quotes = text.substr(at, 3);
  for (at += 3; at < text.size(); ++at) {
    if (text.substr(at, 3) == quotes) {
      // Up to two more are the string's own, before the three that end it.
      const std::size_t most = std::min(at + 5, text.size());
      for (at += 3; at < most && text[at] == quotes[0];) ++at;
      return at;
    }
    if (text[at] == '\\' && quotes[0] == '"') ++at;
  }
  return text.size();
}

}  // namespace

void check_json_nesting(std::string_view text) {
  std::size_t levels = 0;
  for (std::size_t at = 0; at < text.size();) {
    switch (text[at]) {
      case '"': at = end_of_string(text, at); continue;
      case '[':
      case '{': check_levels(++levels); break;
      case ']':
      case '}': levels -= levels > 0 ? 1 : 0; break;
      default: break;
    }
    ++at;
  }
}

void check_toml_nesting(std::string_view text) {
  std::size_t levels = 0;           // of the brackets that are open, and of the keys before them
  std::vector<std::size_t> opened;  // how many each bracket and the key before it added
  std::size_t dots = 0;             // of the key that is being read; a number has one, too
  for (std::size_t at = 0; at < text.size();) {
    switch (text[at]) {
      case '"':
      case '\'':
        at = text.substr(at, 3) == std::string(3, text[at]) ? end_of_multi_line_string(text, at)
                                                            : end_of_string(text, at);
        continue;
      case '#': at = std::min(text.find('\n', at), text.size()); continue;
      case '.': check_levels(levels + ++dots); break;
      case '[':
      case '{':
        opened.push_back(dots + 1);
        levels += dots + 1;
        dots = 0;
        check_levels(levels);
        break;
      case ']':
      case '}':
        if (!opened.empty()) {
          levels -= opened.back();
          opened.pop_back();
        }
        dots = 0;
        break;
      case ',':
      case '\n': dots = 0; break;
      default: break;
    }
    ++at;
  }
}

}  // namespace osc::program
