#!/bin/sh
# The kernel library's tests where other mistakes show: under sanitizers and memcheck, by clang, and
# on 64-bit Arm under emulation.
set -eu
cd "$(dirname "$0")/.."
for preset in asan tsan clang aarch64; do
  echo "== $preset"
  cmake --preset "$preset" >/dev/null
  cmake --build "build-$preset"
  ctest --test-dir "build-$preset" --output-on-failure -j "$(nproc)"
done
echo '== memcheck'
for test in build-clang/tests/*_test; do
  echo "$test"
  # Valgrind does not know AVX-512.
  OSC_INSTRUCTION_SET=avx2 valgrind --quiet --error-exitcode=1 "$test" >/dev/null
done
echo 'sanitize: all passed'
