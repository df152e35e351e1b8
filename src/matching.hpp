// The matching of slots, for calls that have chosen their kernels, their threads and their memory
// already.
#pragma once

#include <cstdint>

#include "batch.hpp"
#include "cpu/kernels.hpp"
#include "osc/assignment.hpp"
#include "osc/slots.hpp"
#include "osc/status.hpp"
#include "osc/workspace.hpp"

namespace osc {

// The batch of all images.
template <typename T>
Batch matching_batch(std::int64_t images, std::int64_t slots, std::int64_t channels,
                     const cpu::KernelsOf<T>& kernels) noexcept;

// What match_slots does, of slots that are good and not empty.
template <typename T>
Status match_checked_slots(const SlotPairs<const T>& slots, double eps,
                           const cpu::KernelsOf<T>& kernels, const Crew& crew, Workspace* workspace,
                           const MatchResults& results) noexcept;

}  // namespace osc
