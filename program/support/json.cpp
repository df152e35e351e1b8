#include "support/json.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "support/error.hpp"

namespace osc::program {
namespace {

void check_levels(std::size_t levels) {
  if (levels > static_cast<std::size_t>(kMaxNesting)) fail_nesting();
}

// The end of the string whose opening quote is at `at`.
std::size_t end_of_string(std::string_view text, std::size_t at) {
  const char quote = text[at];
  for (++at; at < text.size() && text[at] != '\n'; ++at) {
    if (text[at] == quote) return at + 1;
    if (text[at] == '\\' && quote == '"') ++at;
  }
  return std::min(at, text.size());
}

// The end of the multi-line string whose three opening quotes are at `at`.
std::size_t end_of_multi_line_string(std::string_view text, std::size_t at) {
  const std::string_view quotes = text.substr(at, 3);
  for (at += 3; at < text.size(); ++at) {
    if (text.substr(at, 3) == quotes) {
      // The string may end in up to two quotes of its own.
      const std::size_t most = std::min(at + 5, text.size());
      for (at += 3; at < most && text[at] == quotes[0];) ++at;
      return at;
    }
    if (text[at] == '\\' && quotes[0] == '"') ++at;
  }
  return text.size();
}

}  // namespace

void fail_nesting() {
  throw UserError("is nested deeper than " + std::to_string(kMaxNesting) + " levels");
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
