# osc_find_wheel(VARIABLE NAME): the folder of an installed Python package whose headers the build
# needs, looked for in the Python that builds the wheel (scikit-build-core says which) or else in
# .venv. It is found, not imported: importing jaxlib or torch would take seconds.
function(osc_find_wheel variable name)
  set(python ${Python_EXECUTABLE})
  if(NOT python)
    set(python ${PROJECT_SOURCE_DIR}/.venv/bin/python)
  endif()
  execute_process(COMMAND ${python} -c
    "import importlib.util as u; print(u.find_spec('${name}').submodule_search_locations[0])"
    OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR
      "${python} has no ${name}, whose headers are needed: install it there (scripts/setup.sh does "
      "for .venv), or give -DPython_EXECUTABLE=<one that has it>")
  endif()
  set(${variable} ${folder} PARENT_SCOPE)
endfunction()
