#include <cstdio>  // before jpeglib.h, which uses FILE without including it

#include <jpeglib.h>
#include <png.h>
#include <torch/version.h>
#include <zlib.h>

#include "commands/commands.hpp"
#include "osc/assignment.hpp"
#include "osc/system.hpp"
#include "osc/version.hpp"

#define OSC_TEXT_OF(x) #x
#define OSC_TEXT(x) OSC_TEXT_OF(x)

namespace osc::program {

void add_info_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "info", "Tell the version, the instruction set, the threads and the libraries");
  command->callback([] {
    raise_unless_ok(try_match_slots(
        SlotPairs<float>{}, {}));  // fails where OSC_INSTRUCTION_SET asks for what there is not
    std::printf("osc               %s\n", osc::version());
    std::printf("instruction set   %s\n", instruction_set());
    std::printf("threads           %d\n", available_cores());
    std::printf("libtorch          %s\n", TORCH_VERSION);
    std::printf("libpng            %s\n", PNG_LIBPNG_VER_STRING);
    std::printf("libjpeg-turbo     %s\n", OSC_TEXT(LIBJPEG_TURBO_VERSION));
    std::printf("zlib              %s\n", ZLIB_VERSION);
  });
}

}  // namespace osc::program
