// The instruction sets, and the kernels of an operator for each.
//
// src/*/kernels.cpp are written in the vectors of simd/<set>.hpp, once, and compiled for each set
// in the list of src/CMakeLists.txt with that set's flags. Everything that such a file defines,
// except its table, has internal linkage. Otherwise the linker could pick one of its inline
// functions for code that runs on every processor.
#pragma once

#include "instruction_sets.hpp"  // made by src/CMakeLists.txt
#include "osc/float16.hpp"
#include "osc/status.hpp"

namespace osc::cpu {

struct InstructionSet {
  const char* name;
  bool (*is_supported)();
  int index;  // in the tables of kernels
};

// The instruction set that was forced, or else the widest that the processor has. Null, with the
// reason in `status`, if the environment variable names one that is not available. Another thread
// may force another set at any time. So a call asks once, at its beginning, and passes the answer
// on.
const InstructionSet* instruction_set_in_use(Status& status) noexcept;

// The type that elements are computed in.
template <typename T>
struct Computed {
  using Type = float;
};
template <>
struct Computed<double> {
  using Type = double;
};

// Kernels for each type of elements.
template <template <typename> typename Kernels>
struct KernelTable : Kernels<double>, Kernels<float>, Kernels<float16>, Kernels<bfloat16> {};

template <typename T, template <typename> typename Kernels>
const Kernels<T>& kernels_of(const KernelTable<Kernels>& table) noexcept {
  return table;
}

// Declares, at the end of an operator's task.hpp, the tables that its kernels.cpp defines as `name`
// in the namespace OSC_INSTRUCTION_SET; and `name`, the array of them by index.
#define OSC_DECLARE_KERNELS_OF(set, Kernels, name) \
  namespace set {                                  \
  extern const KernelTable<Kernels> name;          \
  }
#define OSC_ADDRESS_OF_KERNELS(set, name) &set::name,
#define OSC_DECLARE_KERNELS(Kernels, name)                            \
  OSC_FOR_EACH_INSTRUCTION_SET(OSC_DECLARE_KERNELS_OF, Kernels, name) \
  constexpr const KernelTable<Kernels>* name[] = {                    \
      OSC_FOR_EACH_INSTRUCTION_SET(OSC_ADDRESS_OF_KERNELS, name)};

}  // namespace osc::cpu
