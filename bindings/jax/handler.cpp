// The XLA custom call of osc.jax, "osc_call": any operator of the table (osc/osc.h), on buffers of
// the host and XLA's own threads. Its attributes:
//
//   operator   its name in the table
//   backward   false: inputs -> losses, outputs
//              true: inputs, residuals, grad_outputs -> gradient
//   and the options of the operator by their names, as float64 or int64
//
// Buffers are row-major. Leading dimensions, which vmap adds, are calls of their own, all in one
// custom call. JAX has no 64-bit numbers unless told to, so those that have 64 bits whatever the
// inputs have (matchings, log_sum_exp) are pairs of 32-bit integers, low half first. The library
// checks shapes, as of any call; what is checked here is what it cannot see.
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "osc/osc.h"
#include "osc/workspace.hpp"
#include "runtime/row.hpp"
#include "thread_pool.hpp"
#include "xla/ffi/api/ffi.h"

namespace osc::jax {
namespace {

namespace ffi = xla::ffi;

struct Failure : std::runtime_error {
  Failure(osc_status status_, const std::string& text)
      : std::runtime_error(text), status(status_) {}
  osc_status status;
};

[[noreturn]] void refuse(const std::string& text) { throw Failure(OSC_INVALID_ARGUMENT, text); }

template <typename T>
T value_of(const ffi::ErrorOr<T>& found) {
  if (!found.has_value()) refuse(found.error().message());
  return found.value();
}

const osc_operator& operator_named(std::string_view name) {
  std::int32_t count = 0;
  const osc_operator* const table = osc_operators(&count);
  for (std::int32_t i = 0; i < count; ++i) {
    if (table[i].name == name) return table[i];
  }
  refuse("the library has no operator " + std::string(name));
}

std::int32_t dtype_of(ffi::DataType type) {
  switch (type) {
    case ffi::F64: return OSC_FLOAT64;
    case ffi::F32: return OSC_FLOAT32;
    case ffi::F16: return OSC_FLOAT16;
    case ffi::BF16: return OSC_BFLOAT16;
    default: return OSC_INT32 + 1;  // no dtype: the library refuses it
  }
}

// The calls of one custom call. They share one struct; only the data pointers differ.
class Calls {
 public:
  Calls(const ffi::Dictionary& attributes)
      : described_(operator_named(value_of(attributes.get<std::string_view>("operator")))),
        row_(described_) {
    field<std::size_t>(call_, 0) = described_.struct_size;
    for (int i = 0; i < described_.option_count; ++i) {
      const osc_option_description& option = described_.options[i];
      if (!attributes.contains(option.name)) continue;  // the default
      if (option.kind == OSC_OPTION_DOUBLE) {
        field<double>(call_, option.offset) = value_of(attributes.get<double>(option.name));
        continue;
      }
      const auto code = value_of(attributes.get<std::int64_t>(option.name));
      if (option.kind == OSC_OPTION_INT64) {
        field<std::int64_t>(call_, option.offset) = code;
        continue;
      }
      if (!std::in_range<std::int32_t>(code))
        refuse(option.name + std::string(" is ") + std::to_string(code) +
               "; wanted an integer of 32 bits");
      field<std::int32_t>(call_, option.offset) = static_cast<std::int32_t>(code);
      if (std::string_view(option.name) == "reduction") reduces_ = code != OSC_NONE;
    }
  }

  const osc_operator& described() const { return described_; }
  std::int64_t count() const { return count_; }

  // `buffer` holds the array i of the table for all calls.
  void add(int i, const ffi::AnyBuffer& buffer) {
    const osc_array_description& array = described_.arrays[i];
    const cpu::Shape& shape = row_.arrays[i];
    const int dims = reduces_ ? shape.reduced_count : shape.count;
    const bool is_pairs = array.dtype == OSC_INT64 || array.dtype == OSC_FLOAT64;
    const auto sizes = buffer.dimensions();
    const std::int64_t leading = static_cast<std::int64_t>(sizes.size()) - dims - is_pairs;
    if (leading < 0 || (is_pairs && (buffer.element_type() != ffi::S32 || sizes.back() != 2)) ||
        (array.dtype == OSC_FLOAT32 && buffer.element_type() != ffi::F32))
      refuse(array.name + std::string(" has another type or number of dimensions than wanted"));
    std::int64_t calls = 1;
    for (std::int64_t d = 0; d < leading; ++d) calls *= sizes[static_cast<std::size_t>(d)];
    if (count_ >= 0 && calls != count_)
      refuse(array.name + std::string(" holds another number of calls than the arrays before it"));
    count_ = calls;
    const auto bytes = static_cast<std::int64_t>(buffer.size_bytes());
    field<osc_array>(call_, offset_of(i)) = {
        buffer.untyped_data(), sizes.begin() + leading, nullptr, dims,
        array.dtype == OSC_ABSENT ? dtype_of(buffer.element_type()) : array.dtype};
    bytes_of_a_call_[static_cast<std::size_t>(i)] = calls > 0 ? bytes / calls : 0;
  }

