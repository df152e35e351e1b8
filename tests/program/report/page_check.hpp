// A report as a strict parser reads it: expat refuses whatever is not well-formed, and what HTML
// asks for beyond that is checked here. Pictures inside the page are decoded.
#pragma once

#include <expat.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "data/image.hpp"

namespace osc::program::test {

struct Element {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::string text;  // its own and its children's, white space collapsed
};

struct Page {
  std::vector<Element> elements;    // in the order of their start
  std::vector<std::string> errors;  // empty for a page that is as it should be

  std::vector<Element> all(std::string_view name, const std::string& attribute = "",
                           std::string_view value = "") const {
    std::vector<Element> found;
    for (const Element& element : elements) {
      const auto at = element.attributes.find(attribute);
      if (element.name == name &&
          (attribute.empty() || (at != element.attributes.end() && at->second == value)))
        found.push_back(element);
    }
    return found;
  }
  std::vector<std::string> texts(std::string_view name, const std::string& attribute = "",
                                 std::string_view value = "") const {
    std::vector<std::string> found;
    for (const Element& element : all(name, attribute, value)) found.push_back(element.text);
    return found;
  }
  bool says(std::string_view words) const {
    return elements.front().text.find(words) != std::string::npos;
  }
};

struct Reader {
  XML_Parser parser;
  const std::string& html;
  Page page;
  std::vector<std::size_t> open;  // places in page.elements

  bool inside(std::string_view name) const {
    return std::any_of(open.begin(), open.end(),
                       [&](std::size_t at) { return page.elements[at].name == name; });
  }
  void start(std::string name, const char** attributes) {
    const auto index = static_cast<std::size_t>(XML_GetCurrentByteIndex(parser));
    const auto count = static_cast<std::size_t>(XML_GetCurrentByteCount(parser));
    const bool closed = html.substr(index, count).ends_with("/>");
    const bool is_void = name == "meta" || name == "img";
    if (closed != is_void && !inside("svg"))
      page.errors.push_back("HTML closes this element otherwise: " + html.substr(index, count));
    open.push_back(page.elements.size());
    page.elements.push_back({std::move(name), {}, ""});
    for (; *attributes != nullptr; attributes += 2)
      page.elements.back().attributes[attributes[0]] = attributes[1];
  }
  void text(std::string_view part) {
    for (const char c : part) {
      for (const std::size_t at : open) {
        std::string& text = page.elements[at].text;
        const bool is_space = c == ' ' || c == '\n' || c == '\t';
        if (!is_space || (!text.empty() && text.back() != ' ')) text += is_space ? ' ' : c;
      }
    }
  }
};

inline Page read_page(const std::string& html) {
  Reader reader{XML_ParserCreate("UTF-8"), html, {}, {}};
  XML_SetUserData(reader.parser, &reader);
  XML_SetElementHandler(
      reader.parser,
      [](void* self, const char* name, const char** attributes) {
        static_cast<Reader*>(self)->start(name, attributes);
      },
      [](void* self, const char*) {
        static_cast<Reader*>(self)->open.pop_back();
        static_cast<Reader*>(self)->text(" ");
      });
  XML_SetCharacterDataHandler(reader.parser, [](void* self, const char* part, int length) {
    auto& page_reader = *static_cast<Reader*>(self);
    if (!page_reader.inside("style")) page_reader.text({part, static_cast<std::size_t>(length)});
  });
  if (XML_Parse(reader.parser, html.data(), static_cast<int>(html.size()), XML_TRUE) ==
      XML_STATUS_ERROR)
    reader.page.errors.push_back(
        std::string(XML_ErrorString(XML_GetErrorCode(reader.parser))) + " before: " +
        html.substr(static_cast<std::size_t>(XML_GetCurrentByteIndex(reader.parser)), 60));
  XML_ParserFree(reader.parser);
  Page page = std::move(reader.page);

  std::set<std::string> ids;
  for (const Element& element : page.elements) {
    const auto id = element.attributes.find("id");
    if (id != element.attributes.end() && !ids.insert(id->second).second)
      page.errors.push_back("an id twice: " + id->second);
  }
  for (Element& element : page.elements) {
    if (element.text.ends_with(' ')) element.text.pop_back();
    if (element.name == "script" || element.name == "link")
      page.errors.push_back("a <" + element.name + ">");
    if (element.name == "img" && !element.attributes.contains("alt"))
      page.errors.push_back("an image without words for it");
    for (const auto& [name, value] : element.attributes) {
      if ((name == "href" || name == "src") && !value.starts_with("data:image/png;base64,") &&
          !(value.starts_with('#') && ids.contains(value.substr(1))))
        page.errors.push_back("a link out of the page or to nowhere: " + value.substr(0, 60));
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
  for (const char c : text.substr(0, text.find('='))) {
    bits = bits << 6 | static_cast<unsigned>(digits.find(c));
    if ((held += 6) < 8) continue;
    held -= 8;
    out += static_cast<char>(bits >> held & 255U);
  }
  return out;
}

// The pictures of a page in order, of <img> and of SVG's <image>.
inline std::vector<Image> pictures_of(const Page& page) {
  const std::string_view prefix = "data:image/png;base64,";
  std::vector<Image> pictures;
  for (const Element& element : page.elements) {
    for (const auto& [name, value] : element.attributes) {
      if (value.starts_with(prefix))
        pictures.push_back(decode_image(decode_base64(value.substr(prefix.size()))));
    }
  }
  return pictures;
}

inline bool same_image(const Image& a, const Image& b) {
  return a.width == b.width && a.height == b.height && a.pixels == b.pixels;
}

// Noise, which no PNG encoder makes small: sizes measured with it are the largest there are.
inline Image noise(std::mt19937& random, int width, int height) {
  Image image{width, height, std::vector<std::uint8_t>(std::size_t{3} * width * height)};
  for (std::uint8_t& value : image.pixels) value = static_cast<std::uint8_t>(random() % 256);
  return image;
}

}  // namespace osc::program::test
