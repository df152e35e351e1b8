// PyTorch's operators on CPU tensors: torch.ops.osc.*, over the kernel library.
//
// On the stable ABI of PyTorch 2.10 alone, so that one binary serves 2.10 and every later release. What else belongs to an operator (shapes for the compiler,
// derivatives, batching, devices) is in osc/_torch.py. The dispatcher calls these functions with the interpreter's lock released; what they throw is a ValueError in Python.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "host_executor.hpp"
#include "osc/assignment.hpp"
#include "osc/loss_objects.hpp"

namespace osc::torch_operators {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

Executor& host_executor() {
  static HostExecutor executor;
  return executor;
}

// A thread's memory for its calls, so that they allocate nothing but what they return; larger ones take their own and give it back.
Workspace* kept_workspace(std::size_t bytes) {
  constexpr std::size_t kMostKept = std::size_t{4} << 20;
  thread_local Workspace workspace;
  return bytes <= kMostKept ? &workspace : nullptr;
}

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument(text); }

std::string shape_of(const Tensor& tensor) {
  std::ostringstream text;
  text << '[';
  for (std::int64_t i = 0; i < tensor.dim(); ++i) text << (i ? ", " : "") << tensor.size(i);
  text << ']';
  return text.str();
}

// The dispatcher brings none but dense tensors on the CPU here.
void check_slots(const char* name, const Tensor& slots) {
  if (slots.dim() != 3 || slots.size(0) % 2 != 0) {
    refuse(std::string(name) + " has shape " + shape_of(slots) + "; wanted [2B, S, C], in which rows i and i + B are the views of image i");
  }
}

void check_pair(const Tensor& f, const Tensor& p) {
  check_slots("f", f);
  check_slots("p", p);
  for (std::int64_t i = 0; i < 3; ++i) {
    if (f.size(i) != p.size(i)) refuse("f " + shape_of(f) + " and p " + shape_of(p) + " must have the same shape");
  }
  if (f.scalar_type() != p.scalar_type()) refuse("f and p have different dtypes");
}

// Calls `call` with a value of the tensor's element type.
template <typename Call>
auto with_element_type(const char* name, const Tensor& tensor, const Call& call) {
  switch (tensor.scalar_type()) {
    case ScalarType::Double:
      return call(double{});
    case ScalarType::Float:
      return call(float{});
    case ScalarType::Half:
      return call(float16{});
    case ScalarType::BFloat16:
      return call(bfloat16{});
    default:
      refuse(std::string(name) + " is neither float64, float32, float16 nor bfloat16");
  }
}

template <typename T>
const T* const_data(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}
template <typename T>
T* mutable_data(const Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

bool has_adjacent_channels(const Tensor& slots) { return slots.stride(2) == 1 || slots.size(2) <= 1 || slots.numel() == 0; }

Tensor made_contiguous(const Tensor& tensor) { return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor); }

// The tensor itself where the kernels can read it, or a contiguous copy.
Tensor readable(const Tensor& slots) { return has_adjacent_channels(slots) ? slots : torch::stable::contiguous(slots); }

template <typename T, typename Pointer>
SlotPairs<T> view(Pointer* data, const Tensor& slots) {
  const std::array<std::int64_t, 3> sizes{slots.size(0), slots.size(1), slots.size(2)};
  if (slots.numel() == 0) return view_major_slots(data, sizes);  // its strides may be anything
  return view_major_slots(data, sizes, {slots.stride(0), slots.stride(1), slots.stride(2)});
}
template <typename T>
SlotPairs<const T> view(const Tensor& slots) {
  return view<const T>(const_data<T>(slots), slots);
}

template <std::size_t Dimensions>
Tensor empty_strided(const std::array<std::int64_t, Dimensions>& sizes, const std::array<std::int64_t, Dimensions>& strides, std::int32_t dtype) {
  AtenTensorHandle handle = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(
      aoti_torch_empty_strided(Dimensions, sizes.data(), strides.data(), dtype, aoti_torch_device_type_cpu(), 0, &handle));
  return Tensor(handle);
}

