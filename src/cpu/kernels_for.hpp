// The table's entries for one instruction set.
#pragma once

#include "cpu/assignment_kernel.hpp"
#include "cpu/contrastive_kernel.hpp"
#include "cpu/kernels.hpp"
#include "cpu/similarity_kernel.hpp"
#include "cpu/small_to_large_kernel.hpp"
#include "cpu/variance_covariance_kernel.hpp"

namespace osc::cpu {
namespace {

template <typename T>
constexpr KernelsOf<T> kernels_for() {
  return {assignment_memory<T>,      assign<T>,           similarity_memory<T>, similarity<T>,
          read_contrasted<T>,        write_contrasted<T>, sum_contrasted<T>,    slope_contrasted<T>,
          small_to_large_memory<T>,  small_to_large<T>,   centre_features<T>,   covary_features<T>,
          write_variance_gradient<T>};
}

}  // namespace
}  // namespace osc::cpu
