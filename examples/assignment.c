/* The same through the C interface: two problems of 2 x 3 costs, with memory that is kept for the
 * next call. Built and run by the tests. */
#include <osc/osc.h>
#include <stdio.h>

int main(void) {
  const float costs[12] = {4, 1, 3, 2, 0, 5, /* problem 1 */ 1, 2, 3, 1, 1, 1};
  const int64_t sizes[3] = {2, 2, 3};   /* problems, rows, columns */
  const int64_t strides[3] = {6, 3, 1}; /* in elements */
  int64_t column_of_row[4];
  osc_workspace* memory = NULL;
  osc_status status = osc_workspace_create(&memory);
  if (status == OSC_OK) {
    status = osc_linear_sum_assignment(OSC_FLOAT32, sizes, costs, strides, 0, OSC_RAISE, NULL,
                                       memory, column_of_row, NULL, NULL);
  }
  osc_workspace_destroy(memory);
  if (status != OSC_OK) {
    fprintf(stderr, "osc: %s\n", osc_last_error());
    return 1;
  }
  printf("rows 0, 1 of problem 0 take columns %d, %d; of problem 1 %d, %d\n", (int)column_of_row[0],
         (int)column_of_row[1], (int)column_of_row[2], (int)column_of_row[3]);
  return column_of_row[0] == 1 && column_of_row[1] == 0 && column_of_row[2] == 0 &&
                 column_of_row[3] == 1
             ? 0
             : 1;
}
