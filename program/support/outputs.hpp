// No command overwrites a file that it reads, nor one of its results by another.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace osc::program {

// A file that a command will write.
struct Output {
  std::string what;  // in the user's words: "--grad g.npy", "the slots of a.png"
  std::filesystem::path path;
};

// Throws UserError where an output is one of the inputs or another output. Files are compared, not
// names: links, symbolic and hard, and other ways to the same folder are seen through. What is no
// regular file, /dev/null say, may be given twice.
void check_outputs(const std::vector<Output>& outputs,
                   const std::vector<std::filesystem::path>& inputs);

}  // namespace osc::program
