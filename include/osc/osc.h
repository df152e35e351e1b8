/*
 * The C interface of the library, in C99: the similarity loss of matched slots, the matching, and the batched linear sum assignment.
 *
 * Every function that can fail returns an osc_status and leaves a text for osc_last_error(); none prints, aborts or lets an exception out. Arguments
 * are checked before anything is written. Pointers to data may be null where there are no elements, pointers to results where the result is not
 * wanted. Sizes and strides count elements and are 64-bit. What the numbers are, at ties and at non-finite values too, is said in osc/loss_objects.hpp and osc/assignment.hpp.
 *
 * Slots: sizes are {B images, S slots, C channels}, strides are {view, image, slot}, and channels are adjacent. A contiguous array [2B, S, C], in which rows i
 * and i + B are the views of image i, has the strides {B*S*C, S*C, C}; a contiguous [B, 2, S, C] has {S*C, 2*S*C, C}.
 */
#ifndef OSC_OSC_H
#define OSC_OSC_H

#include <stdint.h>

#include "osc/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum osc_status {
  OSC_OK = 0,
  OSC_INVALID_ARGUMENT = 1,
  OSC_NONFINITE = 2,  /* a NaN or an infinity, with OSC_RAISE */
  OSC_UNSOLVABLE = 3, /* an assignment problem without an answer, with OSC_RAISE */
  OSC_OUT_OF_MEMORY = 4,
  OSC_INTERNAL = 5
} osc_status;

/* Values of the arguments `reduction`. */
enum { OSC_REDUCTION_NONE = 0, OSC_REDUCTION_MEAN = 1, OSC_REDUCTION_SUM = 2 };

/* Values of the arguments `on_nonfinite` and `on_unsolvable`: the affected image's or problem's results are NaN or -1, or the call fails. */
enum { OSC_PROPAGATE = 0, OSC_RAISE = 1 };

/* "MAJOR.MINOR.PATCH". */
OSC_API const char* osc_version(void);

/* Why the last call on this thread that did not return OSC_OK failed; "" before the first. Valid until the next failure on this thread. */
OSC_API const char* osc_last_error(void);

/* Threads to run on. Where a function takes a pool, null stands for one of all the cores that this process may use. */
typedef struct osc_pool osc_pool;
OSC_API osc_status osc_pool_create(int32_t threads, osc_pool** pool);
OSC_API void osc_pool_destroy(osc_pool* pool); /* null is fine; not while a call uses it */

/*
 * The loss: loss is one element, or 2BS for OSC_REDUCTION_NONE. grad_p is the gradient with respect to p, of p's sizes and strides of its own; grad_loss is the
 * gradient that comes in, one element or 2BS as loss is, and null stands for ones. matching is [B, S], contiguous. eps is the floor of a norm (1e-10).
 */
OSC_API osc_status osc_matching_similarity_loss_per_img_f32(const int64_t sizes[3], const float* f, const int64_t f_strides[3], const float* p,
                                                            const int64_t p_strides[3], int32_t reduction, double eps, int32_t on_nonfinite,
                                                            osc_pool* pool, float* loss, const float* grad_loss, float* grad_p,
                                                            const int64_t grad_p_strides[3], int64_t* matching);
OSC_API osc_status osc_matching_similarity_loss_per_img_f64(const int64_t sizes[3], const double* f, const int64_t f_strides[3], const double* p,
                                                            const int64_t p_strides[3], int32_t reduction, double eps, int32_t on_nonfinite,
                                                            osc_pool* pool, double* loss, const double* grad_loss, double* grad_p,
                                                            const int64_t grad_p_strides[3], int64_t* matching);

/* The gradient alone, with the matching that an earlier call gave for the same f, which is not computed again. */
OSC_API osc_status osc_matching_similarity_loss_per_img_backward_f32(const int64_t sizes[3], const float* f, const int64_t f_strides[3], const float* p,
                                                                     const int64_t p_strides[3], const int64_t* matching, int32_t reduction, double eps,
                                                                     int32_t on_nonfinite, osc_pool* pool, const float* grad_loss, float* grad_p,
                                                                     const int64_t grad_p_strides[3]);
OSC_API osc_status osc_matching_similarity_loss_per_img_backward_f64(const int64_t sizes[3], const double* f, const int64_t f_strides[3], const double* p,
                                                                     const int64_t p_strides[3], const int64_t* matching, int32_t reduction, double eps,
                                                                     int32_t on_nonfinite, osc_pool* pool, const double* grad_loss, double* grad_p,
                                                                     const int64_t grad_p_strides[3]);

/* matching [B, S], contiguous: slot s of view 0 of image i is matched to slot matching[i, s] of view 1. */
OSC_API osc_status osc_match_slots_f32(const int64_t sizes[3], const float* slots, const int64_t strides[3], double eps, int32_t on_nonfinite,
                                       osc_pool* pool, int64_t* matching);
OSC_API osc_status osc_match_slots_f64(const int64_t sizes[3], const double* slots, const int64_t strides[3], double eps, int32_t on_nonfinite,
                                       osc_pool* pool, int64_t* matching);

/*
 * N problems of R rows and K columns: sizes {N, R, K}, strides {problem, row, column}. column_of_row [N, R], row_of_column [N, K] and statuses [N] are
 * contiguous. A status is 0 (solved), 1 (a cost is NaN), 2 (a cost is -inf, +inf to maximise) or 3 (infinite costs leave no full assignment).
 */
OSC_API osc_status osc_linear_sum_assignment_f32(const int64_t sizes[3], const float* costs, const int64_t strides[3], int32_t maximize,
                                                 int32_t on_unsolvable, osc_pool* pool, int64_t* column_of_row, int64_t* row_of_column,
                                                 int32_t* statuses);
OSC_API osc_status osc_linear_sum_assignment_f64(const int64_t sizes[3], const double* costs, const int64_t strides[3], int32_t maximize,
                                                 int32_t on_unsolvable, osc_pool* pool, int64_t* column_of_row, int64_t* row_of_column,
                                                 int32_t* statuses);

#ifdef __cplusplus
}
#endif

#endif
