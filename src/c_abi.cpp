// The C interface over the C++ one: arguments are put into views, a Status becomes an osc_status
// and a text.
#include <string>
#include <tuple>

#include "guarded.hpp"
#include "osc/assignment.hpp"
#include "osc/contrastive_loss.hpp"
#include "osc/error.hpp"
#include "osc/loss_objects.hpp"
#include "osc/osc.h"
#include "osc/small_to_large_loss.hpp"
#include "osc/system.hpp"
#include "osc/variance_covariance_loss.hpp"
#include "osc/version.hpp"

struct osc_pool {
  osc::ThreadPool threads;
};

struct osc_workspace {
  osc::Workspace memory;
};

namespace {

static_assert(OSC_OK == static_cast<int>(osc::StatusCode::ok) &&
              OSC_INVALID_ARGUMENT == static_cast<int>(osc::StatusCode::invalid_argument) &&
              OSC_NONFINITE == static_cast<int>(osc::StatusCode::nonfinite) &&
              OSC_UNSOLVABLE == static_cast<int>(osc::StatusCode::unsolvable) &&
              OSC_OUT_OF_MEMORY == static_cast<int>(osc::StatusCode::out_of_memory) &&
              OSC_INTERNAL == static_cast<int>(osc::StatusCode::internal));

thread_local std::string last_error;

osc_status reported(const osc::Status& status) noexcept {
  if (!status.ok()) {
    try {
      last_error = status.text();
    } catch (...) {
      last_error.clear();
    }
  }
  return static_cast<osc_status>(status.code());
}

// Calls call(T()) with T the C++ type of `dtype`.
template <typename Call>
osc_status with_type(int32_t dtype, const Call& call) noexcept {
  return reported(osc::guarded([&] {
    switch (dtype) {
      case OSC_FLOAT64: return call(double());
      case OSC_FLOAT32: return call(float());
      case OSC_FLOAT16: return call(osc::float16());
      case OSC_BFLOAT16: return call(osc::bfloat16());
      default:
        throw osc::InvalidArgument("unknown dtype " + std::to_string(dtype) +
                                   ": it must be OSC_FLOAT64, _FLOAT32, _FLOAT16 or OSC_BFLOAT16");
    }
  }));
}

template <typename T>
osc::SlotPairs<const T> slots(const char* name, const int64_t* sizes, const void* data,
                              const int64_t* strides) {
  if (!sizes) throw osc::InvalidArgument("the pointer to the sizes is null");
  if (!strides)
    throw osc::InvalidArgument(std::string("the pointer to the strides of ") + name + " is null");
  return {static_cast<const T*>(data),
          sizes[0],
          sizes[1],
          sizes[2],
          strides[0],
          strides[1],
          strides[2]};
}

template <typename T>
osc::SlotPairs<T> written_slots(const char* name, const int64_t* sizes, void* data,
                                const int64_t* strides) {
  const osc::SlotPairs<const T> view = slots<T>(name, sizes, data, strides);
  return {static_cast<T*>(data), view.images,       view.slots,      view.channels,
          view.view_stride,      view.image_stride, view.slot_stride};
}

template <typename T>
osc::SimilarityGradient<T> similarity_gradient(const int64_t* sizes, void* data,
                                               const int64_t* strides, const void* incoming) {
  return {written_slots<T>("grad_p", sizes, data, strides), static_cast<const T*>(incoming)};
}

template <typename T>
osc::ContrastiveGradient<T> contrastive_gradient(const int64_t* sizes, void* data,
                                                 const int64_t* strides, const void* incoming) {
  return {written_slots<T>("grad_slots", sizes, data, strides), static_cast<const T*>(incoming)};
}

template <typename T>
osc::GatheredSlots<T> gathered_slots(const int64_t* sizes, int64_t ranks, int64_t rank,
                                     const void* data) {
  if (!sizes) throw osc::InvalidArgument("the pointer to the sizes is null");
  return {static_cast<const T*>(data), ranks, rank, sizes[0], sizes[1], sizes[2]};
}

// sizes: {B, Al, L, As, S, C}, of which `is_large` are {B, Al, L, C} and the others {B, As, S, C}.
template <typename T, typename Data>
osc::SlotCrops<T> crops(const char* name, const int64_t* sizes, bool is_large, Data* data,
                        const int64_t* strides) {
  if (!sizes) throw osc::InvalidArgument("the pointer to the sizes is null");
  if (!strides)
    throw osc::InvalidArgument(std::string("the pointer to the strides of ") + name + " is null");
  const int64_t* const of_crops = sizes + (is_large ? 1 : 3);
  return {static_cast<T*>(data),
          sizes[0],
          of_crops[0],
          of_crops[1],
          sizes[5],
          strides[0],
          strides[1],
          strides[2]};
}

template <typename T, typename Data>
osc::Samples<T> samples(const char* name, const int64_t* sizes, Data* data,
                        const int64_t* strides) {
  if (!sizes) throw osc::InvalidArgument("the pointer to the sizes is null");
  if (!strides)
    throw osc::InvalidArgument(std::string("the pointer to the strides of ") + name + " is null");
  return {static_cast<T*>(data), sizes[0], sizes[1], sizes[2], strides[0], strides[1]};
}

osc::Reduction reduction_of(int32_t value) {
  switch (value) {
    case OSC_REDUCTION_NONE: return osc::Reduction::none;
    case OSC_REDUCTION_MEAN: return osc::Reduction::mean;
    case OSC_REDUCTION_SUM: return osc::Reduction::sum;
    default:
      throw osc::InvalidArgument("unknown reduction " + std::to_string(value) +
                                 ": it must be OSC_REDUCTION_NONE, _MEAN or _SUM");
  }
}

bool raises(int32_t value) {
  if (value != OSC_PROPAGATE && value != OSC_RAISE) {
    throw osc::InvalidArgument("unknown policy " + std::to_string(value) +
                               ": it must be OSC_PROPAGATE or OSC_RAISE");
  }
  return value == OSC_RAISE;
}

osc::Candidates candidates_of(int32_t value) {
  if (value != OSC_CANDIDATES_BATCH && value != OSC_CANDIDATES_IMAGE) {
    throw osc::InvalidArgument("unknown candidates " + std::to_string(value) +
                               ": they must be OSC_CANDIDATES_BATCH or _IMAGE");
  }
  return value == OSC_CANDIDATES_BATCH ? osc::Candidates::batch : osc::Candidates::image;
}

osc::NonFinite nonfinite_of(int32_t value) {
  return raises(value) ? osc::NonFinite::raise : osc::NonFinite::propagate;
}

osc::Executor* executor_of(osc_pool* pool) { return pool ? &pool->threads : nullptr; }
osc::Workspace* memory_of(osc_workspace* workspace) {
  return workspace ? &workspace->memory : nullptr;
}

osc::ImageStatus* image_statuses(int32_t* statuses) {
  static_assert(sizeof(osc::ImageStatus) == sizeof(int32_t));
  return reinterpret_cast<osc::ImageStatus*>(statuses);
}

}  // namespace

