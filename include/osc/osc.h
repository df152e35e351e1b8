/*
 * The C interface of the library, in C99: the losses of matched slots and of whole images, the
 * matching, and the batched linear sum assignment.
 *
 * Every function that can fail returns an osc_status and leaves a text for osc_last_error(); none
 * prints, aborts or lets an exception out. Arguments are checked before anything is written.
 * Pointers to data may be null where there are no elements, pointers to results where the result is
 * not wanted. Sizes and strides count elements and are 64-bit. What the numbers are, at ties and at
 * non-finite values too, is said in osc/loss_objects.hpp, osc/contrastive_loss.hpp,
 * osc/small_to_large_loss.hpp, osc/variance_covariance_loss.hpp and osc/assignment.hpp.
 *
 * Slots: sizes are {B images, S slots, C channels}, strides are {view, image, slot}, and channels
 * are adjacent. A contiguous array [2B, S, C], in which rows i and i + B are the views of image i,
 * has the strides {B*S*C, S*C, C}; a contiguous [B, 2, S, C] has {S*C, 2*S*C, C}. Features of whole
 * images are slots with S = 1: the similarity loss of such is the SimSiam loss, the contrastive
 * loss of such the SimCLR loss.
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

/* Values of the arguments `dtype`: the type of every pointer to void. 16-bit numbers are computed
 * in float. */
enum { OSC_FLOAT64 = 0, OSC_FLOAT32 = 1, OSC_FLOAT16 = 2, OSC_BFLOAT16 = 3 };

/* Values of the arguments `reduction`. */
enum { OSC_REDUCTION_NONE = 0, OSC_REDUCTION_MEAN = 1, OSC_REDUCTION_SUM = 2 };

/* Values of the arguments `on_nonfinite` and `on_unsolvable`: the affected image's or problem's
 * results are NaN or -1, or the call fails. */
enum { OSC_PROPAGATE = 0, OSC_RAISE = 1 };

/* "MAJOR.MINOR.PATCH". */
OSC_API const char* osc_version(void);

/* Why the last call on this thread that did not return OSC_OK failed; "" before the first. Valid
 * until the next failure on this thread. */
OSC_API const char* osc_last_error(void);

/* The instruction set whose kernels run, and a way to force another, as osc/system.hpp has them. */
OSC_API const char* osc_instruction_set(void);
OSC_API osc_status osc_set_instruction_set(const char* name);

/* Values of the arguments `candidates`: a slot is told apart from all slots of the batch, or from
 * those of its own image. */
enum { OSC_CANDIDATES_BATCH = 0, OSC_CANDIDATES_IMAGE = 1 };

/* Threads to run on. Where a function takes a pool, null stands for one of all the cores that this
 * process may use. */
typedef struct osc_pool osc_pool;
OSC_API osc_status osc_pool_create(int32_t threads, osc_pool** pool);
OSC_API void osc_pool_destroy(osc_pool* pool); /* null is fine; not while a call uses it */

/* Memory that calls work in, one call at a time; it grows as they need. Where a function takes one,
 * null stands for memory of the call's own. */
typedef struct osc_workspace osc_workspace;
OSC_API osc_status osc_workspace_create(osc_workspace** workspace);
OSC_API void osc_workspace_destroy(
    osc_workspace* workspace); /* null is fine; not while a call uses it */

/*
 * The loss: loss is one element, or 2BS for OSC_REDUCTION_NONE. grad_p is the gradient with respect
 * to p, of p's sizes and strides of its own; grad_loss is the gradient that comes in, one element
 * or 2BS as loss is, and null stands for ones. matching is [B, S], contiguous. statuses is [B]: 0,
 * or 1 for an image that holds a NaN or an infinity. eps is the floor of a norm (1e-10).
 */
OSC_API osc_status osc_matching_similarity_loss_per_img(
    int32_t dtype, const int64_t sizes[3], const void* f, const int64_t f_strides[3], const void* p,
    const int64_t p_strides[3], int32_t reduction, double eps, int32_t on_nonfinite, osc_pool* pool,
    osc_workspace* workspace, void* loss, const void* grad_loss, void* grad_p,
    const int64_t grad_p_strides[3], int64_t* matching, int32_t* statuses);

/* The gradient alone, with the matching that an earlier call gave for the same f, which is not
 * computed again. */
OSC_API osc_status osc_matching_similarity_loss_per_img_backward(
    int32_t dtype, const int64_t sizes[3], const void* f, const int64_t f_strides[3], const void* p,
    const int64_t p_strides[3], const int64_t* matching, int32_t reduction, double eps,
    int32_t on_nonfinite, osc_pool* pool, osc_workspace* workspace, const void* grad_loss,
    void* grad_p, const int64_t grad_p_strides[3]);

/*
 * The contrastive loss. loss, grad_loss and grad_slots are as loss, grad_loss and grad_p above.
 * given_matching [B, S] is a matching to use, null for that of the slots; matching is the one that
 * was used. log_sums [2BS] is what the backward call takes; accuracy is one element, the share of
 * slots that resemble no candidate as much as their match.
 */
OSC_API osc_status osc_matching_contrastive_loss(
    int32_t dtype, const int64_t sizes[3], const void* slots, const int64_t strides[3],
    int32_t candidates, double temperature, int32_t reduction, double eps, int32_t on_nonfinite,
    osc_pool* pool, osc_workspace* workspace, const int64_t* given_matching, void* loss,
    const void* grad_loss, void* grad_slots, const int64_t grad_slots_strides[3], int64_t* matching,
    double* log_sums, double* accuracy, int32_t* statuses);

