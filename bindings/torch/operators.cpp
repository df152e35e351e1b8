// torch.ops.osc.* on CPU tensors: every operator of the table (osc/osc.h), registered by one loop.
//
//   osc::<name>(inputs, given matching, options) -> (losses, outputs)
//   osc::<name>_with_gradient, the fused backward: the same, and the gradient of the loss
//   osc::<name>_backward(grad_outputs, inputs, residuals, options) -> gradient
//
// It uses the stable ABI of PyTorch 2.10 alone, so that one binary serves every later release. No
// string crosses that ABI, which leaks them (PyTorch issue 191340). The dispatcher calls the
// operators with the interpreter's lock released. What they throw is a ValueError in Python.
#include "operators.hpp"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host_executor.hpp"
#include "osc/osc.h"
#include "osc/workspace.hpp"
#include "runtime/row.hpp"

namespace osc::torch_operators {
namespace {

using cpu::Dimension;
using cpu::kMostArrays;
using cpu::kMostDimensions;
using cpu::kMostLetters;
using cpu::Shape;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using torch::stable::detail::from;
using torch::stable::detail::to;

enum class Kind { forward, with_gradient, backward };

// What a call needs to know of an array, computed once from the names in the table.
struct Plan {
  bool is_optional;  // a matching that the caller may give to the forward pass
  bool is_cost;      // any real numbers; integers become float64
  bool has_leading;  // the shape begins with any number of dimensions, "G..."
  // The fused gradient, which is None if scaling it in the backward pass would lose bits.
  bool may_be_none;
  bool is_differentiated;
  bool is_like_differentiated;  // a gradient of the same shape
};

// One operator of PyTorch. It takes the arrays and options from the stack in this order, and
// returns arrays in this order.
struct Operator {
  const osc_operator* described;
  cpu::ParsedRow shapes;
  Kind kind;
  std::string name, schema;
  std::vector<int> taken_arrays, taken_options, returned_arrays;
  std::vector<Plan> plans;   // of all arrays
  int gradient_scales = -1;  // the array that says whether scaling the gradient loses bits

