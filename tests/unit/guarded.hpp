// Memory that lies against a page which may not be touched, so that one element too many, read or
// written, ends the test: with a sanitizer or without, and in code that none instruments.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>

namespace osc {

enum class Guard {
  behind,  // the last element ends where the guard page begins
  before,  // the first element begins where the guard page ends
};

template <typename T>
class Guarded {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Guarded(std::size_t count, Guard guard, T fill) : count_(count) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)), bytes = count * sizeof(T);
    room_ = (bytes + page - 1) / page * page;
    mapped_ = room_ + 2 * page;
    base_ =
        static_cast<char*>(::mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    if (room_ > 0 && ::mprotect(base_ + page, room_, PROT_READ | PROT_WRITE) != 0)
      throw std::bad_alloc();
    data_ = reinterpret_cast<T*>(base_ + page + (guard == Guard::behind ? room_ - bytes : 0));
    for (std::size_t i = 0; i < count; ++i) data_[i] = fill;
  }
  Guarded(std::span<const T> values, Guard guard) : Guarded(values.size(), guard, T{}) {
    if (count_ > 0) std::memcpy(data_, values.data(), count_ * sizeof(T));
  }
  ~Guarded() { ::munmap(base_, mapped_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() const { return data_; }
  std::size_t size() const { return count_; }
  bool holds(std::span<const T> values) const {
    return values.size() == count_ &&
           (count_ == 0 || std::memcmp(data_, values.data(), count_ * sizeof(T)) == 0);
  }

 private:
  std::size_t count_, room_ = 0, mapped_ = 0;
  char* base_ = nullptr;
  T* data_ = nullptr;
};

// While it lives, the fault that ends the test is preceded by a line that names the case.
class CaseOnFault {
 public:
  CaseOnFault() {
    struct sigaction action{};
    action.sa_handler = [](int) {
      const char* const text = name();
      static_cast<void>(::write(STDERR_FILENO, text, std::strlen(text)) +
                        ::write(STDERR_FILENO, "\n", 1));
      // The same instruction faults again, and the handler before this one takes over.
      ::sigaction(SIGSEGV, &previous(), nullptr);
    };
    ::sigaction(SIGSEGV, &action, &previous());
  }
  ~CaseOnFault() { ::sigaction(SIGSEGV, &previous(), nullptr); }
  CaseOnFault(const CaseOnFault&) = delete;
  CaseOnFault& operator=(const CaseOnFault&) = delete;

  template <typename... Numbers>
  void set(const char* format, Numbers... numbers) {
    std::snprintf(name(), kLength, format, numbers...);
  }

 private:
  static constexpr std::size_t kLength = 200;
  static char* name() {
    static char text[kLength] = "";
    return text;
  }
  static struct sigaction& previous() {
    static struct sigaction action{};
    return action;
  }
};

}  // namespace osc
