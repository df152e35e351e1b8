// The templates of templates/, embedded at build time and filled at run time.
#pragma once

#include <nlohmann/json.hpp>

#include <span>
#include <string>
#include <string_view>

#include "data/image.hpp"

namespace osc::program {

// Text for an element or a quoted attribute. Bytes that are not UTF-8, and control characters other
// than tab and newline, become U+FFFD, so that any file name can be shown.
std::string escape_html(const std::string& text);

// RFC 4648, section 4, padded.
std::string base64(std::string_view bytes);

// The image as a PNG inside a data URI.
std::string png_data_uri(const Image& image);

struct Template {
  std::string_view file;  // its name in templates/
  std::string_view text;
};

std::span<const Template> templates();

// Throws std::logic_error where there is no such template.
std::string_view template_text(std::string_view file);

// The Mustache template with the values of `view`. Text is escaped; numbers are written as SVG
// takes them, with one decimal; null, empty text and empty objects count as absent. Templates
// include one another by file name.
std::string render_template(std::string_view file, const nlohmann::json& view);

}  // namespace osc::program