Tensor empty_matching(const Tensor& slots) {
  return empty_strided<2>({slots.size(0) / 2, slots.size(1)}, {std::max<std::int64_t>(slots.size(1), 1), 1}, aoti_torch_dtype_int64());
}

// Of the layout of p, as torch.empty_like has it; contiguous where the kernels cannot write that.
Tensor empty_gradient(const Tensor& p) {
  if (!p.is_contiguous()) {
    const Tensor gradient = torch::stable::empty_like(p);
    if (has_adjacent_channels(gradient)) return gradient;
  }
  std::int32_t dtype = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(p.get(), &dtype));
  const std::array<std::int64_t, 3> sizes{p.size(0), p.size(1), p.size(2)};
  if (p.is_contiguous()) return empty_strided<3>(sizes, {p.stride(0), p.stride(1), p.stride(2)}, dtype);
  return empty_strided<3>(sizes, {sizes[1] * sizes[2], sizes[2], 1}, dtype);
}

template <typename T>
MatchingSimilarityOptions similarity_options(const Tensor& p, const std::string& reduction, double eps, bool raise_nonfinite) {
  Executor& executor = host_executor();
  const std::size_t bytes = matching_similarity_workspace<T>(p.size(0) / 2, p.size(1), p.size(2), executor.concurrency());
  return {reduction_from_name(reduction), eps, raise_nonfinite ? NonFinite::raise : NonFinite::propagate, &executor, kept_workspace(bytes)};
}

std::tuple<Tensor, Tensor> matching_similarity_loss_per_img(const Tensor& f, const Tensor& p, const std::string& reduction, double eps, bool raise_nonfinite) {
  check_pair(f, p);
  return with_element_type("p", p, [&](auto element) {
    using T = decltype(element);
    const auto options = similarity_options<T>(p, reduction, eps, raise_nonfinite);
    const Tensor readable_f = readable(f), readable_p = readable(p), matching = empty_matching(p);
    std::int32_t dtype = 0;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(p.get(), &dtype));
    const Tensor loss = options.reduction == Reduction::none ? empty_strided<1>({p.size(0) * p.size(1)}, {1}, dtype) : empty_strided<0>({}, {}, dtype);
    osc::matching_similarity_loss_per_img(view<T>(readable_f), view<T>(readable_p), options,
                                          {.loss = mutable_data<T>(loss), .matching = mutable_data<std::int64_t>(matching)});
    return std::tuple(loss, matching);
  });
}

Tensor matching_similarity_loss_per_img_backward(const Tensor& grad_loss, const Tensor& f, const Tensor& p, const Tensor& matching, const std::string& reduction,
                                                 double eps) {
  check_pair(f, p);
  if (grad_loss.scalar_type() != p.scalar_type()) refuse("grad_loss and p have different dtypes");
  if (matching.scalar_type() != ScalarType::Long || matching.dim() != 2 || matching.size(0) != p.size(0) / 2 || matching.size(1) != p.size(1)) {
    refuse("matching has shape " + shape_of(matching) + "; wanted int64 [B, S] for p " + shape_of(p));
  }
  return with_element_type("p", p, [&](auto element) {
    using T = decltype(element);
    const auto options = similarity_options<T>(p, reduction, eps, false);
    const bool per_slot = options.reduction == Reduction::none;
    if (per_slot ? grad_loss.dim() != 1 || grad_loss.size(0) != p.size(0) * p.size(1) : grad_loss.dim() != 0) {
      refuse("grad_loss has shape " + shape_of(grad_loss) + "; wanted that of the loss, " + (per_slot ? "[2BS]" : "[]"));
    }
    const Tensor readable_f = readable(f), readable_p = readable(p), contiguous_matching = made_contiguous(matching), incoming = made_contiguous(grad_loss);
    const Tensor gradient = empty_gradient(p);
    osc::matching_similarity_loss_per_img_backward(view<T>(readable_f), view<T>(readable_p), const_data<std::int64_t>(contiguous_matching), options,
                                                   {view<T>(mutable_data<T>(gradient), gradient), const_data<T>(incoming)});
    return gradient;
  });
}

