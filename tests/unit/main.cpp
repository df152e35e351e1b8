// Runs the tests on the instruction set that OSC_INSTRUCTION_SET names; exits with 77, which ctest
// counts as skipped, where this processor lacks it.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "osc/system.hpp"

int main(int argc, char** argv) {
  if (const char* const wanted = std::getenv("OSC_INSTRUCTION_SET")) {
    if (const osc::Status status = osc::try_set_instruction_set(wanted); !status.ok()) {
      std::printf("skipped: %s\n", status.text());
      return 77;
    }
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
