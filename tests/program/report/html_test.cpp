#include "report/html.hpp"

#include <gtest/gtest.h>

namespace osc::program {
namespace {

TEST(EscapeHtml, EscapesMarkupAndReplacesWhatAPageCannotHold) {
  const std::string mark = "\xEF\xBF\xBD";
  EXPECT_EQ(escape_html("Größe – 図 🙂\n\tsecond line"), "Größe – 図 🙂\n\tsecond line");
  EXPECT_EQ(escape_html("<b>\"a\" & 'b'</b>"),
            "&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/b&gt;");
  EXPECT_EQ(escape_html("caf\xE9.png"), "caf" + mark + ".png");  // Latin-1
  EXPECT_EQ(escape_html(std::string("a\0b\x1B[1m\x7F", 8)), "a" + mark + "b" + mark + "[1m" + mark);
  // An overlong '<', half of a surrogate pair, beyond U+10FFFF, cut inside a character.
  for (const std::string bytes : {"\xC0\xBC", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE5\x9B"}) {
    const std::string escaped = escape_html(bytes);
    EXPECT_FALSE(escaped.empty());
    for (std::size_t at = 0; at < escaped.size(); at += 3) EXPECT_EQ(escaped.substr(at, 3), mark);
  }
}

TEST(Base64, OfTheStandardsVectors) {
  for (const auto& [bytes, text] : {std::pair("", ""),
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {"fooba", "Zm9vYmE="},
                                    {"foobar", "Zm9vYmFy"},
                                    {"\xFF\xEF\xBE", "/+++"}})
    EXPECT_EQ(base64(bytes), text);
  const Image image{1, 1, {1, 2, 3}};
  EXPECT_EQ(png_data_uri(image), "data:image/png;base64," + base64(encode_png(image)));
}

}  // namespace
}  // namespace osc::program
