#include "training/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

namespace osc::program {

Progress::Progress(bool silent)
    : silent_(silent),
      terminal_(isatty(STDOUT_FILENO) == 1),
      next_(std::chrono::steady_clock::now()) {}

Progress::~Progress() { clear(); }

void Progress::clear() {
  if (!line_open_) return;
  std::fputs("\r\033[K", stdout);
  std::fflush(stdout);
  line_open_ = false;
}

void Progress::show(const std::string& line) {
  const auto now = std::chrono::steady_clock::now();
  if (silent_ || now < next_) return;
  if (terminal_) {
    winsize window{};
    const std::size_t width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1
                                  ? window.ws_col - 1u
                                  : 79u;
    const std::string_view fitting = std::string_view(line).substr(0, width);
    std::printf("\r\033[K%.*s", static_cast<int>(fitting.size()), fitting.data());
    line_open_ = true;
    next_ = now + std::chrono::milliseconds(100);
  } else {
    std::printf("%s\n", line.c_str());
    next_ = now + std::chrono::seconds(10);
  }
  std::fflush(stdout);
}

void Progress::say(const std::string& line) {
  if (silent_) return;
  clear();
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

}  // namespace osc::program
