#include "training/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <string_view>

namespace osc::program {

std::string duration_text(double seconds) {
  const long long whole =
      std::isfinite(seconds) && seconds > 0 ? static_cast<long long>(seconds + 0.5) : 0;
  char text[32];
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%llds", whole);
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%lldm %02llds", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lldh %02lldm", whole / 3600, whole % 3600 / 60);
  }
  return text;
}

Progress::Progress(Kind kind)
    : silent_(kind == Kind::silent),
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
