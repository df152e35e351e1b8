// What the XLA custom calls of osc.jax share: buffers of the host as the library takes them,
// options, threads, errors.
//
// Buffers are row-major. Leading dimensions, which vmap adds, are calls of their own, all in one.
// JAX has no 64-bit numbers unless told to, so those that only we read (matchings, log sums) are
// pairs of 32-bit integers, low half first. Python checks shapes and dtypes when it traces; what is
// checked here again keeps a call from elsewhere from reading what is not there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <new>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>

#include "jax_thread_pool.hpp"
#include "osc/error.hpp"
#include "osc/float16.hpp"
#include "osc/loss_objects.hpp"
#include "osc/osc.h"
#include "xla/ffi/api/ffi.h"

namespace osc::jax {

namespace ffi = xla::ffi;
using Buffer = ffi::AnyBuffer;
using Result = ffi::Result<ffi::AnyBuffer>;

// The sizes of one call, the last of a buffer, and how many calls there are.
template <std::size_t Dimensions>
struct Sizes {
  std::int64_t calls = 1;
  std::array<std::int64_t, Dimensions> each{};

  Sizes(const Buffer& buffer, const char* name) {
    const auto dimensions = buffer.dimensions();
    if (dimensions.size() < Dimensions)
      throw InvalidArgument(std::string(name) + " must have at least " +
                            std::to_string(Dimensions) + " dimensions");
    const std::size_t leading = dimensions.size() - Dimensions;
    for (std::size_t i = 0; i < leading; ++i) calls *= dimensions[i];
    for (std::size_t i = 0; i < Dimensions; ++i) each[i] = dimensions[leading + i];
  }

  std::int64_t operator[](std::size_t i) const { return each[i]; }
  std::int64_t elements() const {
    return std::accumulate(each.begin(), each.end(), std::int64_t{1}, std::multiplies<>());
  }
};

// A buffer as one array of T a call.
template <typename T>
class Parts {
 public:
  Parts(const Buffer& buffer, std::int64_t elements)
      : data_(static_cast<T*>(buffer.untyped_data())), elements_(elements) {}

  T* operator[](std::int64_t call) const { return data_ + call * elements_; }

 private:
  T* data_;
  std::int64_t elements_;
};

inline void check_buffer(const Buffer& buffer, const char* name, ffi::DataType type,
                         std::int64_t elements) {
  if (buffer.element_type() != type ||
      static_cast<std::int64_t>(buffer.element_count()) != elements) {
    throw InvalidArgument(std::string(name) +
                          " has another type or number of elements than the inputs ask for");
  }
}

template <typename T>
constexpr ffi::DataType type_of() {
  using Value = std::remove_const_t<T>;
  if constexpr (std::is_same_v<Value, double>) {
    return ffi::F64;
  } else if constexpr (std::is_same_v<Value, float>) {
    return ffi::F32;
  } else if constexpr (std::is_same_v<Value, float16>) {
    return ffi::F16;
  } else {
    static_assert(std::is_same_v<Value, bfloat16>);
    return ffi::BF16;
  }
}

template <typename T>
Parts<T> parts(const Buffer& buffer, const char* name, std::int64_t calls, std::int64_t elements) {
  check_buffer(buffer, name, type_of<T>(), calls * elements);
  return {buffer, elements};
}

template <typename T, std::size_t Dimensions>
Parts<T> parts(const Buffer& buffer, const char* name, const Sizes<Dimensions>& sizes) {
  return parts<T>(buffer, name, sizes.calls, sizes.elements());
}

// The same of 64-bit elements that are pairs of 32-bit integers.
template <typename T>
Parts<T> halved_parts(const Buffer& buffer, const char* name, std::int64_t calls,
                      std::int64_t elements) {
  static_assert(sizeof(T) == 8);
  check_buffer(buffer, name, ffi::S32, 2 * calls * elements);
  return {buffer, elements};
}

// Slots [2B, S, C] of one call.
template <typename T>
SlotPairs<T> slots(T* data, const Sizes<3>& sizes) {
  return view_major_slots(data, sizes.each);
}

inline std::int64_t matches_of(const Sizes<3>& sizes) { return sizes[0] / 2 * sizes[1]; }
inline std::int64_t losses_of(Reduction reduction, const Sizes<3>& sizes) {
  return reduction == Reduction::none ? sizes[0] * sizes[1] : 1;
}

inline Reduction reduction_of(std::int64_t value) {
  switch (value) {
    case OSC_REDUCTION_NONE: return Reduction::none;
    case OSC_REDUCTION_MEAN: return Reduction::mean;
    case OSC_REDUCTION_SUM: return Reduction::sum;
    default: throw InvalidArgument("unknown reduction " + std::to_string(value));
  }
}

// Runs run(n, options) for each of the calls n: several at once where there are as many as threads,
// else one after another, each on all threads.
template <typename Options, typename Run>
void for_each_call(std::int64_t calls, const Options& options, ffi::ThreadPool pool,
                   const Run& run) {
  XlaThreadPool threads(pool);
  const auto run_some = [&](Executor& executor, std::int64_t begin, std::int64_t end) {
    Workspace workspace;
    Options own = options;
    own.executor = &executor;
    own.workspace = &workspace;
    for (std::int64_t n = begin; n < end; ++n) run(n, own);
  };
  if (calls < threads.concurrency()) return run_some(threads, 0, calls);
  threads.parallel_for(calls, 1, [&](std::int64_t begin, std::int64_t end) {
    CallingThread alone;
    run_some(alone, begin, end);
  });
}

// Calls call(T()) with T the C++ type of `type`; what it throws becomes XLA's error.
template <typename Call>
ffi::Error with_type(ffi::DataType type, const Call& call) {
  try {
    switch (type) {
      case ffi::F64: call(double()); break;
      case ffi::F32: call(float()); break;
      case ffi::F16: call(float16()); break;
      case ffi::BF16: call(bfloat16()); break;
      default: throw InvalidArgument("the numbers must be float64, float32, float16 or bfloat16");
    }
    return ffi::Error::Success();
  } catch (const InvalidArgument& error) {
    return ffi::Error::InvalidArgument(error.what());
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "out of memory");
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  }
}

template <std::size_t Arguments, std::size_t Results, typename Binding>
auto with_buffers(Binding binding) {
  if constexpr (Arguments > 0) {
    return with_buffers<Arguments - 1, Results>(std::move(binding).template Arg<Buffer>());
  } else if constexpr (Results > 1) {
    return with_buffers<0, Results - 1>(std::move(binding).template Ret<Buffer>());
  } else {  // a Binding cannot be moved, so the last is made in place
    return std::move(binding).template Ret<Buffer>();
  }
}

// How XLA calls a handler: with its threads and so many buffers; options follow.
template <std::size_t Arguments, std::size_t Results>
auto buffers() {
  return with_buffers<Arguments, Results>(ffi::Ffi::Bind().Ctx<ffi::ThreadPool>());
}

template <typename Binding>
auto with_loss_options(Binding binding) {
  return std::move(binding).template Attr<std::int64_t>("reduction").template Attr<double>("eps");
}

}  // namespace osc::jax

#define OSC_JAX_HANDLER(name, binding)                                  \
  extern "C" OSC_API XLA_FFI_Error* osc_jax_##name(XLA_FFI_CallFrame*); \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(osc_jax_##name, name, binding)
