// The C interface: checked calls become the views of the losses.
#include <tuple>

#include "old/assignment.hpp"
#include "old/contrastive_loss.hpp"
#include "old/loss_objects.hpp"
#include "old/small_to_large_loss.hpp"
#include "old/variance_covariance_loss.hpp"
#include "osc/osc.h"
#include "runtime/call.hpp"

namespace osc {
namespace {

double or_default(double value, double default_value) { return value == 0 ? default_value : value; }

template <typename T>
SlotPairs<T> slots(const View<T, 4>& v) {
  return {v.data, v.sizes[1], v.sizes[2], v.sizes[3], v.strides[0], v.strides[1], v.strides[2]};
}
template <typename T>
SlotCrops<T> crops(const View<T, 4>& v) {
  return {v.data,     v.sizes[0],   v.sizes[1],   v.sizes[2],
          v.sizes[3], v.strides[0], v.strides[1], v.strides[2]};
}
template <typename T>
Samples<T> samples(const View<T, 3>& v) {
  return {v.data, v.sizes[0], v.sizes[1], v.sizes[2], v.strides[0], v.strides[1]};
}

// The options that calls have in common.
template <typename Options, typename Call>
Options options_of(const Call& call) {
  Options options{};
  if constexpr (requires { options.reduction; })
    options.reduction = static_cast<Reduction>(call.reduction);
  if constexpr (requires { options.eps; }) options.eps = or_default(call.eps, 1e-10);
  options.on_nonfinite = static_cast<NonFinite>(call.on_nonfinite);
  options.executor = call.executor;
  options.workspace = call.workspace;
  return options;
}

Status similarity_loss(const osc_similarity_loss& call) {
  return with_type(call.f.dtype, [&](auto element) {
    using T = decltype(element);
    const auto options = options_of<MatchingSimilarityOptions>(call);
    const View<const T, 4> f = view<const T, 4>(call.f, 0), p = view<const T, 4>(call.p, 0);
    MatchingSimilarityResults<T> results{.loss = elements<T>(call.loss),
                                         .matching = elements<std::int64_t>(call.matching),
                                         .statuses = elements<ImageStatus>(call.statuses)};
    if (is_given(call.grad_p))
      results.gradient = {slots(gradient_view<T, 4>(call.grad_p, p, 0)),
                          elements<const T>(call.grad_output)};
    if (!is_given(call.given_matching))
      return detail::similarity_loss<T>(slots(f), slots(p), options, results);
    if (!results.gradient) return Status();
    return detail::similarity_gradient<T>(slots(f), slots(p),
                                          elements<const std::int64_t>(call.given_matching),
                                          options, *results.gradient);
  });
}

template <typename T, typename Call>
MatchingContrastiveResults<T> contrastive_results(const Call& call, const View<const T, 4>& own) {
  MatchingContrastiveResults<T> results{.loss = elements<T>(call.loss),
                                        .matching = elements<std::int64_t>(call.matching),
                                        .log_sums = elements<double>(call.log_sum_exp),
                                        .statuses = elements<ImageStatus>(call.statuses)};
  if (is_given(call.grad_slots))
    results.gradient = {slots(gradient_view<T, 4>(call.grad_slots, own, 0)),
                        elements<const T>(call.grad_output)};
  return results;
}

template <typename T, typename Slots, typename Call>
Status contrastive(const Slots& views, const Call& call, MatchingContrastiveOptions options,
                   MatchingContrastiveResults<T> results) {
  const auto* const matching = elements<const std::int64_t>(call.given_matching);
  const auto* const log_sum_exp = elements<const double>(call.given_log_sum_exp);
  options.temperature = or_default(call.temperature, 1);
  if (is_given(call.given_log_sum_exp) && results.gradient)
    return try_matching_contrastive_loss_backward(views, matching, log_sum_exp, options,
                                                  *results.gradient);
  options.given_matching = matching;
  double accuracy = 0;
  if (is_given(call.accuracy)) results.accuracy = &accuracy;
  const Status status = try_matching_contrastive_loss(views, options, results);
  if (status.ok() && is_given(call.accuracy))
    *elements<float>(call.accuracy) = static_cast<float>(accuracy);
  return status;
}

Status contrastive_loss(const osc_contrastive_loss& call) {
  return with_type(call.slots.dtype, [&](auto element) {
    using T = decltype(element);
    const View<const T, 4> own = view<const T, 4>(call.slots, 0);
    auto options = options_of<MatchingContrastiveOptions>(call);
    options.candidates =
        call.candidates == OSC_CANDIDATES_IMAGE ? Candidates::image : Candidates::batch;
    return contrastive<T>(slots(own), call, options, contrastive_results<T>(call, own));
  });
}

Status gathered_loss(const osc_contrastive_loss_gathered& call) {
  return with_type(call.slots.dtype, [&](auto element) {
    using T = decltype(element);
    const View<const T, 5> all = view<const T, 5>(call.slots, 1);
    const auto& sizes = all.sizes;
    const View<const T, 4> own = contiguous(all.data, {2, sizes[2], sizes[3], sizes[4]});
    return contrastive<T>(
        GatheredSlots<T>{all.data, sizes[0], call.rank, sizes[2], sizes[3], sizes[4]}, call,
        options_of<MatchingContrastiveOptions>(call), contrastive_results<T>(call, own));
  });
}

Status small_to_large(const osc_small_to_large_loss& call) {
  return with_type(call.f_large.dtype, [&](auto element) {
    using T = decltype(element);
    const auto options = options_of<SmallToLargeOptions>(call);
    const View<const T, 4> f = view<const T, 4>(call.f_large), p = view<const T, 4>(call.p_small);
    double ratio = 0;
    SmallToLargeResults<T> results{.loss = elements<T>(call.loss),
                                   .counted_ratio = &ratio,
                                   .matching = elements<std::int64_t>(call.matching),
                                   .statuses = elements<ImageStatus>(call.statuses)};
    if (is_given(call.grad_p_small))
      results.gradient = {crops(gradient_view<T, 4>(call.grad_p_small, p)),
                          elements<const T>(call.grad_output)};
    if (is_given(call.given_matching) && results.gradient)
      return detail::small_to_large_gradient<T>(crops(f), crops(p),
                                                elements<const std::int64_t>(call.given_matching),
                                                options, *results.gradient);
    const Status status = detail::small_to_large_loss<T>(crops(f), crops(p), options, results);
    if (status.ok() && is_given(call.counted_ratio))
      *elements<float>(call.counted_ratio) = static_cast<float>(ratio);
    return status;
  });
}

Status variance_covariance(const osc_variance_covariance& call) {
  return with_type(call.x.dtype, [&](auto element) {
    using T = decltype(element);
    const View<const T, 3> x = view<const T, 3>(call.x);
    VarianceCovarianceResults<T> results{.variance = elements<T>(call.variance),
                                         .covariance = elements<T>(call.covariance)};
    if (is_given(call.grad_x))
      results.gradient = {samples(gradient_view<T, 3>(call.grad_x, x)),
                          elements<const T>(call.grad_variance),
                          elements<const T>(call.grad_covariance)};
    return detail::variance_covariance<T>(samples(x), options_of<VarianceCovarianceOptions>(call),
                                          results);
  });
}

Status match(const osc_slot_matching& call) {
  return with_type(call.slots.dtype, [&](auto element) {
    using T = decltype(element);
    return try_match_slots<T>(
        slots(view<const T, 4>(call.slots, 0)),
        {elements<std::int64_t>(call.matching), elements<ImageStatus>(call.statuses)},
        options_of<MatchOptions>(call));
  });
}

Status assign(const osc_assignment& call) {
  return with_type(call.cost.dtype, [&](auto element) {
    using T = decltype(element);
    const View<const T, 3> v = view<const T, 3>(call.cost);
    return try_linear_sum_assignment(
        CostMatrices<T>{v.data, v.sizes[0], v.sizes[1], v.sizes[2], v.strides[0], v.strides[1],
                        v.strides[2]},
        {elements<std::int64_t>(call.col4row), elements<std::int64_t>(call.row4col),
         elements<AssignmentStatus>(call.statuses)},
        {call.maximize != 0,
         call.on_unsolvable == OSC_UNSOLVABLE_RAISE ? OnUnsolvable::raise : OnUnsolvable::unmatched,
         call.executor, call.workspace});
  });
}

}  // namespace
}  // namespace osc