  // Calls [begin, end).
  void run(Executor& executor, std::int64_t begin, std::int64_t end) const {
    Workspace workspace;
    Struct call = call_;
    field<osc_executor*>(call, described_.executor_offset) = &executor;
    field<osc_workspace*>(call, described_.workspace_offset) = &workspace;
    for (std::int64_t n = begin; n < end; ++n) {
      for (int i = 0; i < described_.array_count; ++i) {
        auto& data = field<osc_array>(call, offset_of(i)).data;
        const auto& first = field<const osc_array>(call_, offset_of(i)).data;
        if (first) data = static_cast<char*>(first) + n * bytes_of_a_call_[i];
      }
      const osc_status status = described_.run(call.data());
      if (status != OSC_OK) throw Failure(status, osc_last_error());
    }
  }

 private:
  struct alignas(std::max_align_t) Struct : std::array<std::byte, 1024> {};

  template <typename T, typename AnyStruct>
  static T& field(AnyStruct& call, std::int32_t offset) {
    return *reinterpret_cast<T*>(call.data() + offset);
  }
  static std::int32_t offset_of(int i) {
    return static_cast<std::int32_t>(sizeof(std::size_t) +
                                     static_cast<std::size_t>(i) * sizeof(osc_array));
  }

  const osc_operator& described_;
  cpu::ParsedRow row_;
  Struct call_{};
  std::array<std::int64_t, cpu::kMostArrays> bytes_of_a_call_{};
  std::int64_t count_ = -1;  // of the calls; -1: no array is known yet
  bool reduces_ = false;
};

// Adds the arrays of a role, in the order of the table. `next` is the next of the buffers.
template <typename Buffers, typename Get>
void add_role(Calls& calls, int role, const Buffers& buffers, std::size_t& next, const Get& get) {
  const osc_operator& described = calls.described();
  for (int i = 0; i < described.array_count; ++i) {
    if (described.arrays[i].role != role) continue;
    if (next == buffers.size()) refuse(described.arrays[i].name + std::string(" is missing"));
    calls.add(i, get(next++));
  }
}

// If there are at least as many calls as threads, each call runs on one thread, several at once.
// Otherwise the calls run one after another, each on all threads.
void run_all(const Calls& calls, ffi::ThreadPool pool) {
  XlaThreadPool threads(pool);
  if (calls.count() < threads.concurrency()) return calls.run(threads, 0, calls.count());
  threads.parallel_for(calls.count(), 1, [&](std::int64_t begin, std::int64_t end) {
    CallingThread alone;
    calls.run(alone, begin, end);
  });
}

ffi::Error call(ffi::ThreadPool pool, ffi::RemainingArgs arguments, ffi::RemainingRets results,
                ffi::Dictionary attributes) {
  try {
    Calls calls(attributes);
    const bool is_backward = value_of(attributes.get<bool>("backward"));
    const auto argument = [&](std::size_t i) { return value_of(arguments.get<ffi::AnyBuffer>(i)); };
    const auto result = [&](std::size_t i) { return *value_of(results.get<ffi::AnyBuffer>(i)); };
    std::size_t taken = 0, returned = 0;
    add_role(calls, OSC_ROLE_INPUT, arguments, taken, argument);
    if (is_backward) {
      add_role(calls, OSC_ROLE_GIVEN, arguments, taken, argument);
      add_role(calls, OSC_ROLE_GRAD_OUTPUT, arguments, taken, argument);
      add_role(calls, OSC_ROLE_GRADIENT, results, returned, result);
    } else {
      add_role(calls, OSC_ROLE_LOSS, results, returned, result);
      add_role(calls, OSC_ROLE_OUTPUT, results, returned, result);
    }
    if (taken != arguments.size() || returned != results.size())
      refuse(calls.described().name + std::string(" has fewer arrays than were given"));
    run_all(calls, pool);
    return ffi::Error::Success();
  } catch (const Failure& failure) {
    switch (failure.status) {
      case OSC_OUT_OF_MEMORY: return ffi::Error(ffi::ErrorCode::kResourceExhausted, failure.what());
      case OSC_INTERNAL: return ffi::Error::Internal(failure.what());
      default: return ffi::Error::InvalidArgument(failure.what());
    }
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "out of memory");
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  }
}

}  // namespace

extern "C" OSC_API XLA_FFI_Error* osc_jax_call(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    osc_jax_call, call,
    (ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets().Attrs()));

}  // namespace osc::jax
