#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/json.hpp"
#include "support/parallel.hpp"
#include "support/text.hpp"
#include "user_error.hpp"

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

TEST(ParallelFor, CallsEachIndexOnce) {
  for (const int threads : {-1, 0, 1, 2, 7}) {
    for (const std::int64_t count : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
      parallel_for(count, threads, [&](std::int64_t i) { ++calls[static_cast<std::size_t>(i)]; });
      for (const auto& n : calls) EXPECT_EQ(n, 1) << "threads " << threads << ", count " << count;
    }
  }
}

TEST(ParallelFor, ThrowsTheErrorOfTheLeastIndex) {
  for (const int threads : {1, 4}) {
    for (const std::int64_t slow :
         {20, 21}) {  // the least failing index fails after another thread's, and before
      std::string message;
      try {
        parallel_for(100, threads, [&](std::int64_t i) {
          if (i == 20 || i == 21)
            std::this_thread::sleep_for(std::chrono::milliseconds(i == slow ? 60 : 30));
          if (i >= 20) throw std::runtime_error(std::to_string(i));
        });
      } catch (const std::runtime_error& error) {
        message = error.what();
      }
      EXPECT_EQ(message, "20") << "threads " << threads << ", slow " << slow;
    }
  }
}

TEST(ParallelFor, StartsNothingAfterAnError) {
  std::atomic<int> calls{0};
  EXPECT_THROW(parallel_for(1000000, 1,
                            [&](std::int64_t) {
                              ++calls;
                              throw std::runtime_error("stop");
                            }),
               std::runtime_error);
  EXPECT_EQ(calls, 1);
}

const std::string kTooDeep = "is nested deeper than 64 levels";
const std::string kFine = "(no error)";

std::string times(int count, const std::string& text) {
  std::string repeated;
  for (int i = 0; i < count; ++i) repeated += text;
  return repeated;
}

std::string json_error(const std::string& text) {
  return user_error([&] { parse_json(text); });
}

std::string toml_error(const std::string& text) {
  return user_error([&] { check_toml_nesting(text); });
}

TEST(JsonNesting, CountsOpenListsAndObjects) {
  EXPECT_EQ(json_error(times(64, "[") + times(64, "]")), kFine);
  EXPECT_EQ(json_error(times(65, "[") + times(65, "]")), kTooDeep);
  EXPECT_EQ(json_error(times(32, R"({"a":[)") + times(32, "]}")), kFine);
  EXPECT_EQ(json_error("[" + times(32, R"({"a":[)") + times(32, "]}") + "]"), kTooDeep);
  EXPECT_EQ(json_error("[" + times(1000, "[[1]],") + "0]"), kFine);
  EXPECT_EQ(json_error("{\"loss\":0.5,\"x\":" + times(200000, "[")), kTooDeep);
}

TEST(JsonNesting, BracketsInStringsAreNone) {
  EXPECT_EQ(json_error(R"({"name":")" + times(100, "[") + "\"}"), kFine);
  EXPECT_EQ(json_error(R"(["\"\\)" + times(100, "[") + "\"]"), kFine);
  // A string that ends in a backslash ends; what follows counts.
  EXPECT_EQ(json_error(R"(["\\",)" + times(100, "[")), kTooDeep);
  EXPECT_EQ(json_error(R"(["\\\"",)" + times(100, "[")), kTooDeep);
  EXPECT_EQ(json_error(R"([")" + times(70, "]") + R"(",)" + times(64, "[")), kTooDeep);
}

TEST(ParseJson, GivesAValueOrADiscardedOne) {
  EXPECT_EQ(parse_json(R"({"a":[1,2]})"), (nlohmann::json{{"a", {1, 2}}}));
  EXPECT_TRUE(parse_json(R"({"a":)").is_discarded());
  EXPECT_EQ(user_error([] { parse_json(times(200000, "[") + times(200000, "]")); }), kTooDeep);
}

TEST(TomlNesting, CountsTheDotsOfAKey) {
  EXPECT_EQ(toml_error("a" + times(64, ".a") + " = 1"), kFine);
  EXPECT_EQ(toml_error("a" + times(65, ".a") + " = 1"), kTooDeep);
  EXPECT_EQ(toml_error("a" + times(100000, ".a") + " = 1"), kTooDeep);
  EXPECT_EQ(toml_error("a" + times(65, " . 'a'") + " = 1"), kTooDeep);
  EXPECT_EQ(toml_error("[a" + times(65, ".a") + "]"), kTooDeep);
  EXPECT_EQ(toml_error("seed = 1\n[[a" + times(65, ".a") + "]]"), kTooDeep);
  EXPECT_EQ(toml_error(times(1000, "a.b = 0.5\n")), kFine);
}

TEST(TomlNesting, CountsOpenTablesAndListsAndTheKeysBefore) {
  EXPECT_EQ(toml_error("a = " + times(64, "[") + times(64, "]")), kFine);
  EXPECT_EQ(toml_error("a = " + times(65, "[")), kTooDeep);
  EXPECT_EQ(toml_error("a = " + times(33, "[\n{x = ")), kTooDeep);
  EXPECT_EQ(toml_error(times(17, "a.b.c.d = {")), kTooDeep);
  EXPECT_EQ(toml_error(times(15, "a.b.c.d = {") + "a = 1" + times(15, "}")), kFine);
  EXPECT_EQ(toml_error("a = [" + times(1000, "0.5, ") + "]"), kFine);
  EXPECT_EQ(toml_error("a = [" + times(1000, "{x.y = [1.5]},\n") + "]"), kFine);
}

TEST(TomlNesting, StringsAndCommentsHaveNoLevels) {
  const std::string dots = times(100, "../"), brackets = times(100, "[{");
  const std::string deep = "\na" + times(65, ".a") + " = 1";
  for (const std::string& harmless : std::vector<std::string>{
           "data = \"" + dots + "\"",
           "data = '" + brackets + "'",
           "# " + dots + brackets,
           "data = \"\"\"" + dots + "\n" + brackets + "\"\"\"",
           "data = '''" + dots + "\n" + brackets + "'''",
           "data = \"\\\"" + brackets + "\"",
           "data = 'a\\'",
           "data = \"\"",
           "data = ''",
           "data = \"\"\"\\\"\"\"" + brackets + "\"\"\"",
           "data = \"\"\"a\"" + brackets + "\"\"\"\"\"",
           "data = '''a''" + brackets + "'''''",
           "# it's",
       }) {
    EXPECT_EQ(toml_error(harmless), kFine) << harmless;
    EXPECT_EQ(toml_error(harmless + deep), kTooDeep) << harmless;
  }
  // What stands after a string on its line counts, however many quotes end it.
  for (const char* const text :
       {R"("a")", R"("""a""")", R"("""a"""")", R"("""a""""")", R"('''a''')", R"('''a'''')",
        R"('''a''''')", R"("")", R"("\\")", R"('\')"})
    EXPECT_EQ(toml_error(std::string("x = {a = ") + text + ", a" + times(65, ".a") + " = 1}"),
              kTooDeep)
        << text;
}

}  // namespace
}  // namespace osc::program
