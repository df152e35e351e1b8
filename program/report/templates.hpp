// The pages of templates/, embedded at build time and filled in at run time.
#pragma once

#include <nlohmann/json.hpp>

#include <span>
#include <string>
#include <string_view>

namespace osc::program {

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
