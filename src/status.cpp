#include "osc/status.hpp"

#include <cstdarg>
#include <cstdio>

namespace osc {

Status::Status(StatusCode code, std::int64_t index, const char* format, ...) noexcept
    : code_(code), index_(index) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text_, sizeof(text_), format, arguments);
  va_end(arguments);
}

}  // namespace osc
