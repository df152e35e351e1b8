// The osc program: one line on stderr and a non-zero status for whatever goes wrong.
#include <CLI/CLI.hpp>

#include <fcntl.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <sstream>
#include <string>
#include <string_view>

#include "commands/commands.hpp"
#include "osc/osc.h"
#include "support/error.hpp"
#include "support/text.hpp"

namespace {

constexpr int kFailed = 1;
constexpr int kBadUsage = 2;
constexpr int kInterrupted = 130;  // as a shell reports a process ended by Ctrl-C

// One line: of a longer text (libtorch's carry a stack trace) the first.
int complain(std::string_view text, int status) {
  const std::string line =
      osc::program::printable(text.substr(0, text.find("\nException raised from")));
  std::fprintf(stderr, "osc: %s\n", line.c_str());
  return status;
}

// Success, unless something that was printed is lost, now or since the start: a full disk, say. A
// network file system may say so only when the file is closed.
int finish_output() {
  const bool was_lost = std::ferror(stdout) != 0;
  const bool is_lost = std::fclose(stdout) != 0;
  return was_lost || is_lost ? complain("standard output cannot be written", kFailed) : 0;
}

// A standard stream that was closed would give its number to the next file that is opened, and what
// is printed would end up in that file.
void open_standard_streams() {
  for (int stream = 0; stream <= 2; ++stream) {
    if (::fcntl(stream, F_GETFD) == -1 && ::open("/dev/null", O_RDWR) == -1) std::_Exit(kFailed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace osc::program;
  open_standard_streams();
  CLI::App program(
      "Learns objects from images without labels, finds them, and recognises each again.", "osc");
  program.set_version_flag("--version", std::string("osc ") + osc_version());
  program.require_subcommand(1);
  add_train_command(program);
  add_eval_command(program);
  add_report_command(program);
  add_segment_command(program);
  add_find_command(program);
  add_generate_command(program);
  add_loss_command(program);
  add_info_command(program);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
      std::ostringstream text;  // of --help, --version
      program.exit(error, text);
      std::fputs(text.str().c_str(), stdout);
      return finish_output();
    }
    return complain(std::string(error.what()) + "; see osc --help, or osc COMMAND --help",
                    kBadUsage);
  } catch (const UserError& error) {
    return complain(error.what(), kFailed);
  } catch (const Interrupted& interruption) {
    return complain(interruption.what(), kInterrupted);
  } catch (const std::bad_alloc&) {
    return complain("out of memory", kFailed);
  } catch (const std::exception& error) {
    return complain(error.what(), kFailed);
  }
  return finish_output();
}
