# libtorch from the torch wheel, as the target osc_libtorch.
# Not find_package(Torch): for a wheel with CUDA it demands a CUDA toolkit, although our sources use
# none.
if(NOT OSC_TORCH_DIR)
  file(GLOB OSC_TORCH_DIR ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch)
endif()
if(NOT EXISTS "${OSC_TORCH_DIR}/include/torch/csrc/api/include/torch/torch.h")
  message(FATAL_ERROR
    "No libtorch: looked for a torch wheel in .venv (scripts/setup.sh installs it); "
    "or give -DOSC_TORCH_DIR=<site-packages>/torch")
endif()
add_library(osc_libtorch INTERFACE)
target_include_directories(osc_libtorch SYSTEM INTERFACE ${OSC_TORCH_DIR}/include
  ${OSC_TORCH_DIR}/include/torch/csrc/api/include)
target_link_directories(osc_libtorch INTERFACE ${OSC_TORCH_DIR}/lib)
target_link_libraries(osc_libtorch INTERFACE torch torch_cpu c10)
target_link_options(osc_libtorch INTERFACE "LINKER:--no-as-needed"
  "LINKER:-rpath,${OSC_TORCH_DIR}/lib" "LINKER:--disable-new-dtags")
