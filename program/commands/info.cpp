#include <cstdio>  // before jpeglib.h, which uses FILE without including it

#include <jpeglib.h>
#include <png.h>
#include <torch/version.h>
#include <zlib.h>

#include "commands/commands.hpp"
#include "osc/similarity_loss.hpp"
#include "osc/system.hpp"

#define OSC_TEXT_OF(x) #x
#define OSC_TEXT(x) OSC_TEXT_OF(x)

namespace osc::program {

void add_info_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "info", "Tell the version, the instruction set, the threads and the libraries");
  command->callback([] {
    // Fails where OSC_INSTRUCTION_SET asks for what there is not.
    match_slots(contiguous<const float>(nullptr, {2, 0, 0, 0}), {});
    std::printf("osc               %s\n", osc_version());
    std::printf("instruction set   %s\n", instruction_set());
    std::printf("threads           %d\n", available_cores());
    std::printf("libtorch          %s\n", TORCH_VERSION);
    std::printf("libpng            %s\n", PNG_LIBPNG_VER_STRING);
    std::printf("libjpeg-turbo     %s\n", OSC_TEXT(LIBJPEG_TURBO_VERSION));
    std::printf("zlib              %s\n", ZLIB_VERSION);
  });
}

}  // namespace osc::program
