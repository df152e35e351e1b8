// How much memory an action takes while it runs.
#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <exception>

namespace osc::program {

// MiB of resident memory at the action's peak beyond what the process had before, at most 254; 255
// where the action throws. The action runs in a process of its own, which begins with what this one
// has.
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
