#include "osc/workspace.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "batch.hpp"
#include "osc/loss_objects.hpp"

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
  EXPECT_NE(workspace.reserve(5000), nullptr);
  EXPECT_EQ(workspace.bytes(), 5000U);
  EXPECT_EQ(workspace.reserve(std::size_t{1} << 62), nullptr);
}

TEST(Workspace, OfTheCallersMemoryDoesNotGrow) {
  std::vector<char> memory(1 + 64 + 63);
  Workspace workspace(memory.data() + 1, memory.size() - 1);
  EXPECT_NE(workspace.reserve(64), nullptr);
  EXPECT_EQ(workspace.reserve(64 + 64), nullptr);
}

// As many bytes as it says are enough, whatever their alignment; far fewer are an error that says
// so, and nothing is written.
TEST(Workspace, WhatACallSaysItNeedsIsEnough) {
  constexpr std::int64_t kImages = 40, kSlots = 9, kChannels = 70;
  ThreadPool pool(3);
  std::vector<float> slots(2 * kImages * kSlots * kChannels);
  for (std::size_t i = 0; i < slots.size(); ++i) slots[i] = static_cast<float>(i * i % 101) - 50;
  const auto view = view_major_slots(slots.data(), {2 * kImages, kSlots, kChannels});
  const float expected = matching_similarity_loss_per_img(view, view, {.executor = &pool});
  const std::size_t bytes =
      matching_similarity_workspace<float>(kImages, kSlots, kChannels, pool.concurrency());
  for (std::size_t offset = 0; offset < 64; offset += 7) {
    std::vector<char> memory(bytes + offset);
    Workspace workspace(memory.data() + offset, bytes);
    EXPECT_EQ(
        matching_similarity_loss_per_img(view, view, {.executor = &pool, .workspace = &workspace}),
        expected);
  }
  std::vector<char> little(100);
  Workspace workspace(little.data(), little.size());
  float loss = -7;
  const Status status =
      try_matching_similarity_loss_per_img(view, view, {.workspace = &workspace}, {.loss = &loss});
  EXPECT_EQ(status.code(), StatusCode::out_of_memory);
  EXPECT_NE(std::string(status.text()).find("bytes"), std::string::npos);
  EXPECT_EQ(loss, -7);
}

// Of another instruction set, say.
TEST(Workspace, ALayoutThatGrewSinceItWasCountedIsAnError) {
  for (const bool grows : {false, true}) {
    Workspace own;
    int times = 0;
    const Status status = lay_out_memory(
        nullptr, own, [&](Arena& arena) { arena.take<char>(++times == 2 && grows ? 65 : 64); });
    EXPECT_EQ(status.code(), grows ? StatusCode::internal : StatusCode::ok) << status.text();
  }
}

}  // namespace
}  // namespace osc