  const osc_array_description& array(int i) const { return described->arrays[i]; }
  const osc_option_description& option(int i) const { return described->options[i]; }
  const Plan& plan(int i) const { return plans[static_cast<std::size_t>(i)]; }
};

std::vector<Plan> plans_of(const osc_operator& described, Kind kind) {
  const std::string_view differentiated = described.differentiated ? described.differentiated : "";
  std::string_view shape_of_differentiated;
  for (int i = 0; i < described.array_count; ++i) {
    if (described.arrays[i].name == differentiated)
      shape_of_differentiated = described.arrays[i].shape;
  }
  std::vector<Plan> plans;
  for (int i = 0; i < described.array_count; ++i) {
    const osc_array_description& array = described.arrays[i];
    const std::string_view name = array.name, shape = array.shape;
    const bool is_input = array.role == OSC_ROLE_INPUT;
    const bool is_gradient = array.role == OSC_ROLE_GRADIENT;
    plans.push_back({.is_optional = kind != Kind::backward && array.role == OSC_ROLE_GIVEN,
                     .is_cost = is_input && name == "cost",
                     .has_leading = shape.find("...") != std::string_view::npos,
                     .may_be_none = is_gradient && kind == Kind::with_gradient,
                     .is_differentiated = name == differentiated,
                     .is_like_differentiated = is_gradient && shape == shape_of_differentiated});
  }
  return plans;
}

const char* type_of(const osc_option_description& option) {
  switch (option.kind) {
    case OSC_OPTION_BOOLEAN: return "bool ";
    case OSC_OPTION_DOUBLE: return "float ";
    default: return "int ";
  }
}

std::string schema_of(const Operator& op) {
  std::string arguments, results;
  const auto append = [](std::string& list, const std::string& item) {
    list += (list.empty() ? "" : ", ") + item;
  };
  for (const int i : op.taken_arrays) {
    const std::string_view name = op.array(i).name;
    constexpr std::string_view kGiven = "given_";
    const bool is_residual = op.kind == Kind::backward && name.starts_with(kGiven);
    append(arguments, (op.plan(i).is_optional ? "Tensor? " : "Tensor ") +
                          std::string(is_residual ? name.substr(kGiven.size()) : name));
  }
  for (const int i : op.taken_options)
    append(arguments, type_of(op.option(i)) + std::string(op.option(i).name));
  for (const int i : op.returned_arrays)
    append(results,
           (op.plan(i).may_be_none ? "Tensor? " : "Tensor ") + std::string(op.array(i).name));
  return op.name + "(" + arguments + ") -> " +
         (op.returned_arrays.size() == 1 ? "Tensor" : "(" + results + ")");
}

Operator described_as(const osc_operator& described, Kind kind) {
  constexpr const char* kSuffix[] = {"", "_with_gradient", "_backward"};
  Operator op{&described, cpu::ParsedRow(described),
              kind,       described.name + std::string(kSuffix[static_cast<int>(kind)]),
              {},         {},
              {},         {},
              {}};
  op.plans = plans_of(described, kind);
  const bool is_backward = kind == Kind::backward;
  const auto add_role = [&](std::vector<int>& list, int role) {
    for (int i = 0; i < described.array_count; ++i) {
      // The forward pass takes a given matching, but no other residual.
      const bool is_unused = role == OSC_ROLE_GIVEN && !is_backward &&
                             (op.array(i).dtype != OSC_INT64 || !described.differentiated);
      if (op.array(i).role == role && !is_unused) list.push_back(i);
    }
  };
  if (is_backward) add_role(op.taken_arrays, OSC_ROLE_GRAD_OUTPUT);
  add_role(op.taken_arrays, OSC_ROLE_INPUT);
  add_role(op.taken_arrays, OSC_ROLE_GIVEN);
  if (!is_backward) {
    add_role(op.returned_arrays, OSC_ROLE_LOSS);
    add_role(op.returned_arrays, OSC_ROLE_OUTPUT);
  }
  if (kind != Kind::forward) add_role(op.returned_arrays, OSC_ROLE_GRADIENT);
  if (kind == Kind::with_gradient) {
    for (int i = 0; i < described.array_count; ++i)
      if (std::string_view(op.array(i).name) == "gradient_scales") op.gradient_scales = i;
  }
  for (int i = 0; i < described.option_count; ++i) {
    const bool is_policy = std::string_view(op.option(i).name).starts_with("on_");
    if (!is_backward || !is_policy) op.taken_options.push_back(i);
  }
  op.schema = schema_of(op);
  return op;
}

const std::vector<Operator>& operators() {
  static const std::vector<Operator> all = [] {
    std::vector<Operator> list;
    std::int32_t count = 0;
    const osc_operator* const table = osc_operators(&count);
    for (std::int32_t i = 0; i < count; ++i) {
      list.push_back(described_as(table[i], Kind::forward));
      if (!table[i].differentiated) continue;
      list.push_back(described_as(table[i], Kind::backward));
      // The loss of gathered slots has no fused form: its gradient needs results of all ranks.
      Operator fused = described_as(table[i], Kind::with_gradient);
      if (fused.plan(fused.returned_arrays.back()).is_like_differentiated)
        list.push_back(std::move(fused));
    }
    return list;
  }();
  return all;
}

[[noreturn]] void refuse(const std::string& text) { throw std::invalid_argument(text); }

// PyTorch's numbers of the types of osc.h, in their order.
const std::array<std::int32_t, 7>& torch_dtypes() {
  static const std::array<std::int32_t, 7> dtypes = [] {
    std::array<std::int32_t, 7> list{};
    list[OSC_ABSENT] = -1;
    list[OSC_FLOAT64] = aoti_torch_dtype_float64();
    list[OSC_FLOAT32] = aoti_torch_dtype_float32();
    list[OSC_FLOAT16] = aoti_torch_dtype_float16();
    list[OSC_BFLOAT16] = aoti_torch_dtype_bfloat16();
    list[OSC_INT64] = aoti_torch_dtype_int64();
    list[OSC_INT32] = aoti_torch_dtype_int32();
    return list;
  }();
  return dtypes;
}

// One past the last for a type that the library does not have.
std::int32_t dtype_of(const Tensor& tensor) {
  std::int32_t dtype = -1;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(tensor.get(), &dtype));
  const auto& dtypes = torch_dtypes();
  return static_cast<std::int32_t>(std::find(dtypes.begin(), dtypes.end(), dtype) - dtypes.begin());
}

// Integers that float64 would round are refused.
template <typename Integer>
void check_exact_in_double(const Tensor& cost) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 53;
  const Tensor contiguous = cost.is_contiguous() ? cost : torch::stable::contiguous(cost);
  const auto* const first = static_cast<const Integer*>(contiguous.const_data_ptr());
  const bool is_exact = std::all_of(first, first + contiguous.numel(), [](Integer x) {
    return std::cmp_less_equal(x, kLargest) && std::cmp_greater_equal(x, -kLargest);
  });
  if (!is_exact) {
    refuse(
        "cost holds integers beyond ±2^53, which float64 would round; wanted smaller ones "
        "(subtracting a constant from a row changes no assignment)");
  }
}

