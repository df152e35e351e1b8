#include "osc/error.hpp"

#include <new>

namespace osc {

// Defined here, not in the header, so that each class has its type information in one place and can
// be caught across the shared library's border.
InvalidArgument::~InvalidArgument() = default;
NonFiniteError::~NonFiniteError() = default;
AssignmentError::~AssignmentError() = default;

void raise_unless_ok(const Status& status) {
  switch (status.code()) {
    case StatusCode::ok: return;
    case StatusCode::invalid_argument: throw InvalidArgument(status.text());
    case StatusCode::nonfinite: throw NonFiniteError(status.text(), status.index());
    case StatusCode::unsolvable: throw AssignmentError(status.text(), status.index());
    case StatusCode::out_of_memory: throw std::bad_alloc();
    case StatusCode::internal: break;
  }
  throw std::runtime_error(status.text());
}

}  // namespace osc
