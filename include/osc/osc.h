/*
 * The C interface of the library, in C99. Every other door (C++, PyTorch, JAX, NumPy) stands on it.
 *
 * A call is one struct: its size, the arrays, the options, and where it runs. A zeroed struct is a
 * call with default options and no arrays:
 *
 *     osc_similarity_loss call = {.struct_size = sizeof call};
 *     call.f = (osc_array){f, sizes, NULL, 3, OSC_FLOAT32};
 *     call.p = (osc_array){p, sizes, NULL, 3, OSC_FLOAT32};
 *     call.loss = (osc_array){&loss, NULL, NULL, 0, OSC_FLOAT32};
 *     if (osc_matching_similarity_loss_per_img(&call) != OSC_OK) puts(osc_last_error());
 *
 * Outputs and gradients are computed where their array is given. A backward call is the same
 * function with the residuals in the given_* arrays, without the loss and with a gradient.
 *
 * No function prints, aborts or lets an exception out. Arguments are checked before anything is
 * written. What is computed (formulas, ties, non-finite values, cost) is said in the C++ headers:
 * osc/similarity_loss.hpp, osc/contrastive_loss.hpp, osc/small_to_large_loss.hpp,
 * osc/variance_covariance_loss.hpp and osc/assignment.hpp.
 */
#ifndef OSC_OSC_H
#define OSC_OSC_H

#include <stddef.h>
#include <stdint.h>

#include "osc/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum osc_status {
  OSC_OK = 0,
  OSC_INVALID_ARGUMENT = 1, /* a shape, dtype, stride, pointer, option or matching is not allowed */
  OSC_NONFINITE = 2,        /* a NaN or an infinity, with OSC_RAISE */
  OSC_UNSOLVABLE = 3,       /* an assignment problem has no answer, with OSC_UNSOLVABLE_RAISE */
  OSC_OUT_OF_MEMORY = 4,    /* also: the caller's workspace is too small */
  OSC_INTERNAL = 5          /* the executor failed */
} osc_status;

/* Why the last call on this thread that did not return OSC_OK failed: what was given and what was
 * wanted. The text begins with the name of the array or option concerned, if there is one. ""
 * before the first failure. Valid until the next failure on this thread. */
OSC_API const char* osc_last_error(void);
/* The first image, group or problem that this failure concerns; -1: none. */
OSC_API int64_t osc_last_error_index(void);

/* "MAJOR.MINOR.PATCH". */
OSC_API const char* osc_version(void);

/* The instruction set whose kernels run, and a way to force another; see osc/system.hpp. */
OSC_API const char* osc_instruction_set(void);
OSC_API osc_status osc_set_instruction_set(const char* name);

/* ---- Arrays ---------------------------------------------------------------------------------- */

/* Values of `dtype`. Numbers of 16 bits are computed in float. */
enum {
  OSC_ABSENT = 0,
  OSC_FLOAT64 = 1,
  OSC_FLOAT32 = 2,
  OSC_FLOAT16 = 3,
  OSC_BFLOAT16 = 4,
  OSC_INT64 = 5,
  OSC_INT32 = 6
};

/* A strided view of the caller's memory. Zeroed: not given. */
typedef struct osc_array {
  void* data;             /* may be null where there are no elements; not written if an input */
  const int64_t* sizes;   /* [dims]. Null, of outputs and given_* arrays: the sizes that are wanted,
                             whatever dims says */
  const int64_t* strides; /* [dims], in elements, may be zero or negative; null: row-major */
  int32_t dims;
  int32_t dtype;
} osc_array;

/*
 * Inputs and gradients may have any strides, but channels (features) must be adjacent: the stride
 * of the last dimension is 1, or its size at most 1. Costs may have any strides. All other arrays
 * must be contiguous. No output may overlap an input or another output.
 *
 * Slots [2B, S, C]: rows i and i + B are the views of image i. An array of slots may also have its
 * first dimension split in two, [2, B, S, C]. So a batch [B, 2, S, C] is given as [2, B, S, C] with
 * the strides of its first two dimensions exchanged. Features of whole images are slots with S = 1.
 */

/* ---- Options --------------------------------------------------------------------------------- */

/* `reduction`: the mean, the sum, or each loss. */
enum { OSC_MEAN = 0, OSC_SUM = 1, OSC_NONE = 2 };

/* `on_nonfinite`: the results of an image with a NaN or an infinity are NaN (a matching is -1), or
 * the call fails. */
enum { OSC_PROPAGATE = 0, OSC_RAISE = 1 };

/* `candidates`: each slot is contrasted with all slots of the batch, or of its own image. */
enum { OSC_CANDIDATES_BATCH = 0, OSC_CANDIDATES_IMAGE = 1 };

/* `on_unsolvable`: the call fails, or the results of the problem are -1. */
enum { OSC_UNSOLVABLE_RAISE = 0, OSC_UNSOLVABLE_UNMATCHED = 1 };

/* Threads: a pool, or those of a host that implements osc::Executor in C++. In a call, null is a
 * pool of all cores that this process may use. */
