#include <cstdio>
#include <map>

#include "commands/commands.hpp"
#include "commands/single_image.hpp"
#include "commands/threads.hpp"
#include "report/drawing.hpp"
#include "support/error.hpp"
#include "support/files.hpp"
#include "training/trainer.hpp"

namespace osc::program {

namespace {

namespace fs = std::filesystem;

struct SegmentFlags {
  std::string run, out;
  std::vector<std::string> images;
};

void segment(const SegmentFlags& flags) {
  const RunFolder run = open_run(flags.run);
  const RunConfig config = read_config(run);
  use_threads(config.threads);
  const TrainedModel trained = load_model(run, config);

  std::map<std::string, std::string> path_of_name;  // two images must not end up in one file
  for (const std::string& image : flags.images) {
    const std::string name = fs::path(image).stem().string();
    const auto [same, is_new] = path_of_name.emplace(name, image);
    if (!is_new)
      throw UserError(same->second + " and " + image + " would both be written to " + name +
                      ".png");
    for (const char* ending : {".png", ".overlay.png"}) {
      std::error_code error;
      if (fs::equivalent(image, fs::path(flags.out) / (name + ending), error))
        throw UserError(image + " would be overwritten; give another --out");
    }
    read_image(image);  // nothing is written where one cannot be read
  }
  for (const auto& [name, path] : path_of_name) {
    if (path_of_name.contains(name + ".overlay"))
      throw UserError(path + " and " + path_of_name.at(name + ".overlay") +
                      " would both be written to " + name + ".overlay.png");
  }
  create_folder(flags.out);
  for (const auto& [name, path] : path_of_name) {
    const Image image = read_image(path);
    const ObjectIndex index = index_single_image(trained.model, config, image, name);
    const Mask slots = resize(index.slot_of_pixel[0], image.width, image.height);
    write_file_atomically(fs::path(flags.out) / (name + ".png"), encode_png(slots));
    write_file_atomically(fs::path(flags.out) / (name + ".overlay.png"),
                          encode_png(draw_overlay(image, slots)));
    std::printf("%s: slots of objects:", path.c_str());
    for (const IndexedObject& object : index.objects) std::printf(" %d", object.slot);
    std::printf("\n");
  }
}

}  // namespace

void add_segment_command(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("segment", "Write the slot of each pixel of images, and an overlay");
  const auto flags = std::make_shared<SegmentFlags>();
  command->add_option("RUN", flags->run, "the run's folder")->required();
  command->add_option("IMAGE", flags->images, "PNG or JPEG files")->required();
  command
      ->add_option(
          "--out", flags->out,
          "folder for NAME.png (8-bit slot indices, the image's size) and NAME.overlay.png")
      ->required();
  command->callback([flags] { segment(*flags); });
}

}  // namespace osc::program
