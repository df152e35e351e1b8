#include <cstdio>

#include "commands/commands.hpp"
#include "commands/runs.hpp"
#include "report/drawing.hpp"
#include "support/files.hpp"
#include "support/text.hpp"
#include "training/trainer.hpp"

namespace osc::program {
namespace {

namespace fs = std::filesystem;

struct SegmentFlags {
  std::string run, out;
  std::vector<std::string> images;
};

// The output files of an image.
struct SegmentFiles {
  std::string name;
  fs::path slots, overlay;

  SegmentFiles(const fs::path& folder, const fs::path& image)
      : name(image.stem().string()),
        slots(folder / (name + ".png")),
        overlay(folder / (name + ".overlay.png")) {}
};

void segment(const SegmentFlags& flags) {
  const RunFolder run = open_run(flags.run);
  const RunConfig config = read_config(run);
  use_threads(config.threads);
  const TrainedModel trained = load_model(run, config);

  // All checks come before the first output is written.
  std::vector<Output> outputs;
  std::vector<fs::path> inputs = run.files();
  for (const std::string& path : flags.images) {
    const SegmentFiles files(flags.out, path);
    outputs.push_back({"the slots of " + path, files.slots});
    outputs.push_back({"the overlay of " + path, files.overlay});
    inputs.push_back(path);
    // The true mask of an image of a data folder.
    const fs::path folder = fs::path(path).parent_path();
    const fs::path mask = folder.parent_path() / "masks" / (files.name + ".png");
    if (folder.filename() == "images" && fs::exists(mask)) inputs.push_back(mask);
  }
  check_outputs(outputs, inputs);
  const int side = static_cast<int>(config.image_size);
  for (const std::string& path : flags.images) read_image(path, side, side);
  create_folder(flags.out);
  for (const std::string& path : flags.images) {
    const SegmentFiles files(flags.out, path);
    const Image image = read_image(path);
    const ObjectIndex index =
        index_single_image(trained.model, config, resize(image, side, side), files.name);
    const Mask slots = resize(index.slot_of_pixel[0], image.width, image.height);
    write_file_atomically(files.slots, encode_png(slots));
    write_file_atomically(files.overlay, encode_png(draw_overlay(image, slots)));
    std::printf("%s: slots of objects:", printable(path).c_str());
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
