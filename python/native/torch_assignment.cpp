// torch.ops.osc.linear_sum_assignment and match_slots on CPU tensors.
#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "osc/assignment.hpp"
#include "osc/loss_objects.hpp"
#include "torch_tensors.hpp"

namespace osc::torch_operators {
namespace {

Tensor match_slots(const Tensor& f, double eps, bool raise_nonfinite) {
  check_slots("f", f);
  return with_element_type("f", f, [&](auto element) {
    using T = decltype(element);
    Executor& executor = host_executor();
    const std::size_t bytes = matching_similarity_workspace<T>(f.size(0) / 2, f.size(1), f.size(2),
                                                               executor.concurrency());
    const Tensor readable_f = readable(f), matching = empty_matching(f.size(0) / 2, f.size(1));
    osc::match_slots(view<T>(readable_f), mutable_data<std::int64_t>(matching),
                     {eps, raise_nonfinite ? NonFinite::raise : NonFinite::propagate, &executor,
                      kept_workspace(bytes)});
    return matching;
  });
}

// Refused where float64 would round one.
template <typename Integer>
void check_exact_in_double(const Tensor& cost) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 53;
  const Tensor contiguous = made_contiguous(cost);
  const auto* first = const_data<Integer>(contiguous);
  const bool exact = std::all_of(first, first + contiguous.numel(), [](Integer x) {
    return std::cmp_less_equal(x, kLargest) && std::cmp_greater_equal(x, -kLargest);
  });
  if (!exact) {
    refuse(
        "cost holds integers beyond ±2^53, which float64 would round; wanted smaller ones "
        "(subtracting a constant from a row changes no assignment)");
  }
}

// The costs themselves where the kernels read their type, else as float64.
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

// [..., size of a dimension of its last two], contiguous.
Tensor empty_assignment(const Tensor& cost, std::int64_t dimension) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t i = 0; i + 2 < cost.dim(); ++i) sizes.push_back(cost.size(i));
  sizes.push_back(cost.size(dimension));
  return torch::stable::empty({sizes.data(), sizes.size()}, ScalarType::Long);
}

std::tuple<Tensor, Tensor> linear_sum_assignment(const Tensor& given, bool maximize,
                                                 bool raise_unsolvable) {
  const std::int64_t dimensions = given.dim();
  if (dimensions < 2) refuse("cost has shape " + shape_of(given) + "; wanted [..., R, K]");
  const Tensor cost = floating(given);
  return with_element_type("cost", cost, [&](auto element) {
    using T = decltype(element);
    const Tensor col4row = empty_assignment(cost, dimensions - 2),
                 row4col = empty_assignment(cost, dimensions - 1);
    const Tensor even = matrix_stride(cost) ? cost : torch::stable::contiguous(cost);
    const CostMatrices<T> costs{const_data<T>(even),        matrices(cost),
                                even.size(dimensions - 2),  even.size(dimensions - 1),
                                *matrix_stride(even),       even.stride(dimensions - 2),
                                even.stride(dimensions - 1)};
    Executor& executor = host_executor();
    osc::linear_sum_assignment(
        costs, {mutable_data<std::int64_t>(col4row), mutable_data<std::int64_t>(row4col)},
        {maximize, raise_unsolvable ? OnUnsolvable::raise : OnUnsolvable::unmatched, &executor,
         kept_workspace(linear_sum_assignment_workspace(costs, executor.concurrency()))});
    return std::tuple(col4row, row4col);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(osc, library) {
  library.def("match_slots(Tensor f, float eps, bool raise_nonfinite) -> Tensor");
  library.def(
      "linear_sum_assignment(Tensor cost, bool maximize, bool raise_unsolvable) -> (Tensor "
      "col4row, Tensor row4col)");
}

STABLE_TORCH_LIBRARY_IMPL(osc, CPU, library) {
  library.impl("match_slots", TORCH_BOX(&match_slots));
  library.impl("linear_sum_assignment", TORCH_BOX(&linear_sum_assignment));
}

}  // namespace osc::torch_operators
