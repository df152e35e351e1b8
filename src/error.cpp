#include "osc/error.hpp"

namespace osc {

// Defined here, not in the header, so that each class has its type information in one place and can be caught across the shared library's border.
InvalidArgument::~InvalidArgument() = default;
NonFiniteError::~NonFiniteError() = default;
AssignmentError::~AssignmentError() = default;

}  // namespace osc