// The costs themselves where the library reads their type, else as float64.
Tensor floating(const Tensor& cost) {
  switch (cost.scalar_type()) {
    case ScalarType::Double:
    case ScalarType::Float:
    case ScalarType::Half:
    case ScalarType::BFloat16: return cost;
    case ScalarType::ComplexHalf:
    case ScalarType::ComplexFloat:
    case ScalarType::ComplexDouble: refuse("cost is complex; wanted real numbers");
    case ScalarType::Long: check_exact_in_double<std::int64_t>(cost); break;
    case ScalarType::UInt64: check_exact_in_double<std::uint64_t>(cost); break;
    default: break;
  }
  return torch::stable::to(cost, ScalarType::Double);
}

// A tensor as an array: the same memory, or a contiguous copy where the library could not read it.
// The leading dimensions of a shape "G... N D" become one.
class Argument {
 public:
  Argument(Tensor tensor, const Shape& shape, bool is_strided, bool collapses)
      : tensor_(std::move(tensor)) {
    const std::int64_t last = tensor_.dim() - 1;
    const bool is_readable = is_strided ? !shape.has_adjacent_channels || last < 0 ||
                                              tensor_.stride(last) == 1 ||
                                              tensor_.size(last) <= 1 || tensor_.numel() == 0
                                        : tensor_.is_contiguous();
    if (!is_readable) tensor_ = torch::stable::contiguous(tensor_);
    leading_ = collapses ? static_cast<int>(tensor_.dim()) - (shape.count - 1) : 0;
    if (collapses && leading_ >= 0) collapse(shape.count);
  }

  const Tensor& tensor() const { return tensor_; }
  // The number of dimensions that "G..." matches; negative if the tensor has too few dimensions.
  int leading() const { return leading_; }

  osc_array array() const {
    const std::int64_t* const sizes = count_ > 0 ? sizes_.data() : tensor_.sizes().data();
    const std::int64_t* const strides = count_ > 0 ? strides_.data() : tensor_.strides().data();
    return {const_cast<void*>(tensor_.const_data_ptr()), sizes, strides,
            count_ > 0 ? count_ : static_cast<std::int32_t>(tensor_.dim()), dtype_of(tensor_)};
  }

 private:
  void collapse(int count) {
    std::int64_t groups = 1;
    for (int i = 0; i < leading_; ++i) groups *= tensor_.size(i);
    std::optional<std::int64_t> stride = leading_stride();
    if (!stride) {
      tensor_ = torch::stable::contiguous(tensor_);
      stride = leading_stride();
    }
    count_ = count;
    sizes_[0] = groups;
    strides_[0] = *stride;
    for (int i = 1; i < count; ++i) {
      sizes_[i] = tensor_.size(leading_ + i - 1);
      strides_[i] = tensor_.stride(leading_ + i - 1);
    }
  }

  // The distance between groups if it is the same everywhere.
  std::optional<std::int64_t> leading_stride() const {
    std::optional<std::int64_t> innermost;
    std::int64_t expected = 0;
    for (int i = leading_ - 1; i >= 0; --i) {
      if (tensor_.size(i) == 1) continue;
      if (innermost && tensor_.stride(i) != expected) return std::nullopt;
      if (!innermost) innermost = tensor_.stride(i);
      expected = tensor_.stride(i) * tensor_.size(i);
    }
    return innermost.value_or(0);
  }

  Tensor tensor_;
  int leading_ = 0;
  std::int32_t count_ = 0;  // the number of sizes_ and strides_; 0: use those of the tensor
  std::array<std::int64_t, kMostDimensions> sizes_{}, strides_{};
};

Tensor empty(std::vector<std::int64_t> sizes, std::int32_t dtype) {
  const std::size_t dims = sizes.size();
  sizes.resize(2 * dims);
  std::int64_t* const strides = sizes.data() + dims;
  for (std::size_t i = dims; i-- > 0;)
    strides[i] = i + 1 == dims ? 1 : strides[i + 1] * std::max<std::int64_t>(sizes[i + 1], 1);
  AtenTensorHandle handle = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      static_cast<std::int64_t>(dims), sizes.data(), strides,
      torch_dtypes()[static_cast<std::size_t>(dtype)], aoti_torch_device_type_cpu(), 0, &handle));
  return Tensor(handle);
}

