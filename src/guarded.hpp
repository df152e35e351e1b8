// From exceptions to a Status.
#pragma once

#include <exception>
#include <new>

#include "osc/error.hpp"
#include "osc/status.hpp"

namespace osc {

// What `call` returns, or a Status for what it throws.
template <typename Call>
Status guarded(const Call& call) noexcept {
  try {
    return call();
  } catch (const InvalidArgument& error) {
    return Status(StatusCode::invalid_argument, -1, "%s", error.what());
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, -1, "out of memory");
  } catch (const std::exception& error) {
    return Status(StatusCode::internal, -1, "%s", error.what());
  } catch (...) {
    return Status(StatusCode::internal, -1, "an exception of unknown type");
  }
}

}  // namespace osc
