// The osc program: one line on stderr and a non-zero status for whatever goes wrong.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <new>

#include "commands/commands.hpp"
#include "osc/version.hpp"
#include "support/error.hpp"

namespace {

constexpr int kFailed = 1;
constexpr int kBadUsage = 2;
constexpr int kInterrupted = 130;  // as a shell reports a process ended by Ctrl-C

int complain(const char* text, int status) {
  std::fprintf(stderr, "osc: %s\n", text);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace osc::program;
  CLI::App program("Learns objects from images without labels, finds them, and recognises each again.", "osc");
  program.set_version_flag("--version", std::string("osc ") + osc::version());
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
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return program.exit(error);  // --help, --version
    return complain((std::string(error.what()) + "; see osc --help, or osc COMMAND --help").c_str(), kBadUsage);
  } catch (const UserError& error) {
    return complain(error.what(), kFailed);
  } catch (const Interrupted& interruption) {
    return complain(interruption.what(), kInterrupted);
  } catch (const std::bad_alloc&) {
    return complain("out of memory", kFailed);
  } catch (const std::exception& error) {
    return complain(error.what(), kFailed);
  }
  return 0;
}