// In the layout that torch.empty_like gives; contiguous where the library could not write that.
Tensor empty_gradient(const Tensor& input) {
  if (!input.is_contiguous()) {
    Tensor gradient = torch::stable::empty_like(input);
    const std::int64_t last = input.dim() - 1;
    if (gradient.numel() == 0 || gradient.stride(last) == 1 || gradient.size(last) <= 1)
      return gradient;
  }
  const auto sizes = input.sizes();
  return empty({sizes.begin(), sizes.end()}, dtype_of(input));
}

// One call of an operator: the struct of the C function, and the tensors that it points to.
class Call {
 public:
  explicit Call(const Operator& op) : op_(op) {
    std::memset(call_.data(), 0, op.described->struct_size);
    field<std::size_t>(0) = op.described->struct_size;
    thread_local Workspace workspace;
    workspace_ = &workspace;
    static HostExecutor executor;
    field<osc_executor*>(op.described->executor_offset) = &executor;
    field<osc_workspace*>(op.described->workspace_offset) = workspace_;
  }

  void run(StableIValue* stack) {
    take(stack);
    if (!bind_letters()) refuse_dimensions();
    if (op_.gradient_scales >= 0)
      array(op_.gradient_scales) = {&gradient_scales_, nullptr, nullptr, 0, OSC_INT32};
    for (const int i : op_.returned_arrays) allocate(i);
    compute();
    constexpr std::size_t kMostKept = std::size_t{4} << 20;
    workspace_->shrink(kMostKept);
    for (const int i : op_.returned_arrays) {
      const Tensor& result = arguments_[i]->tensor();
      if (op_.plan(i).may_be_none) {
        *stack++ = from(gradient_scales_ ? std::optional(result) : std::nullopt);
      } else {
        *stack++ = from(result);
      }
    }
  }

 private:
  template <typename T>
  T& field(std::int32_t offset) {
    return *reinterpret_cast<T*>(call_.data() + offset);
  }
  osc_array& array(int i) {
    return field<osc_array>(static_cast<std::int32_t>(
        sizeof(std::size_t) + static_cast<std::size_t>(i) * sizeof(osc_array)));
  }

  // Takes all arguments off the stack before any of them is checked, so that an error leaks none.
  void take(StableIValue* stack) {
    std::array<std::optional<Tensor>, kMostArrays> tensors;
    for (const int i : op_.taken_arrays) {
      tensors[i] = op_.plan(i).is_optional ? to<std::optional<Tensor>>(*stack)
                                           : std::optional(to<Tensor>(*stack));
      ++stack;
    }
    for (const int i : op_.taken_options) take_option(i, *stack++);
    for (const int i : op_.taken_arrays) {
      if (!tensors[i]) continue;
      const Plan& plan = op_.plan(i);
      const bool is_input = op_.array(i).role == OSC_ROLE_INPUT;
      arguments_[i].emplace(plan.is_cost ? floating(*tensors[i]) : std::move(*tensors[i]),
                            op_.shapes.arrays[i], is_input, is_input && plan.has_leading);
      array(i) = arguments_[i]->array();
    }
  }

  void take_option(int i, StableIValue value) {
    const osc_option_description& option = op_.option(i);
    if (option.kind == OSC_OPTION_DOUBLE) {
      field<double>(option.offset) = to<double>(value);
      if (to<double>(value) == 0)  // 0 means the default in C
        refuse(option.name + std::string(" is 0; wanted a positive, finite number"));
    } else if (option.kind == OSC_OPTION_INT64) {
      field<std::int64_t>(option.offset) = to<std::int64_t>(value);
    } else {
      const std::int64_t code =
          option.kind == OSC_OPTION_BOOLEAN ? to<bool>(value) : to<std::int64_t>(value);
      if (!std::in_range<std::int32_t>(code))
        refuse(option.name + std::string(" is ") + std::to_string(code) +
               "; wanted an integer of 32 bits");
      field<std::int32_t>(option.offset) = static_cast<std::int32_t>(code);
      if (i == op_.shapes.reduction) reduces_ = code != OSC_NONE;
    }
  }

