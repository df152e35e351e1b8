#include "runtime/failure.hpp"

#include <cstdarg>
#include <cstdio>

#include "osc/osc.h"

namespace osc::cpu {
namespace {

thread_local Status last_failure;

}  // namespace

Status failure(StatusCode code, std::int64_t index, const char* format, ...) noexcept {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return Status(code, index, text);
}

osc_status reported(const Status& status) noexcept {
  if (!status.ok()) last_failure = status;
  return static_cast<osc_status>(status.code());
}

}  // namespace osc::cpu

const char* osc_last_error(void) { return osc::cpu::last_failure.text(); }
int64_t osc_last_error_index(void) { return osc::cpu::last_failure.index(); }
