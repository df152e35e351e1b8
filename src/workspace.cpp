#include "osc/workspace.hpp"

#include <memory>
#include <new>

namespace osc {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

Workspace::~Workspace() {
  if (owned_) ::operator delete(memory_, kAlignment);
}

void* Workspace::reserve(std::size_t bytes) noexcept {
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

}  // namespace osc
