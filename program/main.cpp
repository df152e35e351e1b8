// The osc program. An error prints one line on stderr and gives a non-zero status.
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

// Prints the text without the stack trace of libtorch's errors.
int complain(std::string_view text, int status) {
  const std::string line =
      osc::program::printable(text.substr(0, text.find("\nException raised from")));
  std::fprintf(stderr, "osc: %s\n", line.c_str());
  return status;
}

// Fails where printed text was lost, for example on a full disk. A network file system may report
// that only when the file is closed.
int finish_output() {
  const bool was_lost = std::ferror(stdout) != 0;
  const bool is_lost = std::fclose(stdout) != 0;
  return was_lost || is_lost ? complain("standard output cannot be written", kFailed) : 0;
}

// The descriptor of a closed standard stream would be given to the next file that is opened, and
// printed text would end up in that file. A stream that was closed takes no text: what is printed
// to standard output is then lost, and finish_output() says so.
void open_standard_streams() {
  for (int stream = 0; stream <= 2; ++stream) {
    const int mode = stream == STDOUT_FILENO ? O_RDONLY : O_RDWR;
    if (::fcntl(stream, F_GETFD) == -1 && ::open("/dev/null", mode) == -1) std::_Exit(kFailed);
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
  for (const auto add :
       {add_train_command, add_eval_command, add_report_command, add_segment_command,
        add_find_command, add_generate_command, add_loss_command, add_info_command})
    add(program);
  const std::string first = argc > 1 ? argv[1] : "";
  const auto has_name = [&](const CLI::App* command) { return command->get_name() == first; };
  if (!first.empty() && !program.get_option_no_throw(first) &&
      program.get_subcommands(has_name).empty())
    return complain(first + " is not a command; see osc --help", kBadUsage);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
      std::ostringstream text;  // of --help, --version
      program.exit(error, text);
      std::fputs(text.str().c_str(), stdout);
      return finish_output();
    }
    return complain(std::string(error.what()) + "; see osc " +
                        (first.empty() || first[0] == '-' ? "" : first + " ") + "--help",
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
