// A page as a strict parser reads it: expat refuses what is not well-formed; what a report must
// keep to beyond that is checked here.
#pragma once

#include <expat.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "data/image.hpp"

namespace osc::program::test {

using Texts = std::vector<std::string>;

struct Element {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::string text;  // its own and its children's, white space collapsed
};

struct Page {
  std::vector<Element> elements;  // in the order of their start
  Texts errors;                   // empty for a page that is as it should be

  // Of the elements of a name, or of a name and a class ("path.line"), the texts or the values of
  // an attribute that they have.
  Texts texts(const std::string& selector, const std::string& attribute = "") const {
    Texts found;
    for (const Element& element : elements) {
      const auto value = [&](const std::string& key) {
        const auto at = element.attributes.find(key);
        return at == element.attributes.end() ? "" : at->second;
      };
      if (selector != element.name && selector != element.name + "." + value("class")) continue;
      if (attribute.empty()) found.push_back(element.text);
      if (element.attributes.contains(attribute)) found.push_back(value(attribute));
    }
    return found;
  }
  bool says(std::string_view words) const {
    return elements[0].text.find(words) != std::string::npos;
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
  std::string markup() const {
    return html.substr(static_cast<std::size_t>(XML_GetCurrentByteIndex(parser)),
                       static_cast<std::size_t>(XML_GetCurrentByteCount(parser)));
  }
  void start(const std::string& name, const char** attributes) {
    const bool is_void = name == "meta" || name == "img";
    if (markup().ends_with("/>") != is_void && !inside("svg"))
      page.errors.push_back("HTML closes this element otherwise: " + markup());
    open.push_back(page.elements.size());
    page.elements.push_back({name, {}, ""});
    for (; *attributes != nullptr; attributes += 2)
      page.elements.back().attributes[attributes[0]] = attributes[1];
  }
  void text(std::string_view part) {
    for (const std::size_t at : open) {
      std::string& text = page.elements[at].text;
      for (const char c : part) {
        const bool is_space = c == ' ' || c == '\n' || c == '\t';
        if (!is_space || (!text.empty() && text.back() != ' ')) text += is_space ? ' ' : c;
      }
    }
  }
  void end() {
    std::string& text = page.elements[open.back()].text;
    if (text.ends_with(' ')) text.pop_back();
    open.pop_back();
    this->text(" ");
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
      [](void* self, const char*) { static_cast<Reader*>(self)->end(); });
  XML_SetCharacterDataHandler(reader.parser, [](void* self, const char* part, int length) {
    static_cast<Reader*>(self)->text({part, static_cast<std::size_t>(length)});
  });
  if (XML_Parse(reader.parser, html.data(), static_cast<int>(html.size()), XML_TRUE) !=
      XML_STATUS_OK)
    reader.page.errors.push_back(XML_ErrorString(XML_GetErrorCode(reader.parser)) +
                                 (": " + reader.markup()));
  XML_ParserFree(reader.parser);
  Page& page = reader.page;
  Texts links = page.texts("a", "href");
  for (const std::string& id : page.texts("section", "id")) std::erase(links, "#" + id);
  const std::string data = "data:image/png;base64,";
  for (const Texts& sources : {links, page.texts("img", "src"), page.texts("image", "href")}) {
    for (const std::string& source : sources)
      if (!source.starts_with(data)) page.errors.push_back("a link out of the page: " + source);
  }
  if (page.texts("img").size() != page.texts("img", "alt").size())
    page.errors.push_back("an image without words for it");
  if (!page.texts("script").empty() || !page.texts("link").empty())
    page.errors.push_back("a script or a link");
  return page;
}

// Noise, which no PNG encoder makes small: sizes measured with it are the largest there are.
inline Image noise(std::mt19937& random, int width, int height) {
  Image image{width, height, std::vector<std::uint8_t>(std::size_t{3} * width * height)};
  for (std::uint8_t& value : image.pixels) value = static_cast<std::uint8_t>(random() % 256);
  return image;
}

}  // namespace osc::program::test