const char* osc_version(void) { return osc::version(); }

const char* osc_last_error(void) { return last_error.c_str(); }

const char* osc_instruction_set(void) { return osc::instruction_set(); }

osc_status osc_set_instruction_set(const char* name) {
  return reported(osc::try_set_instruction_set(name));
}

osc_status osc_pool_create(int32_t threads, osc_pool** pool) {
  return reported(osc::guarded([&] {
    if (!pool) throw osc::InvalidArgument("osc_pool_create: the pointer for the result is null");
    *pool = new osc_pool{osc::ThreadPool(threads)};
    return osc::Status();
  }));
}

void osc_pool_destroy(osc_pool* pool) { delete pool; }

osc_status osc_workspace_create(osc_workspace** workspace) {
  return reported(osc::guarded([&] {
    if (!workspace)
      throw osc::InvalidArgument("osc_workspace_create: the pointer for the result is null");
    *workspace = new osc_workspace;
    return osc::Status();
  }));
}

void osc_workspace_destroy(osc_workspace* workspace) { delete workspace; }

osc_status osc_matching_similarity_loss_per_img(
    int32_t dtype, const int64_t sizes[3], const void* f, const int64_t f_strides[3], const void* p,
    const int64_t p_strides[3], int32_t reduction, double eps, int32_t on_nonfinite, osc_pool* pool,
    osc_workspace* workspace, void* loss, const void* grad_loss, void* grad_p,
    const int64_t grad_p_strides[3], int64_t* matching, int32_t* statuses) {
  return with_type(dtype, [&](auto element) {
    using T = decltype(element);
    osc::MatchingSimilarityResults<T> results{
        .loss = static_cast<T*>(loss), .matching = matching, .statuses = image_statuses(statuses)};
    if (grad_p) results.gradient = similarity_gradient<T>(sizes, grad_p, grad_p_strides, grad_loss);
    return osc::try_matching_similarity_loss_per_img(
        slots<T>("f", sizes, f, f_strides), slots<T>("p", sizes, p, p_strides),
        {reduction_of(reduction), eps, nonfinite_of(on_nonfinite), executor_of(pool),
         memory_of(workspace)},
        results);
  });
}

