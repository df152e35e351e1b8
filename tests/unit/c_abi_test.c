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

/* One image, two slots, two channels; the second view holds the first one's slots the other way
 * round, so the matching is a swap and the loss is 0. */
static const float kSlots[8] = {1, 0, 0, 1, 0, 2, 3, 0};
static const int64_t kSizes[3] = {1, 2, 2};
static const int64_t kStrides[3] = {4, 4, 2};

static void test_loss(void) {
  float loss = -7, each[4], gradient[8], again[8];
  int64_t matching[2] = {-7, -7};
  double slots[8], loss64 = -7, gradient64[8], again64[8];
  const float other[8] = {1, 1, 0, 1, 1, 2, 3, 0};
  const float incoming = 2;
  int i;

  EXPECT(osc_matching_similarity_loss_per_img(
             OSC_FLOAT32, kSizes, kSlots, kStrides, kSlots, kStrides, OSC_REDUCTION_MEAN, 1e-10,
             OSC_PROPAGATE, NULL, NULL, &loss, NULL, NULL, NULL, matching, NULL) == OSC_OK);
  EXPECT(loss == 0);
  EXPECT(matching[0] == 1 && matching[1] == 0);

  EXPECT(osc_matching_similarity_loss_per_img(
             OSC_FLOAT32, kSizes, kSlots, kStrides, other, kStrides, OSC_REDUCTION_SUM, 1e-10,
             OSC_RAISE, NULL, NULL, &loss, &incoming, gradient, kStrides, NULL, NULL) == OSC_OK);
  EXPECT(osc_matching_similarity_loss_per_img_backward(
             OSC_FLOAT32, kSizes, kSlots, kStrides, other, kStrides, matching, OSC_REDUCTION_SUM,
             1e-10, OSC_PROPAGATE, NULL, NULL, &incoming, again, kStrides) == OSC_OK);
  EXPECT(memcmp(gradient, again, sizeof gradient) == 0);
  EXPECT(osc_matching_similarity_loss_per_img(
             OSC_FLOAT32, kSizes, kSlots, kStrides, other, kStrides, OSC_REDUCTION_NONE, 1e-10,
             OSC_PROPAGATE, NULL, NULL, each, NULL, NULL, NULL, NULL, NULL) == OSC_OK);
  EXPECT(fabsf(each[0] - (1 - sqrtf(0.5f)) / 2) < 1e-6f); /* (1, 1) against (1, 0) */
  EXPECT(each[1] == 0 && each[3] == 0);
  EXPECT(fabsf(loss - each[0] - each[1] - each[2] - each[3]) < 1e-6f);

  for (i = 0; i < 8; ++i) slots[i] = kSlots[i];
  EXPECT(osc_matching_similarity_loss_per_img(OSC_FLOAT64, kSizes, slots, kStrides, slots, kStrides,
                                              OSC_REDUCTION_MEAN, 1e-10, OSC_PROPAGATE, NULL, NULL,
                                              &loss64, NULL, gradient64, kStrides, matching,
                                              NULL) == OSC_OK);
  EXPECT(loss64 == 0);
  EXPECT(osc_matching_similarity_loss_per_img_backward(
             OSC_FLOAT64, kSizes, slots, kStrides, slots, kStrides, matching, OSC_REDUCTION_MEAN,
             1e-10, OSC_PROPAGATE, NULL, NULL, NULL, again64, kStrides) == OSC_OK);
  EXPECT(memcmp(gradient64, again64, sizeof gradient64) == 0);
}

