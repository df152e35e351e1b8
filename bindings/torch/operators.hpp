// The operators of the table in PyTorch's dispatcher. Linking this registers them.
#pragma once

namespace osc::torch_operators {

// True. A caller of this function forces the linker to take the registrations out of the archive.
bool are_registered();

}  // namespace osc::torch_operators