osc_status osc_matching_similarity_loss_per_img_backward(
    int32_t dtype, const int64_t sizes[3], const void* f, const int64_t f_strides[3], const void* p,
    const int64_t p_strides[3], const int64_t* matching, int32_t reduction, double eps,
    int32_t on_nonfinite, osc_pool* pool, osc_workspace* workspace, const void* grad_loss,
    void* grad_p, const int64_t grad_p_strides[3]) {
  return with_type(dtype, [&](auto element) {
    using T = decltype(element);
    return osc::try_matching_similarity_loss_per_img_backward(
        slots<T>("f", sizes, f, f_strides), slots<T>("p", sizes, p, p_strides), matching,
        {reduction_of(reduction), eps, nonfinite_of(on_nonfinite), executor_of(pool),
         memory_of(workspace)},
        similarity_gradient<T>(sizes, grad_p, grad_p_strides, grad_loss));
  });
}

osc_status osc_matching_contrastive_loss(int32_t dtype, const int64_t sizes[3], const void* data,
                                         const int64_t strides[3], int32_t candidates,
                                         double temperature, int32_t reduction, double eps,
                                         int32_t on_nonfinite, osc_pool* pool,
                                         osc_workspace* workspace, const int64_t* given_matching,
                                         void* loss, const void* grad_loss, void* grad_slots,
                                         const int64_t grad_slots_strides[3], int64_t* matching,
                                         double* log_sums, double* accuracy, int32_t* statuses) {
  return with_type(dtype, [&](auto element) {
    using T = decltype(element);
    osc::MatchingContrastiveResults<T> results{.loss = static_cast<T*>(loss),
                                               .matching = matching,
                                               .log_sums = log_sums,
                                               .accuracy = accuracy,
                                               .statuses = image_statuses(statuses)};
    if (grad_slots)
      results.gradient = contrastive_gradient<T>(sizes, grad_slots, grad_slots_strides, grad_loss);
    return osc::try_matching_contrastive_loss(
        slots<T>("slots", sizes, data, strides),
        {candidates_of(candidates), temperature, reduction_of(reduction), eps,
         nonfinite_of(on_nonfinite), given_matching, executor_of(pool), memory_of(workspace)},
        results);
  });
}

osc_status osc_matching_contrastive_loss_backward(
    int32_t dtype, const int64_t sizes[3], const void* data, const int64_t strides[3],
    int32_t candidates, double temperature, int32_t reduction, double eps, int32_t on_nonfinite,
    osc_pool* pool, osc_workspace* workspace, const int64_t* matching, const double* log_sums,
    const void* grad_loss, void* grad_slots, const int64_t grad_slots_strides[3]) {
  return with_type(dtype, [&](auto element) {
    using T = decltype(element);
    return osc::try_matching_contrastive_loss_backward(
        slots<T>("slots", sizes, data, strides), matching, log_sums,
        {candidates_of(candidates), temperature, reduction_of(reduction), eps,
         nonfinite_of(on_nonfinite), nullptr, executor_of(pool), memory_of(workspace)},
        contrastive_gradient<T>(sizes, grad_slots, grad_slots_strides, grad_loss));
  });
}