typedef struct osc_executor osc_executor;
OSC_API osc_status osc_thread_pool_create(int32_t threads, osc_executor** executor);
/* Null is fine. Not while a call uses it. */
OSC_API void osc_executor_destroy(osc_executor* executor);

/* Memory that calls work in, one call at a time; it grows as they need. In a call, null is memory
 * of the call's own. */
typedef struct osc_workspace osc_workspace;
OSC_API osc_status osc_workspace_create(osc_workspace** workspace);
/* Null is fine. Not while a call uses it. */
OSC_API void osc_workspace_destroy(osc_workspace* workspace);

/* ---- Calls -----------------------------------------------------------------------------------
 *
 * Every struct begins with struct_size = sizeof(the struct). New fields are added at the end: a
 * smaller struct of an older header is read as one whose last fields are zero. In this version
 * `executor` and `workspace` may be missing. A larger one is OSC_INVALID_ARGUMENT.
 *
 * `eps` is the floor of a norm: unit(x) = x / max(|x|, eps). Zero selects 1e-10, a zero
 * `temperature` 1; other values must be positive and finite.
 */

typedef struct osc_similarity_loss {
  size_t struct_size;
  osc_array f, p;            /* [2B, S, C]: slots before and after the projection head */
  osc_array given_matching;  /* int64 [B, S]: nothing is solved then */
  osc_array loss;            /* [] or, with OSC_NONE, [2BS] */
  osc_array matching;        /* int64 [B, S]: slot s of view 0 has the partner matching[i, s] */
  osc_array statuses;        /* int32 [B]: 1 for an image with a NaN or an infinity, else 0 */
  osc_array gradient_scales; /* int32 []: whether grad_p, multiplied by a number afterwards, is as
                                exact as with that number as grad_output */
  osc_array grad_output;     /* as loss; absent: ones */
  osc_array grad_p;          /* [2B, S, C] */
  int32_t reduction, on_nonfinite;
  double eps;
  osc_executor* executor;
  osc_workspace* workspace;
} osc_similarity_loss;
OSC_API osc_status osc_matching_similarity_loss_per_img(const osc_similarity_loss* call);

typedef struct osc_contrastive_loss {
  size_t struct_size;
  osc_array slots;             /* [2B, S, C] */
  osc_array given_matching;    /* int64 [B, S] */
  osc_array given_log_sum_exp; /* float64 [2BS]: of a call whose gradient is wanted now */
  osc_array loss;              /* [] or, with OSC_NONE, [2BS] */
  osc_array matching;          /* int64 [B, S] */
  osc_array log_sum_exp;       /* float64 [2BS]: log of the sum of exponentials of each slot */
  osc_array accuracy;          /* float32 []: the share of slots whose match is their nearest */
  osc_array statuses;          /* int32 [B] */
  osc_array grad_output;       /* as loss; absent: ones */
  osc_array grad_slots;        /* [2B, S, C] */
  int32_t candidates, reduction, on_nonfinite;
  double temperature, eps;
  osc_executor* executor;
  osc_workspace* workspace;
} osc_contrastive_loss;
OSC_API osc_status osc_matching_contrastive_loss(const osc_contrastive_loss* call);

/* The losses of the slots of one rank among those of all R ranks of a job. The gradient is that of
 * the sum of all ranks' losses for the slots of this rank; it needs given_log_sum_exp. */
typedef struct osc_contrastive_loss_gathered {
  size_t struct_size;
  osc_array slots;             /* [R, 2B, S, C]: of all ranks */
  osc_array given_matching;    /* int64 [B, S]: of this rank, as are the outputs */
  osc_array given_log_sum_exp; /* float64 [R, 2BS]: of all ranks */
  osc_array loss;              /* [] or, with OSC_NONE, [2BS] */
  osc_array matching;          /* int64 [B, S] */
  osc_array log_sum_exp;       /* float64 [2BS] */
  osc_array accuracy;          /* float32 [] */
  osc_array statuses;          /* int32 [B] */
  osc_array grad_output;       /* [R] or, with OSC_NONE, [R, 2BS]: of all ranks; absent: ones */
  osc_array grad_slots;        /* [2B, S, C] */
  int64_t rank;                /* which of the R ranks this is */
  int32_t reduction, on_nonfinite;
  double temperature, eps;
  osc_executor* executor;
  osc_workspace* workspace;
} osc_contrastive_loss_gathered;
OSC_API osc_status
osc_matching_contrastive_loss_gathered(const osc_contrastive_loss_gathered* call);

/* The contrastive loss of B images of S slots at its two ends: matched slots are equal and all
 * others orthogonal; all slots are equal. */
OSC_API osc_status osc_matching_contrastive_loss_best_worst(int64_t images, int64_t slots,
                                                            double temperature, double* best,
                                                            double* worst);

