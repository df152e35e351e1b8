// Statuses other than ok.
#pragma once

#include <cstdint>
#include <exception>
#include <new>

#include "osc/error.hpp"
#include "osc/osc.h"
#include "osc/status.hpp"

namespace osc::cpu {

// The text is formatted as printf does, and cut where it does not fit.
[[gnu::format(printf, 3, 4)]] Status failure(StatusCode code, std::int64_t index,
                                             const char* format, ...) noexcept;

// What `call` returns, or a Status for what it throws.
template <typename Call>
Status guarded(const Call& call) noexcept {
  try {
    return call();
  } catch (const InvalidArgument& error) {
    return Status(StatusCode::invalid_argument, -1, error.what());
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, -1, "out of memory");
  } catch (const std::exception& error) {
    return Status(StatusCode::internal, -1, error.what());
  } catch (...) {
    return Status(StatusCode::internal, -1, "an exception of unknown type");
  }
}

// Keeps a failure for osc_last_error().
osc_status reported(const Status& status) noexcept;

}  // namespace osc::cpu
