#include <osc/osc.h>

int main(void) {
  double cost[4] = {1, 0, 0, 1};
  const int64_t sizes[3] = {1, 2, 2};
  int64_t col4row[2] = {-7, -7};
  osc_assignment call = {0};
  call.struct_size = sizeof call;
  call.cost = (osc_array){cost, sizes, NULL, 3, OSC_FLOAT64};
  call.col4row = (osc_array){col4row, NULL, NULL, 0, OSC_INT64};
  return osc_linear_sum_assignment(&call) == OSC_OK && col4row[0] == 1 && col4row[1] == 0 ? 0 : 1;
}
