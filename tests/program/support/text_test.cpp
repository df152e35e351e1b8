#include "support/text.hpp"

#include <gtest/gtest.h>

namespace osc::program {
namespace {

TEST(Printable, LeavesPlainTextAlone) {
  EXPECT_EQ(printable("scene 000012.png"), "scene 000012.png");
  EXPECT_EQ(printable("Größe – 図 🙂"), "Größe – 図 🙂");
  EXPECT_EQ(printable("a\\b"), "a\\b");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, EscapesControlCharacters) {
  EXPECT_EQ(printable("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(printable("\x1b[31mred\x1b[0m"), "\\x1b[31mred\\x1b[0m");
  EXPECT_EQ(printable(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\x7f"), "\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m");                         // U+009B, which begins a terminal's commands
  EXPECT_EQ(printable("\xc2\xa0"), "\xc2\xa0");  // U+00A0 is no control character
}

TEST(Printable, EscapesWhatIsNotUtf8) {
  EXPECT_EQ(printable("caf\xe9.png"), "caf\\xe9.png");  // Latin-1
  EXPECT_EQ(printable("\x9b"
                      "31m"),
            "\\x9b31m");
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // half of a surrogate pair
  EXPECT_EQ(printable("cut \xe5\x9b"), "cut \\xe5\\x9b");
}

TEST(Printable, EscapingTwiceIsEscapingOnce) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(printable(printable(bytes)), printable(bytes));
}

}  // namespace
}  // namespace osc::program
