#include <osc/assignment.hpp>
#include <osc/loss_objects.hpp>

#include <cstdint>
#include <vector>

int main() {
  const std::vector<float> costs = {4, 1, 3, 2, 0, 5, 3, 2, 2};
  std::vector<std::int64_t> column_of_row(3);
  osc::linear_sum_assignment(osc::contiguous_costs(costs.data(), 1, 3, 3), {column_of_row.data()});
  const std::vector<float> slots = {
      1, 0, 0, 1, 0, 1, 1, 0};  // two views of an image with two slots, in the other order
  const auto view = osc::view_major_slots(slots.data(), {2, 2, 2});
  const bool right = column_of_row == std::vector<std::int64_t>{1, 0, 2} &&
                     osc::matching_similarity_loss_per_img(view, view) == 0;
  return right ? 0 : 1;
}
