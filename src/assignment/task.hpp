// What the kernels of the assignment are given.
#pragma once

#include <cstddef>

#include "osc/status.hpp"
#include "osc/view.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/sizes.hpp"

namespace osc::cpu {

template <typename T>
struct AssignmentTask {
  View<const T, 3> cost;  // [N, R, K]
  bool maximize;
  Index* col4row;              // [N, R]; null: not wanted
  Index* row4col;              // [N, K]; null: not wanted
  AssignmentStatus* statuses;  // [N]
};

template <typename T>
struct AssignmentKernels {
  // The bytes that run() works in, aligned to 64.
  std::size_t (*memory)(Index rows, Index columns);
  // Solves the problems [begin, end).
  void (*run)(const AssignmentTask<T>& task, Index begin, Index end, void* memory);
};

OSC_DECLARE_KERNELS(AssignmentKernels, assignment_kernels)

}  // namespace osc::cpu
