#include "support/nesting.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/json.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

const std::string kTooDeep = "is nested deeper than 64 levels";
const std::string kFine = "(no error)";

std::string times(int count, const std::string& text) {
  std::string repeated;
  for (int i = 0; i < count; ++i) repeated += text;
  return repeated;
}

std::string json_error(const std::string& text) {
  return user_error([&] { check_json_nesting(text); });
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
