// Which kernels run: decided at the first call, or by force.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cpu/kernels.hpp"
#include "osc/error.hpp"
#include "osc/system.hpp"

#if defined(OSC_X86_KERNELS)
#include <cpuid.h>
#endif

namespace osc {
namespace cpu {
namespace {

std::atomic<const Kernels*> chosen = nullptr;

#if defined(OSC_X86_KERNELS)
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
#endif

const Kernels& widest() {
#if defined(OSC_X86_KERNELS)
  __builtin_cpu_init();
  if (has_avx512()) return avx512_kernels;
  if (has_avx2()) return avx2_kernels;
#endif
  return baseline_kernels;
}

// Null where there is none of this name, or not on this processor.
const Kernels* by_name(const char* name) {
#if defined(OSC_X86_KERNELS)
  __builtin_cpu_init();
  if (std::strcmp(name, avx512_kernels.instruction_set) == 0)
    return has_avx512() ? &avx512_kernels : nullptr;
  if (std::strcmp(name, avx2_kernels.instruction_set) == 0)
    return has_avx2() ? &avx2_kernels : nullptr;
#endif
  return std::strcmp(name, baseline_kernels.instruction_set) == 0 ? &baseline_kernels : nullptr;
}

Status unknown(const char* source, const char* name) {
  return Status(StatusCode::invalid_argument, -1,
                "%s is \"%.40s\": this processor and this build have %s", source, name,
                &widest() == &baseline_kernels ? baseline_kernels.instruction_set
#if defined(OSC_X86_KERNELS)
                : &widest() == &avx2_kernels ? "x86-64 and avx2"
                                             : "x86-64, avx2 and avx512"
#else
                                               : ""
#endif
  );
}

}  // namespace

const Kernels* kernels(Status& status) noexcept {
  const Kernels* known = chosen.load(std::memory_order_acquire);
  if (known) return known;
  const char* const forced = std::getenv("OSC_INSTRUCTION_SET");
  const Kernels* const table = forced && *forced ? by_name(forced) : &widest();
  if (!table) {
    status = unknown("the environment variable OSC_INSTRUCTION_SET", forced);
    return nullptr;
  }
  // Another thread may have forced one meanwhile: that one stays.
  return chosen.compare_exchange_strong(known, table, std::memory_order_acq_rel) ? table : known;
}

}  // namespace cpu

const char* instruction_set() noexcept {
  Status status;
  const cpu::Kernels* const table = cpu::kernels(status);
  return table ? table->instruction_set : cpu::widest().instruction_set;
}

Status try_set_instruction_set(const char* name) noexcept {
  if (!name)
    return Status(StatusCode::invalid_argument, -1,
                  "the pointer to the name of the instruction set is null");
  const cpu::Kernels* const table = *name ? cpu::by_name(name) : &cpu::widest();
  if (!table) return cpu::unknown("the instruction set", name);
  cpu::chosen.store(table, std::memory_order_release);
  return {};
}

void set_instruction_set(const char* name) { raise_unless_ok(try_set_instruction_set(name)); }

}  // namespace osc
