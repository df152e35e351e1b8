#include "osc/workspace.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "runtime/plan.hpp"

namespace osc {
namespace {

TEST(Workspace, GrowsAndKeepsWhatItHas) {
  Workspace workspace;
  EXPECT_EQ(workspace.bytes(), 0U);
  void* const first = workspace.reserve(1000);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % 64, 0U);
  EXPECT_EQ(workspace.reserve(10), first);
  EXPECT_EQ(workspace.bytes(), 1000U);
  for (const std::size_t bytes : {1001, 5000}) {  // a byte more is more
    EXPECT_NE(workspace.reserve(bytes), nullptr);
    EXPECT_EQ(workspace.bytes(), bytes);
  }
  EXPECT_EQ(workspace.reserve(std::size_t{1} << 62), nullptr);
}

TEST(Workspace, OfTheCallersMemoryDoesNotGrow) {
  std::vector<char> memory(1 + 64 + 63);
  Workspace workspace(memory.data() + 1, memory.size() - 1);
  EXPECT_NE(workspace.reserve(64), nullptr);
  EXPECT_EQ(workspace.reserve(64 + 64), nullptr);
}

TEST(Workspace, GivesBackWhatItNeedsNoMore) {
  Workspace workspace;
  ASSERT_NE(workspace.reserve(5000), nullptr);
  workspace.shrink(5000);
  EXPECT_EQ(workspace.bytes(), 5000U);
  workspace.shrink(4999);
  EXPECT_EQ(workspace.bytes(), 0U);
  EXPECT_NE(workspace.reserve(100), nullptr);
  std::vector<char> memory(200);
  Workspace of_caller(memory.data(), memory.size());
  of_caller.shrink(0);
  EXPECT_EQ(of_caller.bytes(), 200U);
}

// Of another instruction set, say.
TEST(CallMemory, ThatGrewSinceItWasCountedIsAnError) {
  for (const bool grows : {false, true}) {
    cpu::CallMemory memory(nullptr);
    int times = 0;
    const Status status = memory.lay_out(
        [&](cpu::Arena& arena) { arena.take<char>(++times == 2 && grows ? 65 : 64); });
    EXPECT_EQ(status.code(), grows ? StatusCode::internal : StatusCode::ok) << status.text();
  }
}

TEST(CallMemory, OfMoreBytesThanThereCanBeIsAnErrorAndNotAWrappedSize) {
  cpu::CallMemory memory(nullptr);
  const auto take = [](cpu::Arena& arena) {
    arena.take<double>(std::int64_t{1} << 40, std::int64_t{1} << 40);
    arena.take<double>(8);
  };
  EXPECT_EQ(memory.lay_out(take).code(), StatusCode::out_of_memory);
}

}  // namespace
}  // namespace osc
