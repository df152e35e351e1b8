// Which kernels run: decided at the first call, or by force.
#include "runtime/dispatch.hpp"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "osc/osc.h"
#include "runtime/failure.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace osc::cpu {
namespace {

bool always() { return true; }

#if defined(__x86_64__)
constexpr const char* kBaseline = "x86-64";

bool has_avx2() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kF16c = 1u << 29;  // __builtin_cpu_supports does not know it everywhere
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & kF16c) != 0 &&
         __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("popcnt");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}
#elif defined(__ARM_NEON)
constexpr const char* kBaseline = "neon";
#else
constexpr const char* kBaseline = "generic";
#endif

// The order is that of the list in src/CMakeLists.txt, the widest last.
constexpr InstructionSet kInstructionSets[] = {
    {kBaseline, always, 0},
#if defined(__x86_64__)
    {"avx2", has_avx2, 1},
    {"avx512", has_avx512, 2},
#endif
};
static_assert(std::size(kInstructionSets) == kInstructionSetCount);

std::atomic<const InstructionSet*> chosen = nullptr;

const InstructionSet* widest() {
  const InstructionSet* set = std::end(kInstructionSets) - 1;
  while (!set->is_supported()) --set;
  return set;
}

// "" is the widest. Null if there is none of this name, or not on this processor.
const InstructionSet* by_name(const char* name) {
  if (*name == '\0') return widest();
  for (const InstructionSet& set : kInstructionSets) {
    if (std::strcmp(name, set.name) == 0) return set.is_supported() ? &set : nullptr;
  }
  return nullptr;
}

Status unknown(const char* source, const char* name) {
  char names[64] = "";
  for (const InstructionSet& set : kInstructionSets) {
    if (!set.is_supported()) continue;
    if (*names != '\0') std::strcat(names, ", ");
    std::strcat(names, set.name);
  }
  return failure(StatusCode::invalid_argument, -1,
                 "%s is \"%.40s\"; this processor and this build have %s", source, name, names);
}

Status set_instruction_set(const char* name) noexcept {
  if (!name)
    return Status(StatusCode::invalid_argument, -1, "the instruction set is a null pointer");
  const InstructionSet* const set = by_name(name);
  if (!set) return unknown("the instruction set", name);
  chosen.store(set, std::memory_order_release);
  return {};
}

}  // namespace

const InstructionSet* instruction_set_in_use(Status& status) noexcept {
  const InstructionSet* known = chosen.load(std::memory_order_acquire);
  if (known) return known;
  const char* const forced = std::getenv("OSC_INSTRUCTION_SET");
  const InstructionSet* const set = by_name(forced ? forced : "");
  if (!set) {
    status = unknown("the environment variable OSC_INSTRUCTION_SET", forced);
    return nullptr;
  }
  // If another thread has forced a set in the meantime, that set stays.
  return chosen.compare_exchange_strong(known, set, std::memory_order_acq_rel) ? set : known;
}

}  // namespace osc::cpu

const char* osc_instruction_set(void) {
  osc::Status status;
  const auto* const set = osc::cpu::instruction_set_in_use(status);
  return set ? set->name : osc::cpu::widest()->name;
}

osc_status osc_set_instruction_set(const char* name) {
  return osc::cpu::reported(osc::cpu::set_instruction_set(name));
}
