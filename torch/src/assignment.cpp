#include "osc/libtorch/assignment.hpp"

#include <vector>

#include "host.hpp"

namespace osc::libtorch {

std::tuple<torch::Tensor, torch::Tensor> linear_sum_assignment(const torch::Tensor& cost,
                                                               bool maximize,
                                                               OnUnsolvable on_unsolvable) {
  TORCH_CHECK_VALUE(cost.defined(), "cost is an undefined tensor");
  TORCH_CHECK_VALUE(cost.dim() >= 2, "cost has shape ", cost.sizes(), "; wanted [..., R, K]");
  TORCH_CHECK_TYPE(!cost.is_complex() && !cost.is_quantized(), "cost is ", cost.scalar_type(),
                   "; wanted real numbers");
  TORCH_CHECK_VALUE(cost.is_cpu() && cost.layout() == torch::kStrided, "cost is a ", cost.layout(),
                    " tensor on ", cost.device(), "; wanted a dense one on the CPU");
  const bool is_read_in_place =
      cost.is_floating_point() && cost.element_size() <= 8 && cost.element_size() >= 2;
  const torch::Tensor given =
      (is_read_in_place ? cost.detach() : cost.detach().to(torch::kDouble)).resolve_neg();

  const auto rows = cost.size(-2), columns = cost.size(-1);
  const auto batch_shape = cost.sizes().slice(0, cost.dim() - 2).vec();
  std::int64_t problems = 1;
  for (const auto size : batch_shape) problems *= size;
  const torch::Tensor batch = given.reshape({problems, rows, columns});

  auto with_last = [&](std::int64_t size) {
    auto shape = batch_shape;
    shape.push_back(size);
    return torch::empty(shape, torch::kLong);
  };
  const torch::Tensor column_of_row = with_last(rows), row_of_column = with_last(columns);
  translated([&] {
    return with_element_type(batch, [&](auto element) {
      using T = decltype(element);
      const CostMatrices<T> costs{elements<T>(batch), problems,        rows,           columns,
                                  batch.stride(0),    batch.stride(1), batch.stride(2)};
      osc::linear_sum_assignment(costs,
                                 {column_of_row.mutable_data_ptr<std::int64_t>(),
                                  row_of_column.mutable_data_ptr<std::int64_t>()},
                                 {maximize, on_unsolvable, &host_executor()});
    });
  });
  return {column_of_row, row_of_column};
}

torch::Tensor match_slots(const torch::Tensor& f, double eps, NonFinite on_nonfinite) {
  check_slots("f", f);
  const torch::Tensor slots = readable(f.detach());
  const torch::Tensor matching = torch::empty({slots.size(0) / 2, slots.size(1)}, torch::kLong);
  translated([&] {
    return with_element_type(slots, [&](auto element) {
      osc::match_slots(view<decltype(element)>(slots), matching.mutable_data_ptr<std::int64_t>(),
                       {eps, on_nonfinite, &host_executor()});
    });
  });
  return matching;
}

}  // namespace osc::libtorch