Tensor match_slots(const Tensor& f, double eps, bool raise_nonfinite) {
  check_slots("f", f);
  return with_element_type("f", f, [&](auto element) {
    using T = decltype(element);
    const auto options = similarity_options<T>(f, "none", eps, raise_nonfinite);
    const Tensor readable_f = readable(f), matching = empty_matching(f);
    osc::match_slots(view<T>(readable_f), mutable_data<std::int64_t>(matching), {eps, options.on_nonfinite, options.executor, options.workspace});
    return matching;
  });
}

// [..., size of a dimension of its last two], contiguous.
Tensor empty_assignment(const Tensor& cost, std::int64_t dimension) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t i = 0; i + 2 < cost.dim(); ++i) sizes.push_back(cost.size(i));
  sizes.push_back(cost.size(dimension));
  return torch::stable::empty({sizes.data(), sizes.size()}, ScalarType::Long);
}

// Where the problems of the batch are evenly spaced in memory, their distance; else nothing.
std::optional<std::int64_t> problem_stride(const Tensor& cost) {
  std::optional<std::int64_t> innermost;
  std::int64_t expected = 0;
  for (std::int64_t i = cost.dim() - 3; i >= 0; --i) {
    if (cost.size(i) == 1) continue;
    if (innermost && cost.stride(i) != expected) return std::nullopt;
    if (!innermost) innermost = cost.stride(i);
    expected = cost.stride(i) * cost.size(i);
  }
  return innermost.value_or(0);
}

std::tuple<Tensor, Tensor> linear_sum_assignment(const Tensor& cost, bool maximize, bool raise_unsolvable) {
  const std::int64_t dimensions = cost.dim();
  if (dimensions < 2) refuse("cost has shape " + shape_of(cost) + "; wanted [..., R, K]");
  return with_element_type("cost", cost, [&](auto element) {
    using T = decltype(element);
    const Tensor col4row = empty_assignment(cost, dimensions - 2), row4col = empty_assignment(cost, dimensions - 1);
    const Tensor even = problem_stride(cost) ? cost : torch::stable::contiguous(cost);
    std::int64_t problems = 1;
    for (std::int64_t i = 0; i + 2 < dimensions; ++i) problems *= cost.size(i);
    const CostMatrices<T> costs{const_data<T>(even),   problems, even.size(dimensions - 2), even.size(dimensions - 1), *problem_stride(even), even.stride(dimensions - 2),
                                even.stride(dimensions - 1)};
    Executor& executor = host_executor();
    osc::linear_sum_assignment(costs, {mutable_data<std::int64_t>(col4row), mutable_data<std::int64_t>(row4col)},
                               {maximize, raise_unsolvable ? OnUnsolvable::raise : OnUnsolvable::unmatched, &executor,
                                kept_workspace(linear_sum_assignment_workspace(costs, executor.concurrency()))});
    return std::tuple(col4row, row4col);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY(osc, library) {
  library.def("matching_similarity_loss_per_img(Tensor f, Tensor p, str reduction, float eps, bool raise_nonfinite) -> (Tensor loss, Tensor matching)");
  library.def("matching_similarity_loss_per_img_backward(Tensor grad_loss, Tensor f, Tensor p, Tensor matching, str reduction, float eps) -> Tensor");
  library.def("match_slots(Tensor f, float eps, bool raise_nonfinite) -> Tensor");
  library.def("linear_sum_assignment(Tensor cost, bool maximize, bool raise_unsolvable) -> (Tensor col4row, Tensor row4col)");
}

STABLE_TORCH_LIBRARY_IMPL(osc, CPU, library) {
  library.impl("matching_similarity_loss_per_img", TORCH_BOX(&matching_similarity_loss_per_img));
  library.impl("matching_similarity_loss_per_img_backward", TORCH_BOX(&matching_similarity_loss_per_img_backward));
  library.impl("match_slots", TORCH_BOX(&match_slots));
  library.impl("linear_sum_assignment", TORCH_BOX(&linear_sum_assignment));
}

}  // namespace osc::torch_operators
