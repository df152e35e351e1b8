// The CPU quota that a process's control groups grant it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace osc {

// In cores, the smallest along the path from the process's group up to the root; nothing where
// there is none. `membership` is the text of /proc/self/cgroup, `root` the folder where the
// hierarchies are mounted (/sys/fs/cgroup).
std::optional<double> cgroup_cpu_quota(const std::string& membership,
                                       const std::filesystem::path& root);

}  // namespace osc
