#include "osc/system.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "cgroup.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

namespace osc {
namespace {

void keep_smallest(std::optional<double>& smallest, std::optional<double> value) {
  if (value && (!smallest || *value < *smallest)) smallest = value;
}

// Version 2: one file with "QUOTA PERIOD" or "max PERIOD".
std::optional<double> quota_v2(const std::filesystem::path& group) {
  std::ifstream file(group / "cpu.max");
  double quota = 0, period = 0;
  if (file >> quota >> period && quota > 0 && period > 0) return quota / period;
  return std::nullopt;
}

// Version 1: two files; a quota of -1 is none.
std::optional<double> quota_v1(const std::filesystem::path& group) {
  std::ifstream quota_file(group / "cpu.cfs_quota_us"), period_file(group / "cpu.cfs_period_us");
  double quota = 0, period = 0;
  if (quota_file >> quota && period_file >> period && quota > 0 && period > 0)
    return quota / period;
  return std::nullopt;
}

// Every group from `path` up to the root of the hierarchy. Inside a container the path may be the
// host's and not exist here, while the root is our own group.
template <typename Read>
std::optional<double> smallest_quota(const std::filesystem::path& hierarchy,
                                     const std::string& path, const Read& read) {
  std::optional<double> smallest;
  for (auto group = std::filesystem::path(path).relative_path(); !group.empty();
       group = group.parent_path()) {
    keep_smallest(smallest, read(hierarchy / group));
  }
  keep_smallest(smallest, read(hierarchy));
  return smallest;
}

int affinity_cores() {
#if defined(__linux__)
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
    cpu_set_t* const set = CPU_ALLOC(cpus);
    if (!set) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int cores = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return cores;
  }
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

std::optional<double> cgroup_cpu_quota(const std::string& membership,
                                       const std::filesystem::path& root) {
  std::optional<double> smallest;
  std::istringstream lines(membership);
  for (std::string line; std::getline(lines, line);) {  // "ID:CONTROLLERS:PATH"
    const auto first = line.find(':');
    const auto second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      keep_smallest(smallest, smallest_quota(root, path, quota_v2));
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      keep_smallest(smallest, smallest_quota(root / controllers, path, quota_v1));
      keep_smallest(smallest, smallest_quota(root / "cpu", path, quota_v1));
    }
  }
  return smallest;
}

int available_cores() noexcept {
  try {
    int cores = std::max(affinity_cores(), 1);
    std::ostringstream membership;
    membership << std::ifstream("/proc/self/cgroup").rdbuf();
    if (const auto quota = cgroup_cpu_quota(membership.str(), "/sys/fs/cgroup")) {
      cores = static_cast<int>(std::min<double>(cores, std::max(std::ceil(*quota), 1.0)));
    }
    return cores;
  } catch (...) {
    return 1;
  }
}

}  // namespace osc

const char* osc_version(void) { return OSC_VERSION; }
