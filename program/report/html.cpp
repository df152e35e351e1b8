#include "report/html.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "support/text.hpp"

namespace osc::program {

std::string escape_html(const std::string& text) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  const std::string_view view = text;
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (std::size_t at = 0; at < view.size();) {
    const std::size_t length = utf8_length(view.substr(at));
    const bool is_blank = view[at] == '\t' || view[at] == '\n';
    if (length == 0 || (is_control(view.substr(at, length)) && !is_blank)) {
      out += kReplacement;
      at += length == 0 ? 1 : length;
      continue;
    }
    switch (view[at]) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += view.substr(at, length);
    }
    at += length;
  }
  return out;
}

std::string base64(std::string_view bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::string_view part = bytes.substr(at, 3);
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i)
      group = group << 8 | (i < part.size() ? static_cast<std::uint8_t>(part[i]) : 0U);
    for (std::size_t i = 0; i < 4; ++i)
      out += i <= part.size() ? kDigits[group >> (18 - 6 * i) & 63] : '=';
  }
  return out;
}

std::string png_data_uri(const Image& image) {
  return "data:image/png;base64," + base64(encode_png(image));
}

}  // namespace osc::program
