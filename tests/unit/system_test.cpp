#include "osc/system.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "runtime/cgroup.hpp"

namespace osc {
namespace {

// Whether the set stays that one thread forces while another asks for the first time: in a process
// of its own, since only the first time counts.
bool stays_in_a_fresh_process() {
  const pid_t child = fork();
  if (child == 0) {
    const std::string baseline = "x86-64";
    std::thread asks([] { static_cast<void>(instruction_set()); });
    const bool is_forced = try_set_instruction_set(baseline.c_str()).ok();
    asks.join();
    _exit(is_forced && instruction_set() != baseline ? 1 : 0);
  }
  int result = 1;
  return waitpid(child, &result, 0) == child && result == 0;
}

// The first test of this program: the ones after it ask in this process.
TEST(ForcedInstructionSet, StaysThoughAnotherThreadAsksForTheFirstTime) {
  for (int repeat = 0; repeat < 100; ++repeat) EXPECT_TRUE(stays_in_a_fresh_process()) << repeat;
}

TEST(ForcedInstructionSet, ThatThereIsNotIsAnErrorThatNamesThoseThereAre) {
  const std::string before = instruction_set();
  const Status status = try_set_instruction_set("abacus");
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_NE(std::string(status.text()).find("abacus"), std::string::npos) << status.text();
  EXPECT_NE(std::string(status.text()).find(before), std::string::npos) << status.text();
  EXPECT_EQ(instruction_set(), before);
}

class Cgroup : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(root_); }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  const std::filesystem::path root_ =
      std::filesystem::temp_directory_path() / ("osc_cgroup_test." + std::to_string(getpid()));
};

TEST_F(Cgroup, Version2TakesTheSmallestOnTheWayUp) {
  write("a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_cpu_quota("0::/a/b\n", root_), std::nullopt);
  write("a/cpu.max", "250000 100000\n");
  EXPECT_EQ(cgroup_cpu_quota("0::/a/b\n", root_), 2.5);
  write("a/b/cpu.max", "50000 100000\n");
  EXPECT_EQ(cgroup_cpu_quota("0::/a/b\n", root_), 0.5);
}

TEST_F(Cgroup, InsideAContainerThePathMayNotExist) {
  write("cpu.max", "150000 100000\n");
  EXPECT_EQ(cgroup_cpu_quota("0::/kubepods/pod7\n", root_), 1.5);
}

TEST_F(Cgroup, Version1) {
  write("cpu,cpuacct/job/cpu.cfs_quota_us", "300000\n");
  write("cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_quota("9:memory:/job\n4:cpu,cpuacct:/job\n", root_), 3.0);
  write("cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(cgroup_cpu_quota("4:cpu,cpuacct:/job\n", root_), std::nullopt);
}

TEST_F(Cgroup, NonsenseIsNoQuota) {
  write("cpu.max", "lots of it\n");
  EXPECT_EQ(cgroup_cpu_quota("0::/\nnonsense\n::\n", root_), std::nullopt);
  EXPECT_EQ(cgroup_cpu_quota("", root_), std::nullopt);
}

TEST(System, TellsWhatThereIs) {
  EXPECT_GE(available_cores(), 1);
  EXPECT_LE(available_cores(), static_cast<int>(std::thread::hardware_concurrency()));
  EXPECT_FALSE(std::string(instruction_set()).empty());
  EXPECT_EQ(std::string(version()).find_first_not_of("0123456789."), std::string::npos);
}

}  // namespace
}  // namespace osc
