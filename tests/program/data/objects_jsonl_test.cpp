#include "data/objects_jsonl.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "support/files.hpp"
#include "temporary_folder.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

const std::string kLine =
    R"({"image":"000007","objects":[{"category":"red L90","x":12.5,"y":20.0,"mask":1},)"
    R"({"category":"a \"cat\"","x":0.0,"y":35.75,"mask":2}]})";
const std::vector<SceneObject> kLabels = {{"red L90", 12.5F, 20.0F}, {"a \"cat\"", 0.0F, 35.75F}};

auto read_text(const std::string& text) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "objects.jsonl", text);
  return read_objects_jsonl(folder / "objects.jsonl");
}

// The message without the path before it.
std::string objects_error(const std::string& text) {
  const std::string message = user_error([&] { read_text(text); });
  const std::size_t at = message.find("objects.jsonl:");
  return at == std::string::npos ? message : message.substr(at);
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  return text.replace(text.find(what), what.size(), by);
}

TEST(ObjectsJsonl, WritesAndReadsTheDocumentedLine) {
  EXPECT_EQ(objects_json_line("000007", kLabels), kLine);
  const ImageObjects read = read_text(kLine + "\n");
  ASSERT_EQ(read.at("000007").size(), 2U);
  for (int k = 0; k < 2; ++k) {
    EXPECT_EQ(read.at("000007")[k].category, kLabels[k].category);
    EXPECT_EQ(read.at("000007")[k].x, kLabels[k].x);
    EXPECT_EQ(read.at("000007")[k].y, kLabels[k].y);
  }
}

TEST(ObjectsJsonl, OrdersByMaskValue) {
  const std::string turned =
      replaced(replaced(kLine, "\"mask\":1", "\"mask\":3"), "\"mask\":2", "\"mask\":1");
  const auto objects = read_text(replaced(turned, "\"mask\":3", "\"mask\":2"));
  EXPECT_EQ(objects.at("000007")[0].x, 0);
  EXPECT_EQ(objects.at("000007")[1].x, 12.5);
}

TEST(ObjectsJsonl, PassesOverEmptyLinesAndUnknownKeys) {
  const auto objects =
      read_text(std::string("\n") + replaced(kLine, "{\"image\"", "{\"weight\":3,\"image\"") +
                "\r\n  \n{\"image\":\"empty\",\"objects\":[]}");
  EXPECT_EQ(objects.at("000007").size(), 2U);
  EXPECT_TRUE(objects.at("empty").empty());
}

TEST(ObjectsJsonl, NamesFileAndLine) {
  EXPECT_EQ(objects_error(kLine + "\n{\"image\":"), "objects.jsonl:2: is not a JSON object");
  EXPECT_EQ(objects_error("\n\n[1]\n"), "objects.jsonl:3: is not a JSON object");
  EXPECT_EQ(objects_error(kLine + "\n" + kLine), "objects.jsonl:2: names an image a second time");
}

TEST(ObjectsJsonl, RefusesWhatNestsTooDeep) {
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  for (const std::string& line :
       {deep, replaced(kLine, "{\"image\"", "{\"x\":" + deep + ",\"image\"")})
    EXPECT_EQ(objects_error(line), "objects.jsonl:1: is nested deeper than 64 levels");
}

TEST(ObjectsJsonl, RefusesWhatDoesNotFit) {
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"\"image\":\"000007\"", "\"image\":7"},
      {"\"image\":\"000007\",", ""},
      {"\"category\":\"red L90\"", "\"category\":\"\""},
      {"\"category\":\"red L90\"", "\"category\":8"},
      {"\"category\":\"red L90\",", ""},
      {"\"x\":12.5", "\"x\":-1"},
      {"\"x\":12.5", "\"x\":1e300"},
      {"\"x\":12.5", "\"x\":\"left\""},
      {"\"y\":20.0", "\"y\":null"},
      {"\"mask\":1", "\"mask\":0"},
      {"\"mask\":1", "\"mask\":2"},
      {"\"mask\":1", "\"mask\":3"},
      {"\"mask\":1", "\"mask\":-1"},
      {"\"mask\":1", "\"mask\":1.0"},
      {"\"mask\":1", "\"mask\":18446744073709551615"},
      {"\"objects\":[", "\"objects\":[1,"},
      {"\"x\":12.5", "\"x\":1e999"},
  };
  for (const auto& [from, to] : changes) {
    const std::string message = objects_error(replaced(kLine, from, to));
    EXPECT_TRUE(message.starts_with("objects.jsonl:1: ")) << to << ": " << message;
  }
  EXPECT_TRUE(objects_error(R"({"image":"a","objects":{}})").starts_with("objects.jsonl:1: "));
  EXPECT_TRUE(objects_error(R"({"image":"a"})").starts_with("objects.jsonl:1: "));
  EXPECT_TRUE(
      objects_error("{\"image\":\"\xff\",\"objects\":[]}").starts_with("objects.jsonl:1: "));
}

}  // namespace
}  // namespace osc::program
