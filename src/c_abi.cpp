// The C interface over the C++ one: arguments are put into views, exceptions become a status and a text.
#include <new>
#include <string>

#include "osc/assignment.hpp"
#include "osc/error.hpp"
#include "osc/loss_objects.hpp"
#include "osc/osc.h"
#include "osc/version.hpp"

struct osc_pool {
  osc::ThreadPool threads;
};

namespace {

thread_local std::string last_error;

void keep_error(const char* text) noexcept {
  try {
    last_error = text;
  } catch (...) {
    last_error.clear();
  }
}

template <typename Call>
osc_status guarded(const Call& call) noexcept {
  try {
    call();
    return OSC_OK;
  } catch (const osc::InvalidArgument& error) {
    keep_error(error.what());
    return OSC_INVALID_ARGUMENT;
  } catch (const osc::NonFiniteError& error) {
    keep_error(error.what());
    return OSC_NONFINITE;
  } catch (const osc::AssignmentError& error) {
    keep_error(error.what());
    return OSC_UNSOLVABLE;
  } catch (const std::bad_alloc&) {
    keep_error("out of memory");
    return OSC_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    keep_error(error.what());
    return OSC_INTERNAL;
  } catch (...) {
    keep_error("an exception of unknown type");
    return OSC_INTERNAL;
  }
}

template <typename T>
osc::SlotPairs<T> slots(const char* name, const int64_t* sizes, T* data, const int64_t* strides) {
  if (!sizes) throw osc::InvalidArgument("the pointer to the sizes is null");
  if (!strides) throw osc::InvalidArgument(std::string("the pointer to the strides of ") + name + " is null");
  return {data, sizes[0], sizes[1], sizes[2], strides[0], strides[1], strides[2]};
}

osc::Reduction reduction_of(int32_t value) {
  switch (value) {
    case OSC_REDUCTION_NONE:
      return osc::Reduction::none;
    case OSC_REDUCTION_MEAN:
      return osc::Reduction::mean;
    case OSC_REDUCTION_SUM:
      return osc::Reduction::sum;
    default:
      throw osc::InvalidArgument("unknown reduction " + std::to_string(value) + ": it must be OSC_REDUCTION_NONE, _MEAN or _SUM");
  }
}

bool raises(int32_t value) {
  if (value != OSC_PROPAGATE && value != OSC_RAISE) {
    throw osc::InvalidArgument("unknown policy " + std::to_string(value) + ": it must be OSC_PROPAGATE or OSC_RAISE");
  }
  return value == OSC_RAISE;
}

osc::NonFinite nonfinite_of(int32_t value) { return raises(value) ? osc::NonFinite::raise : osc::NonFinite::propagate; }

osc::Executor* executor_of(osc_pool* pool) { return pool ? &pool->threads : nullptr; }

template <typename T>
osc_status loss(const int64_t* sizes, const T* f, const int64_t* f_strides, const T* p, const int64_t* p_strides, int32_t reduction, double eps,
                int32_t on_nonfinite, osc_pool* pool, T* loss, const T* grad_loss, T* grad_p, const int64_t* grad_p_strides, int64_t* matching) {
  return guarded([&] {
    osc::MatchingSimilarityResults<T> results{.loss = loss, .matching = matching};
    if (grad_p) results.gradient = {slots("grad_p", sizes, grad_p, grad_p_strides), grad_loss};
    osc::matching_similarity_loss_per_img(slots("f", sizes, f, f_strides), slots("p", sizes, p, p_strides),
                                          {reduction_of(reduction), eps, nonfinite_of(on_nonfinite), executor_of(pool)}, results);
  });
}

template <typename T>
osc_status backward(const int64_t* sizes, const T* f, const int64_t* f_strides, const T* p, const int64_t* p_strides, const int64_t* matching,
                    int32_t reduction, double eps, int32_t on_nonfinite, osc_pool* pool, const T* grad_loss, T* grad_p, const int64_t* grad_p_strides) {
  return guarded([&] {
    osc::matching_similarity_loss_per_img_backward(slots("f", sizes, f, f_strides), slots("p", sizes, p, p_strides), matching,
                                                   {reduction_of(reduction), eps, nonfinite_of(on_nonfinite), executor_of(pool)},
                                                   {slots("grad_p", sizes, grad_p, grad_p_strides), grad_loss});
  });
}

template <typename T>
osc_status match(const int64_t* sizes, const T* data, const int64_t* strides, double eps, int32_t on_nonfinite, osc_pool* pool, int64_t* matching) {
  return guarded([&] { osc::match_slots(slots("slots", sizes, data, strides), matching, {eps, nonfinite_of(on_nonfinite), executor_of(pool)}); });
}

template <typename T>
osc_status assign(const int64_t* sizes, const T* costs, const int64_t* strides, int32_t maximize, int32_t on_unsolvable, osc_pool* pool,
                  int64_t* column_of_row, int64_t* row_of_column, int32_t* statuses) {
  static_assert(sizeof(osc::AssignmentStatus) == sizeof(int32_t));
  return guarded([&] {
    if (!sizes || !strides) throw osc::InvalidArgument("the pointer to the sizes or the strides of the costs is null");
    osc::linear_sum_assignment(osc::CostMatrices<T>{costs, sizes[0], sizes[1], sizes[2], strides[0], strides[1], strides[2]},
                               {column_of_row, row_of_column, reinterpret_cast<osc::AssignmentStatus*>(statuses)},
                               {maximize != 0, raises(on_unsolvable) ? osc::OnUnsolvable::raise : osc::OnUnsolvable::unmatched, executor_of(pool)});
  });
}

}  // namespace

