// How a fuzz target reports a broken promise.
#pragma once

#include <cstdio>
#include <cstdlib>

// Ends the process, which libFuzzer takes for a finding. The rest is printf's.
#define OSC_EXPECT(condition, ...)                                                 \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: broken: %s: ", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                                           \
      std::fputc('\n', stderr);                                                    \
      std::abort();                                                                \
    }                                                                              \
  } while (false)
