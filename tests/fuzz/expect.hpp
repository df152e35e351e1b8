// How a fuzz target says that what it was promised is not so.
#pragma once

#include <cstdio>
#include <cstdlib>

// Ends the process, which libFuzzer takes for a finding. The rest is printf's.
#define OSC_EXPECT(condition, ...)                                                 \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s: ", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                                           \
      std::fputc('\n', stderr);                                                    \
      std::abort();                                                                \
    }                                                                              \
  } while (false)
