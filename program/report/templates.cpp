#include "report/templates.hpp"

#include <kainjow/mustache.hpp>

#include <stdexcept>

#include "report/html.hpp"
#include "report/numbers.hpp"

namespace osc::program {
namespace {

namespace mustache = kainjow::mustache;

mustache::data to_data(const nlohmann::json& view) {
  if (view.is_string() && view != "") return view.get<std::string>();
  if (view.is_number()) return coordinate(view.get<double>());
  if (view.is_array()) {
    mustache::data list{mustache::data::type::list};
    for (const nlohmann::json& item : view) list.push_back(to_data(item));
    return list;
  }
  if (view.is_object() && !view.empty()) {
    mustache::data object;
    for (const auto& [key, value] : view.items()) object[key] = to_data(value);
    return object;
  }
  // Not left out: a missing name would be looked up in the sections around it.
  return view == true;
}

}  // namespace

std::string_view template_text(std::string_view file) {
  for (const Template& known : templates()) {
    if (known.file == file) return known.text;
  }
  throw std::logic_error("no template " + std::string(file));
}

std::string render_template(std::string_view file, const nlohmann::json& view) {
  mustache::mustache page{std::string(template_text(file))};
  page.set_custom_escape(escape_html);
  mustache::data data = to_data(view);
  for (const Template& part : templates())
    data[std::string(part.file)] = mustache::partial([&part] { return std::string(part.text); });
  std::string text = page.render(data);
  if (!page.is_valid())
    throw std::logic_error("template " + std::string(file) + ": " + page.error_message());
  return text;
}

}  // namespace osc::program
