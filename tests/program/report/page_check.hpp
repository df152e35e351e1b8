// A strict reading of the HTML that a report is made of, and of the pictures inside it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/image.hpp"
#include "temporary_folder.hpp"

namespace osc::program::test {

struct Tag {
  std::string name;
  std::vector<std::pair<std::string, std::string>> attributes;
  bool closing = false;
  bool self_closing = false;
};

struct Page {
  std::vector<Tag> tags;  // in order
  std::string text;       // what stands between tags, escapes and all; the style sheet is left out
  std::vector<std::string> errors;  // empty for a page that is as it should be

  std::size_t count(std::string_view name, std::string_view attribute = "",
                    std::string_view value = "") const {
    const std::pair wanted{std::string(attribute), std::string(value)};
    return static_cast<std::size_t>(std::count_if(tags.begin(), tags.end(), [&](const Tag& tag) {
      if (tag.closing || tag.name != name) return false;
      return attribute.empty() || std::find(tag.attributes.begin(), tag.attributes.end(), wanted) !=
                                      tag.attributes.end();
    }));
  }
  bool has_section(std::string_view id) const { return count("section", "id", id) == 1; }
};

inline void check_escapes(std::string_view text, std::vector<std::string>& errors) {
  for (std::size_t at = 0; (at = text.find('&', at)) != std::string_view::npos; ++at) {
    const std::vector<std::string_view> known = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
    if (std::none_of(known.begin(), known.end(), [&](std::string_view escape) {
          return text.substr(at).starts_with(escape);
        })) {
      errors.push_back("a bare & in: " + std::string(text.substr(at, 40)));
    }
  }
  if (text.find('>') != std::string_view::npos)
    errors.push_back("a bare > in: " + std::string(text.substr(0, 60)));
}

// Reads a page whose tags are lower case, whose attributes are quoted, and in which everything but
// <meta> and <img> is closed.
inline Page read_page(const std::string& html) {
  Page page;
  std::vector<std::string> open;
  std::set<std::string> ids;
  const std::string doctype = "<!DOCTYPE html>\n";
  if (!html.starts_with(doctype)) page.errors.push_back("no doctype");
  std::size_t at = html.starts_with(doctype) ? doctype.size() : 0;
  const auto is_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  };
  while (at < html.size()) {
    if (html[at] != '<') {
      const std::size_t end = std::min(html.find('<', at), html.size());
      check_escapes(std::string_view(html).substr(at, end - at), page.errors);
      page.text += html.substr(at, end - at);
      at = end;
      continue;
    }
    Tag tag;
    ++at;
    if (at < html.size() && html[at] == '/') {
      tag.closing = true;
      ++at;
    }
    while (at < html.size() && is_name(html[at])) tag.name += html[at++];
    if (tag.name.empty()) page.errors.push_back("a bare < before: " + html.substr(at, 40));
    while (at < html.size() && html[at] == ' ') {
      ++at;
      std::string name;
      std::string value;
      while (at < html.size() && is_name(html[at])) name += html[at++];
      if (name.empty() || html.compare(at, 2, "=\"") != 0) {
        page.errors.push_back("an attribute that is not name=\"value\" in <" + tag.name +
                              " before: " + html.substr(at, 40));
        break;
      }
      at += 2;
      while (at < html.size() && html[at] != '"') value += html[at++];
      ++at;
      if (value.find('<') != std::string::npos)
        page.errors.push_back("a bare < in an attribute: " + value.substr(0, 60));
      check_escapes(value, page.errors);
      for (const auto& [other, ignored] : tag.attributes) {
        if (other == name) page.errors.push_back("an attribute twice: " + name);
      }
      if (name == "id" && !ids.insert(value).second) page.errors.push_back("an id twice: " + value);
      tag.attributes.emplace_back(name, value);
    }
    if (at < html.size() && html[at] == '/') {
      tag.self_closing = true;
      ++at;
    }
    if (at >= html.size() || html[at] != '>') {
      page.errors.push_back("an unfinished <" + tag.name);
      break;
    }
    ++at;
    const bool in_svg = std::find(open.begin(), open.end(), "svg") != open.end();
    if (tag.closing) {
      if (open.empty() || open.back() != tag.name) {
        page.errors.push_back("</" + tag.name + "> closes <" +
                              (open.empty() ? std::string() : open.back()) + ">");
      } else {
        open.pop_back();
      }
    } else if (tag.self_closing) {
      if (!in_svg) page.errors.push_back("<" + tag.name + "/> outside of SVG");
    } else if (tag.name != "meta" && tag.name != "img") {
      open.push_back(tag.name);
    }
    if (tag.name == "style" && !tag.closing) at = html.find("</style>", at);
    page.tags.push_back(std::move(tag));
  }
  for (const std::string& name : open) page.errors.push_back("never closed: <" + name + ">");
  for (const Tag& tag : page.tags) {
    for (const auto& [name, value] : tag.attributes) {
      if (name == "href" && value.starts_with('#') && !ids.contains(value.substr(1)))
        page.errors.push_back("a link to nowhere: " + value);
      if ((name == "href" || name == "src") && !value.starts_with('#') &&
          !value.starts_with("data:image/png;base64,")) {
        page.errors.push_back("something from outside: " + value.substr(0, 60));
      }
    }
    if (tag.name == "script" || tag.name == "link") page.errors.push_back("a <" + tag.name + ">");
    if (tag.name == "img" &&
        std::none_of(tag.attributes.begin(), tag.attributes.end(),
                     [](const auto& attribute) { return attribute.first == "alt"; })) {
      page.errors.push_back("an image without words for it");
    }
  }
  return page;
}

inline std::string decode_base64(std::string_view text) {
  const std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0;
  int held = 0;
  for (const char c : text) {
    if (c == '=') break;
    const std::size_t value = digits.find(c);
    EXPECT_NE(value, std::string_view::npos);
    bits = bits << 6 | static_cast<unsigned>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>(bits >> held & 255U);
    }
  }
  return out;
}

inline Image decode_data_uri(std::string_view uri) {
  const std::string_view prefix = "data:image/png;base64,";
  EXPECT_TRUE(uri.starts_with(prefix));
  const TemporaryFolder folder;
  const auto path = folder.path() / "picture.png";
  std::ofstream(path, std::ios::binary) << decode_base64(uri.substr(prefix.size()));
  return read_image(path);
}

// The pictures of a page in order, of <img> and of SVG's <image>.
inline std::vector<Image> pictures_of(const Page& page) {
  std::vector<Image> pictures;
  for (const Tag& tag : page.tags) {
    for (const auto& [name, value] : tag.attributes) {
      if (value.starts_with("data:")) pictures.push_back(decode_data_uri(value));
    }
  }
  return pictures;
}

inline bool same_image(const Image& a, const Image& b) {
  return a.width == b.width && a.height == b.height && a.pixels == b.pixels;
}

}  // namespace osc::program::test
