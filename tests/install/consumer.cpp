#include <osc/assignment.hpp>
#include <osc/similarity_loss.hpp>

#include <cstdint>
#include <vector>

int main() {
  const std::vector<float> cost = {4, 1, 3, 2, 0, 5, 3, 2, 2};
  std::vector<std::int64_t> col4row(3);
  osc::linear_sum_assignment(osc::contiguous(cost.data(), {1, 3, 3}), {col4row.data()});
  const std::vector<float> slots = {
      1, 0, 0, 1, 0, 1, 1, 0};  // two views of an image with two slots, in the other order
  const auto view = osc::view_major(slots.data(), {2, 2, 2});
  const bool right = col4row == std::vector<std::int64_t>{1, 0, 2} &&
                     osc::matching_similarity_loss_per_img(view, view) == 0;
  return right ? 0 : 1;
}