typedef struct osc_small_to_large_loss {
  size_t struct_size;
  osc_array f_large;        /* [B, Al, L, C]: slots of large crops, before the projection head */
  osc_array p_small;        /* [B, As, S, C]: slots of small crops, after it */
  osc_array given_matching; /* int64 [B, Al, As, S] */
  osc_array loss;           /* [] or, with OSC_NONE, [B, Al, As] */
  osc_array matching;       /* int64 [B, Al, As, S]: the slot of the large crop; -1: not counted */
  osc_array counted_ratio;  /* float32 []: the share of slots that are counted */
  osc_array statuses;       /* int32 [B] */
  osc_array grad_output;    /* as loss; absent: ones */
  osc_array grad_p_small;   /* [B, As, S, C] */
  int32_t reduction, on_nonfinite;
  double eps;
  osc_executor* executor;
  osc_workspace* workspace;
} osc_small_to_large_loss;
OSC_API osc_status osc_matching_similarity_loss_small_to_large(const osc_small_to_large_loss* call);

typedef struct osc_variance_covariance {
  size_t struct_size;
  osc_array x;               /* [G, N, D]: N samples of D features, in G groups */
  osc_array variance;        /* [] */
  osc_array covariance;      /* [] */
  osc_array grad_variance;   /* []; absent: 1 */
  osc_array grad_covariance; /* []; absent: 1 */
  osc_array grad_x;          /* [G, N, D] */
  int32_t on_nonfinite;
  osc_executor* executor;
  osc_workspace* workspace;
} osc_variance_covariance;
OSC_API osc_status osc_variance_covariance_loss(const osc_variance_covariance* call);

typedef struct osc_slot_matching {
  size_t struct_size;
  osc_array slots;    /* [2B, S, C] */
  osc_array matching; /* int64 [B, S] */
  osc_array statuses; /* int32 [B] */
  int32_t on_nonfinite;
  double eps;
  osc_executor* executor;
  osc_workspace* workspace;
} osc_slot_matching;
OSC_API osc_status osc_match_slots(const osc_slot_matching* call);

typedef struct osc_assignment {
  size_t struct_size;
  osc_array cost;     /* [N, R, K]: N problems of R rows and K columns */
  osc_array col4row;  /* int64 [N, R]: the column of each row, -1 for none */
  osc_array row4col;  /* int64 [N, K]: the row of each column, -1 for none */
  osc_array statuses; /* int32 [N]: osc::AssignmentStatus */
  int32_t maximize;   /* 0 or 1 */
  int32_t on_unsolvable;
  osc_executor* executor;
  osc_workspace* workspace;
} osc_assignment;
OSC_API osc_status osc_linear_sum_assignment(const osc_assignment* call);

/* ---- The table of operators ------------------------------------------------------------------
 *
 * The calls above, described for a program that reads the description at run time: doors to other
 * languages are loops over it.
 */

enum {
  OSC_ROLE_INPUT = 0,       /* read; all inputs have the same dtype */
  OSC_ROLE_GIVEN = 1,       /* optional: "given_" and the name of the output that it replaces */
  OSC_ROLE_LOSS = 2,        /* differentiable output */
  OSC_ROLE_OUTPUT = 3,      /* other output */
  OSC_ROLE_STATUS = 4,      /* for each image or problem: 0, or why it has no results */
  OSC_ROLE_GRAD_OUTPUT = 5, /* the gradient of the losses; the i-th belongs to the i-th loss */
  OSC_ROLE_GRADIENT = 6     /* of the differentiated input: "grad_" and its name */
};

typedef struct osc_array_description {
  const char* name;
  /* Dimensions, separated by spaces: each the product of an optional number and letters (a capital
   * and any lower-case letters), as in "2B S C" and "2BS". Inputs bind the letters. "G..." collects
   * any number of leading dimensions at a door; in C it is one dimension. A loss has this shape
   * with OSC_NONE and else none, []. A grad_output loses the same last dimensions. */
  const char* shape;
  int32_t role;
  int32_t dtype; /* OSC_ABSENT: that of the inputs */
  const char* help;
} osc_array_description;

enum {
  OSC_OPTION_BOOLEAN = 0,     /* int32_t, 0 or 1 */
  OSC_OPTION_ENUMERATION = 1, /* int32_t, the place of the value in `values` */
  OSC_OPTION_INT64 = 2,
  OSC_OPTION_DOUBLE = 3 /* positive and finite; zero selects the default */
};

typedef struct osc_option_description {
  const char* name;
  int32_t kind;
  int32_t offset; /* in the struct of the call */
  double default_value;
  const char* values; /* of an enumeration: "mean sum none"; else null */
  const char* help;
} osc_option_description;

typedef struct osc_operator {
  const char* name;                    /* "match_slots" is osc_match_slots */
  osc_status (*run)(const void* call); /* the same function */
  size_t struct_size;
  const osc_array_description* arrays; /* array i lies at sizeof(size_t) + i * sizeof(osc_array) */
  int32_t array_count;
  const osc_option_description* options;
  int32_t option_count;
  int32_t executor_offset, workspace_offset;
  const char* differentiated; /* the input that has a gradient; null: none */
} osc_operator;
OSC_API const osc_operator* osc_operators(int32_t* count);

#ifdef __cplusplus
}
#endif

#endif