const char* osc_version(void) { return osc::version(); }

const char* osc_last_error(void) { return last_error.c_str(); }

osc_status osc_pool_create(int32_t threads, osc_pool** pool) {
  return guarded([&] {
    if (!pool) throw osc::InvalidArgument("osc_pool_create: the pointer for the result is null");
    *pool = new osc_pool{osc::ThreadPool(threads)};
  });
}

void osc_pool_destroy(osc_pool* pool) { delete pool; }

osc_status osc_matching_similarity_loss_per_img_f32(const int64_t sizes[3], const float* f, const int64_t f_strides[3], const float* p,
                                                    const int64_t p_strides[3], int32_t reduction, double eps, int32_t on_nonfinite, osc_pool* pool,
                                                    float* result, const float* grad_loss, float* grad_p, const int64_t grad_p_strides[3],
                                                    int64_t* matching) {
  return loss(sizes, f, f_strides, p, p_strides, reduction, eps, on_nonfinite, pool, result, grad_loss, grad_p, grad_p_strides, matching);
}
osc_status osc_matching_similarity_loss_per_img_f64(const int64_t sizes[3], const double* f, const int64_t f_strides[3], const double* p,
                                                    const int64_t p_strides[3], int32_t reduction, double eps, int32_t on_nonfinite, osc_pool* pool,
                                                    double* result, const double* grad_loss, double* grad_p, const int64_t grad_p_strides[3],
                                                    int64_t* matching) {
  return loss(sizes, f, f_strides, p, p_strides, reduction, eps, on_nonfinite, pool, result, grad_loss, grad_p, grad_p_strides, matching);
}

osc_status osc_matching_similarity_loss_per_img_backward_f32(const int64_t sizes[3], const float* f, const int64_t f_strides[3], const float* p,
                                                             const int64_t p_strides[3], const int64_t* matching, int32_t reduction, double eps,
                                                             int32_t on_nonfinite, osc_pool* pool, const float* grad_loss, float* grad_p,
                                                             const int64_t grad_p_strides[3]) {
  return backward(sizes, f, f_strides, p, p_strides, matching, reduction, eps, on_nonfinite, pool, grad_loss, grad_p, grad_p_strides);
}
osc_status osc_matching_similarity_loss_per_img_backward_f64(const int64_t sizes[3], const double* f, const int64_t f_strides[3], const double* p,
                                                             const int64_t p_strides[3], const int64_t* matching, int32_t reduction, double eps,
                                                             int32_t on_nonfinite, osc_pool* pool, const double* grad_loss, double* grad_p,
                                                             const int64_t grad_p_strides[3]) {
  return backward(sizes, f, f_strides, p, p_strides, matching, reduction, eps, on_nonfinite, pool, grad_loss, grad_p, grad_p_strides);
}

osc_status osc_match_slots_f32(const int64_t sizes[3], const float* data, const int64_t strides[3], double eps, int32_t on_nonfinite, osc_pool* pool,
                               int64_t* matching) {
  return match(sizes, data, strides, eps, on_nonfinite, pool, matching);
}
osc_status osc_match_slots_f64(const int64_t sizes[3], const double* data, const int64_t strides[3], double eps, int32_t on_nonfinite, osc_pool* pool,
                               int64_t* matching) {
  return match(sizes, data, strides, eps, on_nonfinite, pool, matching);
}

osc_status osc_linear_sum_assignment_f32(const int64_t sizes[3], const float* costs, const int64_t strides[3], int32_t maximize, int32_t on_unsolvable,
                                         osc_pool* pool, int64_t* column_of_row, int64_t* row_of_column, int32_t* statuses) {
  return assign(sizes, costs, strides, maximize, on_unsolvable, pool, column_of_row, row_of_column, statuses);
}
osc_status osc_linear_sum_assignment_f64(const int64_t sizes[3], const double* costs, const int64_t strides[3], int32_t maximize, int32_t on_unsolvable,
                                         osc_pool* pool, int64_t* column_of_row, int64_t* row_of_column, int32_t* statuses) {
  return assign(sizes, costs, strides, maximize, on_unsolvable, pool, column_of_row, row_of_column, statuses);
}