osc_status osc_matching_contrastive_loss_gathered(
    int32_t dtype, const int64_t sizes[3], int64_t ranks, int64_t rank, const void* data,
    double temperature, int32_t reduction, double eps, int32_t on_nonfinite, osc_pool* pool,
    osc_workspace* workspace, const int64_t* given_matching, void* loss, int64_t* matching,
    double* log_sums, double* accuracy, int32_t* statuses) {
  return with_type(dtype, [&](auto element) {
    using T = decltype(element);
    return osc::try_matching_contrastive_loss(
        gathered_slots<T>(sizes, ranks, rank, data),
        {osc::Candidates::batch, temperature, reduction_of(reduction), eps,
         nonfinite_of(on_nonfinite), given_matching, executor_of(pool), memory_of(workspace)},
        {.loss = static_cast<T*>(loss),
         .matching = matching,
         .log_sums = log_sums,
         .accuracy = accuracy,
         .statuses = image_statuses(statuses)});
  });
}

osc_status osc_matching_contrastive_loss_gathered_backward(
    int32_t dtype, const int64_t sizes[3], int64_t ranks, int64_t rank, const void* data,
    double temperature, int32_t reduction, double eps, int32_t on_nonfinite, osc_pool* pool,
    osc_workspace* workspace, const int64_t* matching, const double* log_sums,
    const void* grad_loss, void* grad_slots, const int64_t grad_slots_strides[3]) {
  return with_type(dtype, [&](auto element) {
    using T = decltype(element);
    return osc::try_matching_contrastive_loss_backward(
        gathered_slots<T>(sizes, ranks, rank, data), matching, log_sums,
        {osc::Candidates::batch, temperature, reduction_of(reduction), eps,
         nonfinite_of(on_nonfinite), nullptr, executor_of(pool), memory_of(workspace)},
        contrastive_gradient<T>(sizes, grad_slots, grad_slots_strides, grad_loss));
  });
}

osc_status osc_matching_contrastive_loss_best_worst(int64_t images, int64_t slots,
                                                    double temperature, double* best,
                                                    double* worst) {
  return reported(osc::guarded([&] {
    if (!best || !worst)
      throw osc::InvalidArgument(
          "osc_matching_contrastive_loss_best_worst: the pointer for a result is null");
    std::tie(*best, *worst) = osc::matching_contrastive_loss_best_worst(images, slots, temperature);
    return osc::Status();
  }));
}

osc_status osc_match_slots(int32_t dtype, const int64_t sizes[3], const void* data,
                           const int64_t strides[3], double eps, int32_t on_nonfinite,
                           osc_pool* pool, osc_workspace* workspace, int64_t* matching,
                           int32_t* statuses) {
  return with_type(dtype, [&](auto element) {
    return osc::try_match_slots(
        slots<decltype(element)>("slots", sizes, data, strides),
        {matching, image_statuses(statuses)},
        {eps, nonfinite_of(on_nonfinite), executor_of(pool), memory_of(workspace)});
  });
}

