// What the kernels of the assignment are given.
#pragma once

#include <cstddef>
#include <cstdint>

#include "osc/status.hpp"
#include "osc/view.hpp"
#include "runtime/dispatch.hpp"

namespace osc::cpu {

template <typename T>
struct AssignmentTask {
  View<const T, 3> cost;  // [N, R, K]
  bool maximize;
  std::int64_t* col4row;       // [N, R]; null: not wanted
  std::int64_t* row4col;       // [N, K]; null: not wanted
  AssignmentStatus* statuses;  // [N]
};

template <typename T>
struct AssignmentKernels {
  // The bytes that run() works in, aligned to 64.
  std::size_t (*memory)(std::int64_t rows, std::int64_t columns);
  // Solves the problems [begin, end).
  void (*run)(const AssignmentTask<T>& task, std::int64_t begin, std::int64_t end, void* memory);
};

OSC_DECLARE_KERNELS(AssignmentKernels, assignment_kernels)

}  // namespace osc::cpu
