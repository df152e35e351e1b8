# osc_add_test(NAME [LIBRARIES ...]): NAME.cpp, a GoogleTest program, as the ctest NAME.
function(osc_add_test name)
  cmake_parse_arguments(ARG "" "" "LIBRARIES" ${ARGN})
  add_executable(${name} ${name}.cpp)
  osc_finish_test(${name} ${ARG_LIBRARIES})
endfunction()

# osc_add_room_test(NAME [LIBRARIES ...] [PCH target]): all *_test.cpp of this folder as one
# program, compiled as one source file, with the precompiled header of `target`: including
# GoogleTest and libtorch anew for each file would cost minutes.
function(osc_add_room_test name)
  cmake_parse_arguments(ARG "" "PCH" "LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *_test.cpp)
  add_executable(${name} ${sources})
  set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
  if(ARG_PCH)
    target_precompile_headers(${name} REUSE_FROM ${ARG_PCH})
    # As the header was compiled; executables would be -fPIE.
    target_compile_options(${name} PRIVATE -fPIC)
  endif()
  osc_finish_test(${name} ${ARG_LIBRARIES})
endfunction()

function(osc_finish_test name)
  target_link_libraries(${name} PRIVATE ${ARGN} GTest::gtest_main osc_compiler_options)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
endfunction()
