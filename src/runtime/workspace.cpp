#include "osc/workspace.hpp"

#include <memory>
#include <new>

#include "runtime/failure.hpp"

namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

osc_workspace::~osc_workspace() {
  if (owned_) ::operator delete(memory_, kAlignment);
}

void* osc_workspace::reserve(std::size_t bytes) noexcept {
  if (!owned_) {
    void* aligned = memory_;
    std::size_t left = bytes_;
    return std::align(static_cast<std::size_t>(kAlignment), bytes, aligned, left);
  }
  if (bytes > bytes_ || !memory_) {
    ::operator delete(memory_, kAlignment);
    bytes_ = 0;
    memory_ = ::operator new(bytes, kAlignment, std::nothrow);
    if (memory_) bytes_ = bytes;
  }
  return memory_;
}

void osc_workspace::shrink(std::size_t bytes) noexcept {
  if (!owned_ || bytes_ <= bytes) return;
  ::operator delete(memory_, kAlignment);
  memory_ = nullptr;
  bytes_ = 0;
}

osc_status osc_workspace_create(osc_workspace** workspace) {
  return osc::cpu::reported(osc::cpu::guarded([&] {
    if (!workspace) throw osc::InvalidArgument("the pointer for the workspace is null");
    *workspace = new osc_workspace;
    return osc::Status();
  }));
}

void osc_workspace_destroy(osc_workspace* workspace) { delete workspace; }
