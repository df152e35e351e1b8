// Ctrl-C and a polite kill, as a question that long loops ask.
#pragma once

namespace osc::program {

// From now on the first SIGINT or SIGTERM only sets what interrupted() tells; a second one ends the
// process as usual.
void catch_interrupts();

bool interrupted();

}  // namespace osc::program
