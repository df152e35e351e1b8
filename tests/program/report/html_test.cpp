#include "report/html.hpp"

#include <gtest/gtest.h>

#include "page_check.hpp"

namespace osc::program {
namespace {

TEST(EscapeHtml, LeavesPlainTextAlone) {
  EXPECT_EQ(escape_html("scene 000012.png, 3 objects\n\tsecond line"),
            "scene 000012.png, 3 objects\n\tsecond line");
  EXPECT_EQ(escape_html("Größe – 図 🙂"), "Größe – 図 🙂");
  EXPECT_EQ(escape_html(""), "");
}

TEST(EscapeHtml, DisarmsMarkup) {
  EXPECT_EQ(escape_html("<b>\"a\" & 'b'</b>"),
            "&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/b&gt;");
}

TEST(EscapeHtml, ReplacesWhatIsNotUtf8) {
  const std::string mark = "\xEF\xBF\xBD";
  EXPECT_EQ(escape_html("a\xFFz"), "a" + mark + "z");
  EXPECT_EQ(escape_html("caf\xE9.png"), "caf" + mark + ".png");  // Latin-1
  EXPECT_EQ(escape_html("\xC0\xBC"), mark + mark);               // an overlong '<'
  EXPECT_EQ(escape_html("\xED\xA0\x80"), mark + mark + mark);    // half of a surrogate pair
  EXPECT_EQ(escape_html("\xF4\x90\x80\x80"), mark + mark + mark + mark);  // beyond U+10FFFF
  EXPECT_EQ(escape_html("cut \xE5\x9B"), "cut " + mark + mark);           // ends inside a character
  EXPECT_EQ(escape_html(std::string("a\0b\x1B[1m\x7F", 8)), "a" + mark + "b" + mark + "[1m" + mark);
  EXPECT_EQ(escape_html("\xC2\x9B!"), mark + "!");  // a control character of two bytes
}

TEST(Attribute, IsQuotedAndEscaped) {
  EXPECT_EQ(attribute("title", "a \"b\""), " title=\"a &quot;b&quot;\"");
}

TEST(Base64, OfTheStandardsVectors) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xFF\xEF\xBE"), "/+++");
}

TEST(Base64, DecodesToAllBytes) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(test::decode_base64(base64(bytes)), bytes);
}

TEST(PngDataUri, HoldsTheSamePixels) {
  Image image{5, 3, {}};
  for (int i = 0; i < 5 * 3 * 3; ++i) image.pixels.push_back(static_cast<std::uint8_t>(i * 37));
  EXPECT_TRUE(test::same_image(test::decode_data_uri(png_data_uri(image)), image));
}

}  // namespace
}  // namespace osc::program
