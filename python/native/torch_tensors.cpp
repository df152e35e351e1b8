#include "torch_tensors.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "host_executor.hpp"

namespace osc::torch_operators {

Executor& host_executor() {
  static HostExecutor executor;
  return executor;
}

Workspace* kept_workspace(std::size_t bytes) {
  constexpr std::size_t kMostKept = std::size_t{4} << 20;
  thread_local Workspace workspace;
  return bytes <= kMostKept ? &workspace : nullptr;
}

void refuse(const std::string& text) { throw std::invalid_argument(text); }

std::string shape_of(const Tensor& tensor) {
  std::ostringstream text;
  text << '[';
  for (std::int64_t i = 0; i < tensor.dim(); ++i) text << (i ? ", " : "") << tensor.size(i);
  text << ']';
  return text.str();
}

Reduction reduction_from_code(std::int64_t code) {
  switch (code) {
    case 0: return Reduction::none;
    case 1: return Reduction::mean;
    case 2: return Reduction::sum;
    default:
      refuse("reduction is " + std::to_string(code) + "; wanted 0 (none), 1 (mean) or 2 (sum)");
  }
}

void check_slots(const char* name, const Tensor& slots) {
  if (slots.dim() != 3 || slots.size(0) % 2 != 0) {
    refuse(std::string(name) + " has shape " + shape_of(slots) +
           "; wanted [2B, S, C], in which rows i and i + B are the views of image i (x [B, 2, S, "
           "C] becomes that by x.transpose(0, 1).flatten(0, 1))");
  }
}

void check_same_dtype(const char* name, const Tensor& tensor, const char* other_name,
                      const Tensor& other) {
  if (tensor.scalar_type() != other.scalar_type())
    refuse(std::string(name) + " and " + other_name + " have different dtypes");
}

void check_incoming(const Tensor& grad_loss, const char* name, const Tensor& slots,
                    Reduction reduction, std::int64_t losses) {
  check_same_dtype("grad_loss", grad_loss, name, slots);
  const bool each = reduction == Reduction::none;
  if (each ? grad_loss.dim() == 0 || grad_loss.numel() != losses : grad_loss.dim() != 0) {
    refuse("grad_loss has shape " + shape_of(grad_loss) + "; wanted that of the loss, " +
           (each ? "of " + std::to_string(losses) + " elements" : "[]"));
  }
}

void check_matching(const Tensor& matching, std::int64_t images, std::int64_t slots) {
  if (matching.scalar_type() != ScalarType::Long || matching.dim() != 2 ||
      matching.size(0) != images || matching.size(1) != slots) {
    refuse("matching has shape " + shape_of(matching) + "; wanted int64 [" +
           std::to_string(images) + ", " + std::to_string(slots) + "]");
  }
}

std::int32_t dtype_of(const Tensor& tensor) {
  std::int32_t dtype = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(tensor.get(), &dtype));
  return dtype;
}

Tensor empty_loss(Reduction reduction, std::int64_t losses, std::int32_t dtype) {
  return reduction == Reduction::none ? empty_strided<1>({losses}, {1}, dtype)
                                      : empty_strided<0>({}, {}, dtype);
}

Tensor empty_matching(std::int64_t images, std::int64_t slots) {
  return empty_contiguous<2>({images, slots}, aoti_torch_dtype_int64());
}

Tensor empty_gradient(const Tensor& p) {
  if (!p.is_contiguous()) {
    const Tensor gradient = torch::stable::empty_like(p);
    if (has_adjacent_channels(gradient)) return gradient;
  }
  AtenTensorHandle handle = nullptr;
  std::vector<std::int64_t> sizes, strides(static_cast<std::size_t>(p.dim()), 1);
  for (std::int64_t i = 0; i < p.dim(); ++i) sizes.push_back(p.size(i));
  for (std::size_t i = sizes.size() - 1; i > 0; --i)
    strides[i - 1] = strides[i] * std::max<std::int64_t>(sizes[i], 1);
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(p.dim(), sizes.data(), strides.data(),
                                                         dtype_of(p), aoti_torch_device_type_cpu(),
                                                         0, &handle));
  return Tensor(handle);
}

Tensor made_contiguous(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

bool has_adjacent_channels(const Tensor& slots) {
  const std::int64_t last = slots.dim() - 1;
  return slots.stride(last) == 1 || slots.size(last) <= 1 || slots.numel() == 0;
}

Tensor readable(const Tensor& slots) {
  return has_adjacent_channels(slots) ? slots : torch::stable::contiguous(slots);
}

std::optional<std::int64_t> matrix_stride(const Tensor& batch) {
  std::optional<std::int64_t> innermost;
  std::int64_t expected = 0;
  for (std::int64_t i = batch.dim() - 3; i >= 0; --i) {
    if (batch.size(i) == 1) continue;
    if (innermost && batch.stride(i) != expected) return std::nullopt;
    if (!innermost) innermost = batch.stride(i);
    expected = batch.stride(i) * batch.size(i);
  }
  return innermost.value_or(0);
}

std::int64_t matrices(const Tensor& batch) {
  std::int64_t count = 1;
  for (std::int64_t i = 0; i + 2 < batch.dim(); ++i) count *= batch.size(i);
  return count;
}

}  // namespace osc::torch_operators
