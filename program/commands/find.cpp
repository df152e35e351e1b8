#include <algorithm>
#include <cstdio>

#include "commands/commands.hpp"
#include "commands/runs.hpp"
#include "report/drawing.hpp"
#include "support/error.hpp"
#include "support/files.hpp"
#include "support/json.hpp"
#include "support/text.hpp"
#include "training/trainer.hpp"

namespace osc::program {
namespace {

namespace fs = std::filesystem;

struct FindFlags {
  std::string run, image, among, out;
  int slot = 0;
  std::int64_t top = 12;
  bool json = false;
};

void find(const FindFlags& flags) {
  const RunFolder run = open_run(flags.run);
  const RunConfig config = read_config(run);
  const int threads = use_threads(config.threads);
  const TrainedModel trained = load_model(run, config);
  if (flags.slot < 0 || flags.slot >= config.slots) {
    throw UserError("--slot is " + std::to_string(flags.slot) + ", wanted 0 to " +
                    std::to_string(config.slots - 1) + " (osc segment shows them)");
  }
  std::vector<fs::path> inputs = list_files(flags.among);
  inputs.emplace_back(flags.image);
  std::ranges::move(run.files(), std::back_inserter(inputs));
  check_outputs({{"--out " + flags.out, flags.out}}, inputs);
  const int side = static_cast<int>(config.image_size);
  const Image image = read_image(flags.image, side, side).picture;
  const std::string name = fs::path(flags.image).stem().string();
  const ObjectIndex query = index_single_image(trained.model, config, image, name);
  const std::vector<std::uint8_t>& values = query.slot_of_pixel[0].values;
  if (std::find(values.begin(), values.end(), flags.slot) == values.end()) {
    throw UserError("slot " + std::to_string(flags.slot) + " of " + flags.image +
                    " covers no pixel (osc segment shows which do)");
  }

  const bool is_object =
      std::any_of(query.objects.begin(), query.objects.end(),
                  [&](const IndexedObject& object) { return object.slot == flags.slot; });
  const ImageSet among = read_image_set(flags.among, side, threads);
  for (const std::string& line : among.skipped)
    std::fprintf(stderr, "skipped: %s\n", printable(line).c_str());
  const ObjectIndex index =
      build_object_index(trained.model, among, static_cast<std::uint64_t>(config.seed));
  std::optional<std::int64_t> itself;  // the image of the query, which is left out
  for (std::int64_t i = 0; i < among.size(); ++i) {
    if (among.image(i).pixels == image.pixels) itself = i;
  }

  Retrieval retrieval;
  retrieval.query = {name, image, query.slot_of_pixel[0], flags.slot, 1, std::nullopt};
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const RankedObject& ranked :
       rank(index, query.embedding(0, flags.slot), flags.top, itself)) {
    const std::int64_t i = ranked.object.image;
    retrieval.nearest.push_back({among.names[i], among.image(i), index.slot_of_pixel[i],
                                 ranked.object.slot, ranked.similarity, std::nullopt});
    results.push_back({{"image", among.names[i]},
                       {"slot", ranked.object.slot},
                       {"similarity", ranked.similarity}});
  }
  write_file_atomically(flags.out, encode_png(draw_retrieval_sheet(retrieval)));
  if (flags.json) {
    const nlohmann::ordered_json json = {{"image", flags.image},
                                         {"slot", flags.slot},
                                         {"is_object", is_object},
                                         {"among", flags.among},
                                         {"objects", index.objects.size()},
                                         {"results", results}};
    std::printf("%s\n", json_text(json).c_str());
  } else {
    if (!is_object)
      std::printf("slot %d of %s looks like background; osc segment names the slots of objects\n",
                  flags.slot, printable(flags.image).c_str());
    for (const auto& result : results) {
      std::printf("%.4f  %s  slot %d\n", result["similarity"].get<double>(),
                  printable(result["image"].get<std::string>()).c_str(), result["slot"].get<int>());
    }
  }
}

}  // namespace

void add_find_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "find", "Rank the objects of a folder of images by similarity to an object");
  const auto flags = std::make_shared<FindFlags>();
  command->add_option("RUN", flags->run, "the run's folder")->required();
  command->add_option("IMAGE", flags->image, "the image with the object")->required();
  command->add_option("--slot", flags->slot, "the object's slot, as osc segment numbers them")
      ->required();
  command->add_option("--among", flags->among, "the folder of images to search")->required();
  command->add_option("--top", flags->top, "how many to show [12]")->check(CLI::Range(1, 1000));
  command->add_option("--out", flags->out, "the sheet of pictures, a PNG file")->required();
  command->add_flag("--json", flags->json, "print one JSON object with the ranking");
  command->callback([flags] { find(*flags); });
}

}  // namespace osc::program
