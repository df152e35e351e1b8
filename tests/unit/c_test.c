/* The C interface as a C99 program uses it. Prints the checks that fail; exits with their number.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "osc/osc.h"

static int failures = 0;

static void expect(int condition, const char* text, int line) {
  if (condition) return;
  printf("line %d: %s (last error: %s)\n", line, text, osc_last_error());
  ++failures;
}
#define EXPECT(condition) expect((condition), #condition, __LINE__)

static osc_array array(void* data, const int64_t* sizes, int32_t dims, int32_t dtype) {
  osc_array described = {0};
  described.data = data;
  described.sizes = sizes;
  described.dims = dims;
  described.dtype = dtype;
  return described;
}

/* One image, two slots, two channels; the second view holds the first one's slots the other way
 * round, so the matching is a swap and the loss is 0. */
static float slots[8] = {1, 0, 0, 1, 0, 2, 3, 0}, other[8] = {1, 1, 0, 1, 1, 2, 3, 0};
static const int64_t sizes[3] = {2, 2, 2};

static void test_loss(void) {
  float loss = -7, gradient[8], again[8], grad_output = 2;
  int64_t matching[2] = {-7, -7};
  osc_similarity_loss call = {.struct_size = sizeof call};
  call.f = array(slots, sizes, 3, OSC_FLOAT32);
  call.p = array(slots, sizes, 3, OSC_FLOAT32);
  call.loss = array(&loss, NULL, 0, OSC_FLOAT32);
  call.matching = array(matching, NULL, 0, OSC_INT64);
  EXPECT(osc_matching_similarity_loss_per_img(&call) == OSC_OK);
  EXPECT(loss == 0 && matching[0] == 1 && matching[1] == 0);

  call.p = array(other, sizes, 3, OSC_FLOAT32);
  call.reduction = OSC_SUM;
  call.grad_output = array(&grad_output, NULL, 0, OSC_FLOAT32);
  call.grad_p = array(gradient, sizes, 3, OSC_FLOAT32);
  EXPECT(osc_matching_similarity_loss_per_img(&call) == OSC_OK);
  EXPECT(fabsf(loss - (1 - sqrtf(0.5f)) / 2 - (1 - 2 / sqrtf(5)) / 2) < 1e-6f);

  call.given_matching = call.matching; /* backward: the same call, for the gradient alone */
  memset(&call.loss, 0, sizeof call.loss);
  memset(&call.matching, 0, sizeof call.matching);
  call.grad_p.data = again;
  EXPECT(osc_matching_similarity_loss_per_img(&call) == OSC_OK);
  EXPECT(memcmp(gradient, again, sizeof gradient) == 0);
}

static void test_executor_and_errors(void) {
  int64_t matching[2] = {-7, -7};
  const int64_t odd[3] = {3, 2, 2};
  osc_executor* pool = NULL;
  osc_workspace* workspace = NULL;
  osc_slot_matching call = {.struct_size = sizeof call};
  EXPECT(osc_thread_pool_create(2, &pool) == OSC_OK && pool != NULL);
  EXPECT(osc_workspace_create(&workspace) == OSC_OK && workspace != NULL);
  call.slots = array(slots, sizes, 3, OSC_FLOAT32);
  call.matching = array(matching, NULL, 0, OSC_INT64);
  call.executor = pool;
  call.workspace = workspace;
  EXPECT(osc_match_slots(&call) == OSC_OK && matching[0] == 1 && matching[1] == 0);
  slots[5] = NAN;
  EXPECT(osc_match_slots(&call) == OSC_OK && matching[0] == -1 && matching[1] == -1);
  call.on_nonfinite = OSC_RAISE;
  EXPECT(osc_match_slots(&call) == OSC_NONFINITE);
  EXPECT(strcmp(osc_last_error(), "slots: image 0 of 1 holds a NaN or an infinity") == 0);
  EXPECT(osc_last_error_index() == 0);
  call.slots.sizes = odd;
  EXPECT(osc_match_slots(&call) == OSC_INVALID_ARGUMENT);
  EXPECT(strstr(osc_last_error(), "slots has shape [3, 2, 2]") != NULL);
  call.struct_size = 3;
  EXPECT(osc_match_slots(&call) == OSC_INVALID_ARGUMENT);
  osc_workspace_destroy(workspace);
  osc_workspace_destroy(NULL);
  osc_executor_destroy(pool);
  osc_executor_destroy(NULL);
  EXPECT(osc_thread_pool_create(0, &pool) == OSC_INVALID_ARGUMENT);
  EXPECT(osc_thread_pool_create(1, NULL) == OSC_INVALID_ARGUMENT);
}

static void test_best_worst(void) {
  double best = -7, worst = -7;
  EXPECT(osc_matching_contrastive_loss_best_worst(1, 2, 0.5, &best, &worst) == OSC_OK);
  EXPECT(fabs(best - (log(exp(2.0) + 2) - 2)) < 1e-12 && fabs(worst - log(3.0)) < 1e-12);
  EXPECT(osc_matching_contrastive_loss_best_worst(1, 2, 0.5, NULL, &worst) == OSC_INVALID_ARGUMENT);
}

static void test_table(void) {
  int32_t count = 0, i;
  const osc_operator* operators = osc_operators(&count);
  EXPECT(count > 0 && operators == osc_operators(NULL));
  for (i = 0; i < count; ++i) EXPECT(operators[i].name != NULL && operators[i].run(NULL) != OSC_OK);
}

int main(void) {
  EXPECT(strlen(osc_last_error()) == 0);
  EXPECT(strchr(osc_version(), '.') != NULL);
  test_loss();
  test_executor_and_errors();
  test_best_worst();
  test_table();
  return failures;
}
