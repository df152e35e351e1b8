// report.html of a result.json and a metrics.jsonl that hold anything: the first line is the
// result, the others are metrics.
#include "expect.hpp"
#include "report/report.hpp"
#include "samples.hpp"
#include "support/json.hpp"

namespace osc::program {
namespace {

using Json = nlohmann::json;

std::string sample(Random& random) {
  const auto score = [&] { return pick(random, 0, 1000) / 1000.0; };
  Json masks;
  for (const char* const view : {"clean", "weak", "strong"})
    masks[view] = {{"fg_ari", score()}, {"ari", score()}, {"miou", score()}};
  Json recognition;
  for (const char* const key :
       {"category_recall", "category_recall_weak", "category_recall_strong", "instance_recall_weak",
        "instance_recall_strong", "matching_accuracy_weak", "matching_accuracy_strong"})
    recognition[key] = score();
  const Json result = {
      {"source", "<script>"},
      {"images", 500},
      {"steps", 2800},
      {"seconds", 190.5},
      {"seed", pick(random, 0, 9)},
      {"objective", "recipe"},
      {"fg_ari", score()},
      {"ari", score()},
      {"miou", score()},
      {"masks", masks},
      {"recognition", recognition},
      {"baselines",
       {{"masks", {{"k-means", masks}}}, {"recognition", {{"by hand", recognition}}}}}};
  std::string text = result.dump() + "\n";
  if (pick(random, 0, 3) == 0) text.insert(1, "\"more\":" + nested_lists(random) + ",");
  for (int step = 1; step <= 6; ++step) {
    text +=
        Json{{"stage", 1 + step / 4}, {"step", step},        {"loss", score()},
             {"explain", score()},    {"<script>", score()}, {"images_per_second", 100 * score()},
             {"seconds", step},       {"fg_ari", score()},   {"ari", score()},
             {"miou", score()}}
            .dump() +
        "\n";
  }
  return text;
}

void fuzz(std::string_view bytes) {
  ReportContents contents;
  contents.title = "fuzz";
  contents.config_toml = std::string(bytes.substr(0, 100));
  bool first = true;
  for (std::size_t begin = 0; begin < bytes.size();) {
    const std::size_t end = std::min(bytes.find('\n', begin), bytes.size());
    const std::string_view line = bytes.substr(begin, end - begin);
    Json json = read_or([&] { return parse_json(line); }, Json(Json::value_t::discarded));
    begin = end + 1;
    if (json.is_discarded()) continue;
    OSC_EXPECT(levels_of_json(json) <= kMaxNesting, "%d levels", levels_of_json(json));
    if (first) {
      contents.result = std::move(json);
    } else {
      contents.metrics.push_back(std::move(json));
    }
    first = false;
  }
  const std::string page = render_report(contents);
  OSC_EXPECT(page.ends_with("</html>\n"), "the page lacks its end");
  OSC_EXPECT(page.find("<script") == std::string::npos,
             "what was given got into the page as it was");
}

}  // namespace
}  // namespace osc::program

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  return osc::program::mutate(data, size, max_size, seed, osc::program::sample,
                              [](std::string&) {});
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  osc::program::fuzz(osc::program::text_of(data, size));
  return 0;
}