/* Slots that are all orthogonal but for the matched ones, which are equal: the best case. */
static void test_contrastive_loss(void) {
  float loss = -7, gradient[8], again[8];
  const float one = 1;
  double log_sums[4], accuracy = -7, best = -7, worst = -7;
  int64_t matching[2] = {-7, -7};
  int32_t statuses[1] = {-7};
  int i;
  const float slots[8] = {1, 0, 0, 2, 0, 3, 4, 0};
  EXPECT(osc_matching_contrastive_loss_best_worst(1, 2, 0.5, &best, &worst) == OSC_OK);
  EXPECT(fabs(best - (log(exp(2.0) + 2) - 2)) < 1e-12 && fabs(worst - log(3.0)) < 1e-12);
  EXPECT(osc_matching_contrastive_loss(OSC_FLOAT32, kSizes, slots, kStrides, OSC_CANDIDATES_BATCH,
                                       0.5, OSC_REDUCTION_MEAN, 1e-10, OSC_PROPAGATE, NULL, NULL,
                                       NULL, &loss, NULL, gradient, kStrides, matching, log_sums,
                                       &accuracy, statuses) == OSC_OK);
  EXPECT(fabs(loss - best) < 1e-6 && accuracy == 1 && statuses[0] == 0);
  EXPECT(matching[0] == 1 && matching[1] == 0);
  EXPECT(fabs(log_sums[0] - log(exp(2.0) + 2)) < 1e-5);
  EXPECT(osc_matching_contrastive_loss_backward(OSC_FLOAT32, kSizes, slots, kStrides,
                                                OSC_CANDIDATES_BATCH, 0.5, OSC_REDUCTION_MEAN,
                                                1e-10, OSC_PROPAGATE, NULL, NULL, matching,
                                                log_sums, NULL, again, kStrides) == OSC_OK);
  for (i = 0; i < 8; ++i) EXPECT(again[i] == gradient[i]);
  EXPECT(osc_matching_contrastive_loss_gathered(
             OSC_FLOAT32, kSizes, 1, 0, slots, 0.5, OSC_REDUCTION_MEAN, 1e-10, OSC_PROPAGATE, NULL,
             NULL, NULL, &loss, matching, log_sums, &accuracy, statuses) == OSC_OK);
  EXPECT(fabs(loss - best) < 1e-6);
  EXPECT(osc_matching_contrastive_loss_gathered_backward(
             OSC_FLOAT32, kSizes, 1, 0, slots, 0.5, OSC_REDUCTION_MEAN, 1e-10, OSC_PROPAGATE, NULL,
             NULL, matching, log_sums, &one, again, kStrides) == OSC_OK);
  for (i = 0; i < 8; ++i) EXPECT(again[i] == gradient[i]);
  loss = -7;
  EXPECT(osc_matching_contrastive_loss(OSC_FLOAT32, kSizes, slots, kStrides, 5, 0.5,
                                       OSC_REDUCTION_MEAN, 1e-10, OSC_PROPAGATE, NULL, NULL, NULL,
                                       &loss, NULL, NULL, NULL, NULL, NULL, NULL,
                                       NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(osc_matching_contrastive_loss(OSC_FLOAT32, kSizes, slots, kStrides, OSC_CANDIDATES_IMAGE,
                                       0, OSC_REDUCTION_MEAN, 1e-10, OSC_PROPAGATE, NULL, NULL,
                                       NULL, &loss, NULL, NULL, NULL, NULL, NULL, NULL,
                                       NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(strstr(osc_last_error(), "temperature is 0") != NULL);
  EXPECT(osc_matching_contrastive_loss_gathered(
             OSC_FLOAT32, NULL, 1, 0, slots, 0.5, OSC_REDUCTION_MEAN, 1e-10, OSC_PROPAGATE, NULL,
             NULL, NULL, &loss, NULL, NULL, NULL, NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(osc_matching_contrastive_loss_best_worst(1, 2, 0.5, NULL, &worst) == OSC_INVALID_ARGUMENT);
  EXPECT(loss == -7);
}

static void test_match_slots(void) {
  int64_t matching[2] = {-7, -7};
  double slots[8];
  osc_pool* pool = NULL;
  int i;
  for (i = 0; i < 8; ++i) slots[i] = kSlots[i];
  EXPECT(osc_pool_create(2, &pool) == OSC_OK && pool != NULL);
  EXPECT(osc_match_slots(OSC_FLOAT32, kSizes, kSlots, kStrides, 1e-10, OSC_PROPAGATE, pool, NULL,
                         matching, NULL) == OSC_OK);
  EXPECT(matching[0] == 1 && matching[1] == 0);
  slots[5] = NAN;
  EXPECT(osc_match_slots(OSC_FLOAT64, kSizes, slots, kStrides, 1e-10, OSC_PROPAGATE, pool, NULL,
                         matching, NULL) == OSC_OK);
  EXPECT(matching[0] == -1 && matching[1] == -1);
  EXPECT(osc_match_slots(OSC_FLOAT64, kSizes, slots, kStrides, 1e-10, OSC_RAISE, pool, NULL,
                         matching, NULL) == OSC_NONFINITE);
  EXPECT(strstr(osc_last_error(), "image 0") != NULL);
  osc_pool_destroy(pool);
  osc_pool_destroy(NULL);
}

static void test_assignment(void) {
  const float costs[8] = {4, 1, 2, 0, 1, 1, NAN, 1};
  const double costs64[6] = {1, 5, 3, 2, 4, 0};
  const int64_t sizes[3] = {2, 2, 2}, strides[3] = {4, 2, 1}, wide[3] = {1, 2, 3},
                wide_strides[3] = {6, 3, 1};
  int64_t columns[4], rows[4];
  int32_t statuses[2];
  EXPECT(osc_linear_sum_assignment(OSC_FLOAT32, sizes, costs, strides, 0, OSC_PROPAGATE, NULL, NULL,
                                   columns, rows, statuses) == OSC_OK);
  EXPECT(columns[0] == 1 && columns[1] == 0 && rows[0] == 1 && rows[1] == 0 && columns[2] == -1 &&
         rows[3] == -1);
  EXPECT(statuses[0] == 0 && statuses[1] == 1);
  EXPECT(osc_linear_sum_assignment(OSC_FLOAT32, sizes, costs, strides, 0, OSC_RAISE, NULL, NULL,
                                   columns, rows, NULL) == OSC_UNSOLVABLE);
  EXPECT(strstr(osc_last_error(), "problem 1") != NULL);
  EXPECT(osc_linear_sum_assignment(OSC_FLOAT64, wide, costs64, wide_strides, 1, OSC_RAISE, NULL,
                                   NULL, columns, rows, NULL) == OSC_OK);
  EXPECT(columns[0] == 1 && columns[1] == 0 && rows[0] == 1 && rows[1] == 0 &&
         rows[2] == -1); /* 5 + 2, the greatest */
}

/* One large crop with slots (1, 0) and (0, 1); one small crop with (2, 2), which resembles them
 * alike, and (0, 3): each other's best are (0, 3) and (0, 1), and (2, 2) and (1, 0). */
static const int64_t kCrops[6] = {1, 1, 2, 1, 2, 2};
static const int64_t kCropStrides[3] = {4, 4, 2};
static const double kLarge[4] = {1, 0, 0, 1}, kSmall[4] = {2, 2, 0, 3};

static void test_small_to_large(void) {
  double loss = -7, ratio = -7, gradient[4], again[4];
  const double incoming = 2, cosine = sqrt(0.5);
  int64_t matching[2] = {-7, -7};
  int32_t status = -7;
  EXPECT(osc_matching_similarity_loss_small_to_large(
             OSC_FLOAT64, kCrops, kLarge, kCropStrides, kSmall, kCropStrides, OSC_REDUCTION_MEAN,
             1e-10, OSC_RAISE, NULL, NULL, &loss, &ratio, &incoming, gradient, kCropStrides,
             matching, &status) == OSC_OK);
  EXPECT(matching[0] == 0 && matching[1] == 1 && status == 0 && ratio == 1);
  EXPECT(fabs(loss - (1 - cosine) / 4) < 1e-12);
  EXPECT(fabs(gradient[0] + (1 - cosine * cosine) / (2 * sqrt(8))) < 1e-12 &&
         fabs(gradient[1] - cosine * cosine / (2 * sqrt(8))) < 1e-12);
  EXPECT(osc_matching_similarity_loss_small_to_large_backward(
             OSC_FLOAT64, kCrops, kLarge, kCropStrides, kSmall, kCropStrides, matching,
             OSC_REDUCTION_MEAN, 1e-10, NULL, NULL, &incoming, again, kCropStrides) == OSC_OK);
  EXPECT(memcmp(gradient, again, sizeof gradient) == 0);
  matching[1] = 2;
  EXPECT(osc_matching_similarity_loss_small_to_large_backward(
             OSC_FLOAT64, kCrops, kLarge, kCropStrides, kSmall, kCropStrides, matching,
             OSC_REDUCTION_MEAN, 1e-10, NULL, NULL, &incoming, again,
             kCropStrides) == OSC_INVALID_ARGUMENT);
  EXPECT(strstr(osc_last_error(), "matching: 2") != NULL);
  EXPECT(osc_matching_similarity_loss_small_to_large(
             OSC_FLOAT64, NULL, kLarge, kCropStrides, kSmall, kCropStrides, OSC_REDUCTION_MEAN,
             1e-10, OSC_RAISE, NULL, NULL, &loss, NULL, NULL, NULL, NULL, NULL,
             NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(osc_matching_similarity_loss_small_to_large(OSC_FLOAT64, kCrops, kLarge, kCropStrides,
                                                     kSmall, NULL, OSC_REDUCTION_MEAN, 1e-10,
                                                     OSC_RAISE, NULL, NULL, &loss, NULL, NULL, NULL,
                                                     NULL, NULL, NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(strstr(osc_last_error(), "strides of p_small") != NULL);
}

/* Two samples (0, 0) and (2, 1): K = [2, 1; 1, 1/2]. */
static void test_variance_covariance(void) {
  const float x[4] = {0, 0, 2, 1}, none = 0;
  const int64_t sizes[3] = {1, 2, 2}, strides[2] = {4, 2};
  float variance = -7, covariance = -7, gradient[4];
  EXPECT(osc_variance_covariance_loss(OSC_FLOAT32, sizes, x, strides, OSC_RAISE, NULL, NULL,
                                      &variance, &covariance, &none, NULL, gradient,
                                      strides) == OSC_OK);
  EXPECT(fabsf(variance - (1 - sqrtf(0.5001f)) / 2) < 1e-6f && fabsf(covariance - 1) < 1e-6f);
  EXPECT(fabsf(gradient[0] + 1) < 1e-6f && fabsf(gradient[1] + 2) < 1e-6f &&
         fabsf(gradient[2] - 1) < 1e-6f && fabsf(gradient[3] - 2) < 1e-6f);
  EXPECT(osc_variance_covariance_loss(OSC_FLOAT32, sizes, NULL, strides, OSC_RAISE, NULL, NULL,
                                      &variance, &covariance, NULL, NULL, NULL,
                                      NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(strstr(osc_last_error(), "x [1, 2, 2]: the data pointer is null") != NULL);
  EXPECT(osc_variance_covariance_loss(OSC_FLOAT32, sizes, x, NULL, OSC_RAISE, NULL, NULL, &variance,
                                      &covariance, NULL, NULL, NULL, NULL) == OSC_INVALID_ARGUMENT);
}

static void test_bad_input(void) {
  float loss = -7;
  int64_t matching[2] = {-7, -7};
  const int64_t negative[3] = {1, -2, 2};
  osc_pool* pool = NULL;
  EXPECT(osc_matching_similarity_loss_per_img(OSC_FLOAT32, NULL, kSlots, kStrides, kSlots, kStrides,
                                              OSC_REDUCTION_MEAN, 1e-10, OSC_PROPAGATE, NULL, NULL,
                                              &loss, NULL, NULL, NULL, matching,
                                              NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(osc_matching_similarity_loss_per_img(OSC_FLOAT32, kSizes, NULL, kStrides, kSlots, kStrides,
                                              OSC_REDUCTION_MEAN, 1e-10, OSC_PROPAGATE, NULL, NULL,
                                              &loss, NULL, NULL, NULL, matching,
                                              NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(osc_matching_similarity_loss_per_img(OSC_FLOAT32, negative, kSlots, kStrides, kSlots,
                                              kStrides, OSC_REDUCTION_MEAN, 1e-10, OSC_PROPAGATE,
                                              NULL, NULL, &loss, NULL, NULL, NULL, matching,
                                              NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(osc_matching_similarity_loss_per_img(
             OSC_FLOAT32, kSizes, kSlots, kStrides, kSlots, kStrides, 9, 1e-10, OSC_PROPAGATE, NULL,
             NULL, &loss, NULL, NULL, NULL, matching, NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(strstr(osc_last_error(), "reduction 9") != NULL);
  EXPECT(osc_matching_similarity_loss_per_img(OSC_FLOAT32, kSizes, kSlots, kStrides, kSlots,
                                              kStrides, OSC_REDUCTION_MEAN, 0, OSC_PROPAGATE, NULL,
                                              NULL, &loss, NULL, NULL, NULL, matching,
                                              NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(osc_match_slots(OSC_FLOAT32, kSizes, kSlots, kStrides, 1e-10, 5, NULL, NULL, matching,
                         NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(osc_linear_sum_assignment(OSC_FLOAT64, kSizes, NULL, kStrides, 0, OSC_RAISE, NULL, NULL,
                                   NULL, NULL, NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(osc_pool_create(0, &pool) == OSC_INVALID_ARGUMENT && pool == NULL);
  EXPECT(osc_pool_create(1, NULL) == OSC_INVALID_ARGUMENT);
  EXPECT(loss == -7 && matching[0] == -7);
}

int main(void) {
  EXPECT(strlen(osc_last_error()) == 0);
  EXPECT(strchr(osc_version(), '.') != NULL);
  test_loss();
  test_contrastive_loss();
  test_match_slots();
  test_assignment();
  test_small_to_large();
  test_variance_covariance();
  test_bad_input();
  return failures;
}