osc_status osc_linear_sum_assignment(int32_t dtype, const int64_t sizes[3], const void* costs,
                                     const int64_t strides[3], int32_t maximize,
                                     int32_t on_unsolvable, osc_pool* pool,
                                     osc_workspace* workspace, int64_t* column_of_row,
                                     int64_t* row_of_column, int32_t* statuses) {
  static_assert(sizeof(osc::AssignmentStatus) == sizeof(int32_t));
  return with_type(dtype, [&](auto element) {
    using T = decltype(element);
    if (!sizes || !strides)
      throw osc::InvalidArgument("the pointer to the sizes or the strides of the costs is null");
    return osc::try_linear_sum_assignment(
        osc::CostMatrices<T>{static_cast<const T*>(costs), sizes[0], sizes[1], sizes[2], strides[0],
                             strides[1], strides[2]},
        {column_of_row, row_of_column, reinterpret_cast<osc::AssignmentStatus*>(statuses)},
        {maximize != 0,
         raises(on_unsolvable) ? osc::OnUnsolvable::raise : osc::OnUnsolvable::unmatched,
         executor_of(pool), memory_of(workspace)});
  });
}

osc_status osc_matching_similarity_loss_small_to_large(
    int32_t dtype, const int64_t sizes[6], const void* f_large, const int64_t f_large_strides[3],
    const void* p_small, const int64_t p_small_strides[3], int32_t reduction, double eps,
    int32_t on_nonfinite, osc_pool* pool, osc_workspace* workspace, void* loss,
    double* counted_ratio, const void* grad_loss, void* grad_p, const int64_t grad_p_strides[3],
    int64_t* matching, int32_t* statuses) {
  return with_type(dtype, [&](auto element) {
    using T = decltype(element);
    osc::SmallToLargeResults<T> results{.loss = static_cast<T*>(loss),
                                        .counted_ratio = counted_ratio,
                                        .matching = matching,
                                        .statuses = image_statuses(statuses)};
    if (grad_p)
      results.gradient = {crops<T>("grad_p", sizes, false, grad_p, grad_p_strides),
                          static_cast<const T*>(grad_loss)};
    return osc::try_matching_similarity_loss_small_to_large(
        crops<const T>("f_large", sizes, true, f_large, f_large_strides),
        crops<const T>("p_small", sizes, false, p_small, p_small_strides),
        {reduction_of(reduction), eps, nonfinite_of(on_nonfinite), executor_of(pool),
         memory_of(workspace)},
        results);
  });
}

osc_status osc_matching_similarity_loss_small_to_large_backward(
    int32_t dtype, const int64_t sizes[6], const void* f_large, const int64_t f_large_strides[3],
    const void* p_small, const int64_t p_small_strides[3], const int64_t* matching,
    int32_t reduction, double eps, osc_pool* pool, osc_workspace* workspace, const void* grad_loss,
    void* grad_p, const int64_t grad_p_strides[3]) {
  return with_type(dtype, [&](auto element) {
    using T = decltype(element);
    return osc::try_matching_similarity_loss_small_to_large_backward(
        crops<const T>("f_large", sizes, true, f_large, f_large_strides),
        crops<const T>("p_small", sizes, false, p_small, p_small_strides), matching,
        {reduction_of(reduction), eps, osc::NonFinite::propagate, executor_of(pool),
         memory_of(workspace)},
        {crops<T>("grad_p", sizes, false, grad_p, grad_p_strides),
         static_cast<const T*>(grad_loss)});
  });
}

osc_status osc_variance_covariance_loss(int32_t dtype, const int64_t sizes[3], const void* x,
                                        const int64_t strides[2], int32_t on_nonfinite,
                                        osc_pool* pool, osc_workspace* workspace, void* variance,
                                        void* covariance, const void* grad_variance,
                                        const void* grad_covariance, void* grad_x,
                                        const int64_t grad_x_strides[2]) {
  return with_type(dtype, [&](auto element) {
    using T = decltype(element);
    osc::VarianceCovarianceResults<T> results{.variance = static_cast<T*>(variance),
                                              .covariance = static_cast<T*>(covariance)};
    if (grad_x) {
      results.gradient = {samples<T>("grad_x", sizes, grad_x, grad_x_strides),
                          static_cast<const T*>(grad_variance),
                          static_cast<const T*>(grad_covariance)};
    }
    return osc::try_variance_covariance_loss(
        samples<const T>("x", sizes, x, strides),
        {nonfinite_of(on_nonfinite), executor_of(pool), memory_of(workspace)}, results);
  });
}
