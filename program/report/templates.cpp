#include "report/templates.hpp"

#include <kainjow/mustache.hpp>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>

#include "report/numbers.hpp"
#include "report/report.hpp"
#include "report/views.hpp"
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
  // Not left out: Mustache would look up a missing name in the enclosing sections.
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

std::string render_report(const ReportContents& contents) {
  return render_template("page.html", {{"title", contents.title},
                                       {"result", result_view(contents.result)},
                                       {"wall", wall_view(contents.wall)},
                                       {"matching", matching_view(contents.pairs)},
                                       {"retrieval", retrieval_view(contents.retrievals)},
                                       {"tables", tables_view(contents.result)},
                                       {"training", training_view(contents.metrics)},
                                       {"configuration", contents.config_toml}});
}

}  // namespace osc::program