  [[noreturn]] void refuse_dimensions() {
    for (const int i : op_.taken_arrays) {
      const Shape& shape = op_.shapes.arrays[i];
      const osc_array given = array(i);
      if (op_.array(i).role != OSC_ROLE_INPUT || given.dims == shape.count) continue;
      std::string text = op_.array(i).name + std::string(" has shape [");
      for (std::int32_t d = 0; d < given.dims; ++d)
        text += (d > 0 ? ", " : "") + std::to_string(given.sizes[d]);
      text += "]; wanted [";
      const char* const wanted = op_.array(i).shape;
      for (const char* c = op_.plan(i).has_leading ? wanted + 1 : wanted; *c != '\0'; ++c)
        text += *c == ' ' ? ", " : std::string(1, *c);
      text += "]";
      if (shape.split >= 0) text += ", in which rows i and i + B are the views of image i";
      refuse(text);
    }
    refuse("an input has a wrong number of dimensions");
  }

  // Takes the sizes of the letters from the inputs. The library checks whether they agree.
  bool bind_letters() {
    for (const int i : op_.taken_arrays) {
      if (op_.array(i).role != OSC_ROLE_INPUT) continue;
      const Shape& shape = op_.shapes.arrays[i];
      const osc_array given = array(i);
      if (given.dims != shape.count || arguments_[i]->leading() < 0) return false;
      if (dtype_ == OSC_ABSENT) dtype_ = given.dtype;
      for (int d = 0; d < shape.count; ++d)
        size_of_[shape.dimensions[d].letters[0]] = given.sizes[d] / shape.dimensions[d].factor;
      if (op_.plan(i).has_leading) leading_input_ = i;
      if (op_.plan(i).is_differentiated) differentiated_ = i;
    }
    return true;
  }

  void allocate(int i) {
    const osc_array_description& described = op_.array(i);
    const std::int32_t dtype = described.dtype == OSC_ABSENT ? dtype_ : described.dtype;
    const Shape& shape = op_.shapes.arrays[i];
    Tensor result;
    if (op_.plan(i).is_like_differentiated) {
      result = empty_gradient(arguments_[differentiated_]->tensor());
    } else {
      std::vector<std::int64_t> sizes;
      const int count = reduces_ ? shape.reduced_count : shape.count;
      if (count > 0) sizes.reserve(2 * kMostDimensions);  // with the strides
      for (int d = 0; d < count; ++d) {
        if (d == 0 && op_.plan(i).has_leading) {
          const Argument& input = *arguments_[leading_input_];
          for (int k = 0; k < input.leading(); ++k) sizes.push_back(input.tensor().size(k));
          continue;
        }
        const Dimension& dimension = shape.dimensions[d];
        std::int64_t size = dimension.factor;
        for (int k = 0; k < dimension.letter_count; ++k) size *= size_of_[dimension.letters[k]];
        sizes.push_back(size);
      }
      result = empty(std::move(sizes), dtype);
    }
    const bool is_gradient = described.role == OSC_ROLE_GRADIENT;
    // Groups that are not evenly spaced are copied: the copy, which is contiguous, is the result.
    arguments_[i].emplace(std::move(result), shape, true, is_gradient && op_.plan(i).has_leading);
    array(i) = arguments_[i]->array();
    // Outputs are contiguous and have the wanted sizes, so their sizes can be left out.
    if (!is_gradient) array(i).sizes = array(i).strides = nullptr;
  }

  void compute() {
    if (op_.described->run(call_.data()) != OSC_OK) refuse(osc_last_error());
  }

  const Operator& op_;
  alignas(std::max_align_t) std::array<std::byte, 1024> call_;  // as much of it as the struct takes
  std::array<std::optional<Argument>, kMostArrays> arguments_;
  Workspace* workspace_;
  std::array<std::int64_t, kMostLetters> size_of_{};
  std::int32_t dtype_ = OSC_ABSENT;  // of the inputs
  int leading_input_ = -1, differentiated_ = -1;
  bool reduces_ = false;
  std::int32_t gradient_scales_ = 1;
};

// The dispatcher wants a function for each operator: one instance of this each.
template <std::size_t place>
void kernel(StableIValue* stack, std::uint64_t, std::uint64_t) {
  Call(operators()[place]).run(stack);
}

constexpr std::size_t kMostOperators = 32;

template <std::size_t... places>
constexpr auto kernels(std::index_sequence<places...>) {
  return std::array{&kernel<places>...};
}
constexpr auto kKernels = kernels(std::make_index_sequence<kMostOperators>());

}  // namespace

bool are_registered() { return true; }

STABLE_TORCH_LIBRARY_FRAGMENT(osc, library) {
  for (const Operator& op : operators()) library.def(op.schema.c_str());
}

STABLE_TORCH_LIBRARY_IMPL(osc, CPU, library) {
  for (std::size_t i = 0; i < operators().size(); ++i)
    library.impl(operators()[i].name.c_str(), kKernels.at(i));
}

}  // namespace osc::torch_operators