/* The gradient alone, with the matching and the log_sums that an earlier call gave for the same
 * slots. */
OSC_API osc_status osc_matching_contrastive_loss_backward(
    int32_t dtype, const int64_t sizes[3], const void* slots, const int64_t strides[3],
    int32_t candidates, double temperature, int32_t reduction, double eps, int32_t on_nonfinite,
    osc_pool* pool, osc_workspace* workspace, const int64_t* matching, const double* log_sums,
    const void* grad_loss, void* grad_slots, const int64_t grad_slots_strides[3]);

/*
 * The losses of one rank's slots among those of all ranks: slots is [ranks, 2B, S, C], contiguous,
 * and sizes are {B, S, C} of one rank. Results have the sizes of one rank. The gradient of all
 * ranks' losses for this rank's slots takes this rank's matching [B, S], log_sums [ranks, 2BS] of
 * all, and grad_loss [ranks], for OSC_REDUCTION_NONE [ranks, 2BS].
 */
OSC_API osc_status osc_matching_contrastive_loss_gathered(
    int32_t dtype, const int64_t sizes[3], int64_t ranks, int64_t rank, const void* slots,
    double temperature, int32_t reduction, double eps, int32_t on_nonfinite, osc_pool* pool,
    osc_workspace* workspace, const int64_t* given_matching, void* loss, int64_t* matching,
    double* log_sums, double* accuracy, int32_t* statuses);
OSC_API osc_status osc_matching_contrastive_loss_gathered_backward(
    int32_t dtype, const int64_t sizes[3], int64_t ranks, int64_t rank, const void* slots,
    double temperature, int32_t reduction, double eps, int32_t on_nonfinite, osc_pool* pool,
    osc_workspace* workspace, const int64_t* matching, const double* log_sums,
    const void* grad_loss, void* grad_slots, const int64_t grad_slots_strides[3]);

/* The contrastive loss of matched slots that are equal and orthogonal to all others, and of slots
 * that are all equal, for B images of S slots. */
OSC_API osc_status osc_matching_contrastive_loss_best_worst(int64_t images, int64_t slots,
                                                            double temperature, double* best,
                                                            double* worst);

/*
 * The similarity loss of small crops against large ones. sizes are {B images, Al large crops, L
 * slots of a large crop, As small crops, S slots of a small crop, C channels}; strides are {image,
 * crop, slot}. loss is one element, or [B, Al, As] for OSC_REDUCTION_NONE, and so is grad_loss.
 * counted_ratio is one element. matching [B, Al, As, S] is the slot of the large crop that a slot
 * of the small one is compared with, -1 where it does not count; statuses is [B].
 */
OSC_API osc_status osc_matching_similarity_loss_small_to_large(
    int32_t dtype, const int64_t sizes[6], const void* f_large, const int64_t f_large_strides[3],
    const void* p_small, const int64_t p_small_strides[3], int32_t reduction, double eps,
    int32_t on_nonfinite, osc_pool* pool, osc_workspace* workspace, void* loss,
    double* counted_ratio, const void* grad_loss, void* grad_p, const int64_t grad_p_strides[3],
    int64_t* matching, int32_t* statuses);

/* The gradient alone, with the matching that an earlier call gave for the same slots. */
OSC_API osc_status osc_matching_similarity_loss_small_to_large_backward(
    int32_t dtype, const int64_t sizes[6], const void* f_large, const int64_t f_large_strides[3],
    const void* p_small, const int64_t p_small_strides[3], const int64_t* matching,
    int32_t reduction, double eps, osc_pool* pool, osc_workspace* workspace, const void* grad_loss,
    void* grad_p, const int64_t grad_p_strides[3]);

/*
 * The variance and the covariance term. sizes are {G groups, N samples, D features}, strides are
 * {group, sample}, and features are adjacent; each term is one element, the mean over groups.
 * grad_x is the gradient of grad_variance * variance + grad_covariance * covariance, one element
 * each, null for 1.
 */
OSC_API osc_status osc_variance_covariance_loss(int32_t dtype, const int64_t sizes[3],
                                                const void* x, const int64_t strides[2],
                                                int32_t on_nonfinite, osc_pool* pool,
                                                osc_workspace* workspace, void* variance,
                                                void* covariance, const void* grad_variance,
                                                const void* grad_covariance, void* grad_x,
                                                const int64_t grad_x_strides[2]);

/* matching [B, S], contiguous: slot s of view 0 of image i is matched to slot matching[i, s] of
 * view 1. statuses as above. */
OSC_API osc_status osc_match_slots(int32_t dtype, const int64_t sizes[3], const void* slots,
                                   const int64_t strides[3], double eps, int32_t on_nonfinite,
                                   osc_pool* pool, osc_workspace* workspace, int64_t* matching,
                                   int32_t* statuses);

/*
 * N problems of R rows and K columns: sizes {N, R, K}, strides {problem, row, column}.
 * column_of_row [N, R], row_of_column [N, K] and statuses [N] are contiguous. A status is 0
 * (solved), 1 (a cost is NaN), 2 (a cost is -inf, +inf to maximise) or 3 (infinite costs leave no
 * full assignment).
 */
OSC_API osc_status osc_linear_sum_assignment(int32_t dtype, const int64_t sizes[3],
                                             const void* costs, const int64_t strides[3],
                                             int32_t maximize, int32_t on_unsolvable,
                                             osc_pool* pool, osc_workspace* workspace,
                                             int64_t* column_of_row, int64_t* row_of_column,
                                             int32_t* statuses);

#ifdef __cplusplus
}
#endif

#endif
