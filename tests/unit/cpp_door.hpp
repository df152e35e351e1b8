// A call of the table through the functions in C++: the arrays and options that they take.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "call.hpp"
#include "osc/contrastive_loss.hpp"

namespace osc {

template <typename T>
class CppDoor;
// Calls the function of the operator; expected.hpp has it, beside what the operator must give.
template <typename T>
Status call_through_cpp(CppDoor<T>& door, const Call& call);

template <typename T>
class CppDoor {
 public:
  explicit CppDoor(Call& call) : call_(call) {}

  Status run() {
    const Status status = call_through_cpp(*this, call_);
    for (const auto& [name, read_back] : written_) read_back();
    return status;
  }

  // The elements of an array in memory of their own; null if it is not given.
  template <typename Element>
  Element* data(const char* name) {
    Array& array = call_[name];
    if (!array.is_given) return nullptr;
    auto memory = std::make_shared<std::vector<Element>>();
    for (const double x : array.values) {
      const double start = array.is_read() ? x : kUntouched;
      if constexpr (std::is_enum_v<Element>) {
        memory->push_back(static_cast<Element>(static_cast<std::int32_t>(start)));
      } else {
        memory->push_back(element<Element>(start));
      }
    }
    written_[name] = [&array, memory] {
      for (std::size_t i = 0; i < memory->size() && !array.is_read(); ++i) {
        if constexpr (std::is_enum_v<Element>) {
          array.values[i] = static_cast<double>(static_cast<std::int32_t>((*memory)[i]));
        } else {
          array.values[i] = value((*memory)[i]);
        }
      }
    };
    memory->reserve(1);  // not null where there is nothing
    return memory->data();
  }

  template <typename Element, int N>
  View<Element, N> view(const char* name) {
    std::int64_t sizes[N];
    const Array& array = call_[name];
    if (!array.is_given) return {};
    std::copy_n(array.sizes.begin(), N, sizes);
    return contiguous(static_cast<Element*>(data<T>(name)), sizes);
  }
  View<const T, 4> slots(const char* name) {
    const auto& sizes = call_[name].sizes;
    return view_major(static_cast<const T*>(data<T>(name)), {sizes[0], sizes[1], sizes[2]});
  }
  View<T, 4> slots_gradient(const char* name) {
    const auto& sizes = call_[name].sizes;
    if (!call_[name].is_given) return {};
    return view_major(data<T>(name), {sizes[0], sizes[1], sizes[2]});
  }

  template <typename Options>
  Options options() {
    Options options;
    if constexpr (requires { options.reduction; })
      options.reduction = static_cast<Reduction>(call_.code("reduction"));
    if constexpr (requires { options.eps; }) options.eps = call_.option("eps");
    if constexpr (requires { options.temperature; })
      options.temperature = call_.option("temperature");
    if constexpr (requires { options.on_nonfinite; })
      options.on_nonfinite = static_cast<NonFinite>(call_.code("on_nonfinite"));
    if constexpr (requires { options.given_matching; })
      options.given_matching = data<std::int64_t>("given_matching");
    if constexpr (requires { options.given_log_sum_exp; })
      options.given_log_sum_exp = data<double>("given_log_sum_exp");
    options.executor = call_.executor;
    options.workspace = call_.workspace;
    return options;
  }

  ContrastiveLossResults<T> contrastive_results() {
    return {data<T>("loss"),
            data<std::int64_t>("matching"),
            data<double>("log_sum_exp"),
            data<float>("accuracy"),
            data<ImageStatus>("statuses"),
            data<T>("grad_output"),
            slots_gradient("grad_slots")};
  }

 private:
  Call& call_;
  std::map<std::string, std::function<void()>> written_;
};

inline Status run_cpp(Call& call) {
  switch (call.dtype()) {
    case OSC_FLOAT64: return CppDoor<double>(call).run();
    case OSC_FLOAT32: return CppDoor<float>(call).run();
    case OSC_FLOAT16: return CppDoor<float16>(call).run();
    default: return CppDoor<bfloat16>(call).run();
  }
}

}  // namespace osc
