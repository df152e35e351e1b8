#include <gtest/gtest.h>

#include <limits>

#include "page_check.hpp"
#include "report/numbers.hpp"
#include "report/templates.hpp"

namespace osc::program {
namespace {

using test::Texts;

TEST(Numbers, AreFormatted) {
  EXPECT_EQ((Texts{fixed(0.9734, 3), fixed(-0.5, 2), fixed(-0.0001, 3), fixed(12, 0)}),
            (Texts{"0.973", "−0.50", "0.000", "12"}));
  EXPECT_EQ((Texts{score(0.5), score(std::nullopt)}), (Texts{"0.500", "–"}));
  EXPECT_EQ((Texts{brief(0), brief(1.23456), brief(0.0234567), brief(0.00012345), brief(123.4),
                   brief(45678), brief(-1234567), brief(3e-9)}),
            (Texts{"0.000", "1.23", "0.0235", "0.000123", "123", "45678", "−1.23e+06", "3e−09"}));
  EXPECT_EQ((Texts{grouped(0), grouped(999.4), grouped(1000), grouped(1234567), grouped(-1234)}),
            (Texts{"0", "999", "1,000", "1,234,567", "−1,234"}));
  EXPECT_EQ((Texts{duration(12.4), duration(271.4), duration(59.7), duration(7260), duration(-3)}),
            (Texts{"12 s", "4 min 31 s", "1 min 0 s", "2 h 1 min", "0 s"}));
  EXPECT_EQ((Texts{coordinate(12), coordinate(-3.26), coordinate(-0.01)}),
            (Texts{"12", "-3.3", "0"}));
}

TEST(Numbers, NumberAtReadsOnlyFiniteNumbers) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const nlohmann::json object = {
      {"a", {{"b", 2}}}, {"text", "3"}, {"null", nullptr}, {"nan", nan}, {"list", {1, 2}}};
  EXPECT_EQ(number_at(object, "/a/b"), 2.0);
  for (const char* path : {"/a", "/a/c", "/a/b/c", "/text", "/null", "/nan", "/list", "/list/b"})
    EXPECT_EQ(number_at(object, path), std::nullopt) << path;
  EXPECT_EQ(number_at(nullptr, "/a"), std::nullopt);
}

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
