// The operators of the table in PyTorch's dispatcher. Linking this registers them.
#pragma once

namespace osc::torch_operators {

// True. Who calls it has the registrations linked in, which a linker might leave out of an archive.
bool are_registered();

}  // namespace osc::torch_operators
