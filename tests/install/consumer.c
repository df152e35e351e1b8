#include <osc/osc.h>
#include <stddef.h>

int main(void) {
  const double costs[4] = {1, 0, 0, 1};
  const int64_t sizes[3] = {1, 2, 2}, strides[3] = {4, 2, 1};
  int64_t column_of_row[2] = {-7, -7};
  const osc_status status = osc_linear_sum_assignment(
      OSC_FLOAT64, sizes, costs, strides, 0, OSC_RAISE, NULL, NULL, column_of_row, NULL, NULL);
  return status == OSC_OK && column_of_row[0] == 1 && column_of_row[1] == 0 ? 0 : 1;
}
