# Warnings and sanitizers, on a target that every target of ours links: an interface, so that they
# stay off what we only use.
add_library(osc_compiler_options INTERFACE)
target_compile_options(osc_compiler_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  -Wno-sign-conversion)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms inside std::string (GCC bug 105651).
  target_compile_options(osc_compiler_options INTERFACE -Wno-restrict -Wno-array-bounds)
endif()
if(OSC_WARNINGS_AS_ERRORS)
  target_compile_options(osc_compiler_options INTERFACE -Werror)
endif()
if(OSC_SANITIZE)
  # Undefined behaviour fails a test, too.
  add_compile_options(-fsanitize=${OSC_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${OSC_SANITIZE})
endif()
