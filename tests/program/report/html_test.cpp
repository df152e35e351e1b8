#include "report/html.hpp"

#include <gtest/gtest.h>

#include "page_check.hpp"

namespace osc::program {
namespace {

TEST(EscapeHtml, LeavesTextAloneAndEscapesMarkup) {
  EXPECT_EQ(escape_html("Größe – 図 🙂\n\tsecond line"), "Größe – 図 🙂\n\tsecond line");
  EXPECT_EQ(escape_html("<b>\"a\" & 'b'</b>"),
            "&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/b&gt;");
}

TEST(EscapeHtml, ReplacesWhatIsNotUtf8AndControlCharacters) {
  const std::string mark = "\xEF\xBF\xBD";
  EXPECT_EQ(escape_html("a\xFFz"), "a" + mark + "z");
  EXPECT_EQ(escape_html("caf\xE9.png"), "caf" + mark + ".png");  // Latin-1
  EXPECT_EQ(escape_html(std::string("a\0b\x1B[1m\x7F", 8)), "a" + mark + "b" + mark + "[1m" + mark);
  for (const std::string bytes : {"\xC0\xBC",          // an overlong '<'
                                  "\xED\xA0\x80",      // half of a surrogate pair
                                  "\xF4\x90\x80\x80",  // beyond U+10FFFF
                                  "\xE5\x9B"}) {       // ends inside a character
    const std::string escaped = escape_html(bytes);
    EXPECT_FALSE(escaped.empty());
    for (std::size_t at = 0; at < escaped.size(); at += mark.size())
      EXPECT_EQ(escaped.substr(at, mark.size()), mark);
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
}

}  // namespace
}  // namespace osc::program
