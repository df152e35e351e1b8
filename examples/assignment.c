/* The assignment through the C interface: two problems of 2 x 3 costs, with memory that the next
 * call may use again. Built and run by the tests. */
#include <osc/osc.h>
#include <stdio.h>

int main(void) {
  float cost[12] = {4, 1, 3, 2, 0, 5, /* problem 1 */ 1, 2, 3, 1, 1, 1};
  const int64_t sizes[3] = {2, 2, 3}; /* problems, rows, columns */
  int64_t col4row[4];
  osc_assignment call = {.struct_size = sizeof call};
  osc_status status = osc_workspace_create(&call.workspace);
  call.cost = (osc_array){cost, sizes, NULL, 3, OSC_FLOAT32};
  call.col4row = (osc_array){col4row, NULL, NULL, 0, OSC_INT64}; /* of the sizes that are wanted */
  if (status == OSC_OK) status = osc_linear_sum_assignment(&call);
  osc_workspace_destroy(call.workspace);
  if (status != OSC_OK) {
    fprintf(stderr, "osc: %s\n", osc_last_error());
    return 1;
  }
  printf("rows 0, 1 of problem 0 take columns %d, %d; of problem 1 %d, %d\n", (int)col4row[0],
         (int)col4row[1], (int)col4row[2], (int)col4row[3]);
  return col4row[0] == 1 && col4row[1] == 0 && col4row[2] == 0 && col4row[3] == 1 ? 0 : 1;
}
