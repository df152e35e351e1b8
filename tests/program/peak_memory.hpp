// How much memory an action takes while it runs.
#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <exception>

namespace osc::program {

// The growth of resident memory at the action's peak, in MiB, at most 254; 255 if the action
// throws. The action runs in a child process, which begins with this one's memory.
template <typename Action>
int peak_mebibytes(Action action) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto peak = [] {
      rusage usage{};
      ::getrusage(RUSAGE_SELF, &usage);
      return usage.ru_maxrss / 1024;  // Linux counts in KiB
    };
    try {
      const long before = peak();
      action();
      ::_exit(static_cast<int>(std::min(peak() - before, 254L)));
    } catch (const std::exception&) {
      ::_exit(255);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

}  // namespace osc::program