osc_status osc_matching_similarity_loss_per_img(const osc_similarity_loss* call) {
  return osc::run_call<osc_matching_similarity_loss_per_img>(call, osc::similarity_loss);
}
osc_status osc_matching_contrastive_loss(const osc_contrastive_loss* call) {
  return osc::run_call<osc_matching_contrastive_loss>(call, osc::contrastive_loss);
}
osc_status osc_matching_contrastive_loss_gathered(const osc_contrastive_loss_gathered* call) {
  return osc::run_call<osc_matching_contrastive_loss_gathered>(call, osc::gathered_loss);
}
osc_status osc_matching_similarity_loss_small_to_large(const osc_small_to_large_loss* call) {
  return osc::run_call<osc_matching_similarity_loss_small_to_large>(call, osc::small_to_large);
}
osc_status osc_variance_covariance_loss(const osc_variance_covariance* call) {
  return osc::run_call<osc_variance_covariance_loss>(call, osc::variance_covariance);
}
osc_status osc_match_slots(const osc_slot_matching* call) {
  return osc::run_call<osc_match_slots>(call, osc::match);
}
osc_status osc_linear_sum_assignment(const osc_assignment* call) {
  return osc::run_call<osc_linear_sum_assignment>(call, osc::assign);
}

osc_status osc_matching_contrastive_loss_best_worst(int64_t images, int64_t slots,
                                                    double temperature, double* best,
                                                    double* worst) {
  return osc::reported(osc::guarded([&] {
    if (!best || !worst) throw osc::InvalidArgument("the pointer for a result is null");
    std::tie(*best, *worst) = osc::matching_contrastive_loss_best_worst(images, slots, temperature);
    return osc::Status();
  }));
}
