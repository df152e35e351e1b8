// The table of operators: a row for each function of the C interface that computes something. Every
// door reads it (osc/osc.h says how), and so does the one checker (runtime/call.hpp).
#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <utility>

#include "osc/osc.h"
#include "runtime/call.hpp"
#include "runtime/row.hpp"

namespace osc::cpu {
namespace {

using Array = osc_array_description;
using Option = osc_option_description;

// What several rows have in common.
constexpr const char* kStatuses =
    "1 for an image that holds a NaN or an infinity, whose results are NaN; else 0";
constexpr const char* kGradOutput = "The gradient of the loss; ones if it is not given";
constexpr const char* kMatching =
    "The matching of each image: slot s of view 0 and slot matching[i, s] of view 1 are partners";

template <typename Call>
constexpr Option reduction{
    "reduction", OSC_OPTION_ENUMERATION, offsetof(Call, reduction),
    OSC_MEAN,    "mean sum none",        "The mean of the losses, their sum, or all of them"};
template <typename Call>
constexpr Option on_nonfinite{
    "on_nonfinite",
    OSC_OPTION_ENUMERATION,
    offsetof(Call, on_nonfinite),
    OSC_PROPAGATE,
    "propagate raise",
    "What a NaN or an infinity does: make the results of its own image (or group) NaN, -1 in "
    "matchings, or raise an error"};
template <typename Call>
constexpr Option eps{
    "eps", OSC_OPTION_DOUBLE, offsetof(Call, eps),
    1e-10, nullptr,           "The floor of a norm, in unit(x) = x / max(|x|, eps)"};
template <typename Call>
constexpr Option temperature{"temperature",
                             OSC_OPTION_DOUBLE,
                             offsetof(Call, temperature),
                             1,
                             nullptr,
                             "What cosines are divided by; it is not learned"};

constexpr Array kSimilarityArrays[] = {
    {"f", "2B S C", OSC_ROLE_INPUT, 0, "Slots before the projection head; they get no gradient"},
    {"p", "2B S C", OSC_ROLE_INPUT, 0, "Slots after the projection head"},
    {"given_matching", "B S", OSC_ROLE_GIVEN, OSC_INT64, "A matching to use; nothing is solved"},
    {"loss", "2BS", OSC_ROLE_LOSS, 0, "The loss"},
    {"matching", "B S", OSC_ROLE_OUTPUT, OSC_INT64, kMatching},
    {"statuses", "B", OSC_ROLE_STATUS, OSC_INT32, kStatuses},
    {"gradient_scales", "", OSC_ROLE_STATUS, OSC_INT32,
     "1 if the gradient, multiplied by a number afterwards, is as exact as with that number as "
     "grad_output; else 0"},
    {"grad_output", "2BS", OSC_ROLE_GRAD_OUTPUT, 0, kGradOutput},
    {"grad_p", "2B S C", OSC_ROLE_GRADIENT, 0, "The gradient with respect to p"}};
constexpr Option kSimilarityOptions[] = {reduction<osc_similarity_loss>, eps<osc_similarity_loss>,
                                         on_nonfinite<osc_similarity_loss>};

constexpr Array kContrastiveArrays[] = {
    {"slots", "2B S C", OSC_ROLE_INPUT, 0, "Slots after the projection head"},
    {"given_matching", "B S", OSC_ROLE_GIVEN, OSC_INT64, "A matching to use; nothing is solved"},
    {"given_log_sum_exp", "2BS", OSC_ROLE_GIVEN, OSC_FLOAT64,
     "The log_sum_exp of a call whose gradient is wanted now"},
    {"loss", "2BS", OSC_ROLE_LOSS, 0, "The loss"},
    {"matching", "B S", OSC_ROLE_OUTPUT, OSC_INT64, kMatching},
    {"log_sum_exp", "2BS", OSC_ROLE_OUTPUT, OSC_FLOAT64,
     "The logarithm of the sum of the exponentials of each slot's candidates"},
    {"accuracy", "", OSC_ROLE_OUTPUT, OSC_FLOAT32,
     "The share of slots that resemble no candidate as much as their match"},
    {"statuses", "B", OSC_ROLE_STATUS, OSC_INT32, kStatuses},
    {"grad_output", "2BS", OSC_ROLE_GRAD_OUTPUT, 0, kGradOutput},
    {"grad_slots", "2B S C", OSC_ROLE_GRADIENT, 0, "The gradient with respect to the slots"}};
constexpr Option kContrastiveOptions[] = {
    {"candidates", OSC_OPTION_ENUMERATION, offsetof(osc_contrastive_loss, candidates),
     OSC_CANDIDATES_BATCH, "batch image",
     "Each slot is contrasted with all slots of the batch, or of its own image"},
    temperature<osc_contrastive_loss>,
    reduction<osc_contrastive_loss>,
    eps<osc_contrastive_loss>,
    on_nonfinite<osc_contrastive_loss>};

constexpr Array kGatheredArrays[] = {
    {"slots", "R 2B S C", OSC_ROLE_INPUT, 0, "Slots of all ranks, gathered"},
    {"given_matching", "B S", OSC_ROLE_GIVEN, OSC_INT64, "A matching to use; nothing is solved"},
    {"given_log_sum_exp", "R 2BS", OSC_ROLE_GIVEN, OSC_FLOAT64,
     "The log_sum_exp of all ranks, gathered, of a call whose gradient is wanted now"},
    {"loss", "2BS", OSC_ROLE_LOSS, 0, "The loss of this rank's slots"},
    {"matching", "B S", OSC_ROLE_OUTPUT, OSC_INT64, kMatching},
    {"log_sum_exp", "2BS", OSC_ROLE_OUTPUT, OSC_FLOAT64,
     "The logarithm of the sum of the exponentials of each slot's candidates"},
    {"accuracy", "", OSC_ROLE_OUTPUT, OSC_FLOAT32,
     "The share of slots that resemble no candidate as much as their match"},
    {"statuses", "B", OSC_ROLE_STATUS, OSC_INT32, kStatuses},
    {"grad_output", "R 2BS", OSC_ROLE_GRAD_OUTPUT, 0,
     "The gradients of the losses of all ranks, gathered; ones if it is not given"},
    {"grad_slots", "2B S C", OSC_ROLE_GRADIENT, 0,
     "The gradient of the sum of the ranks' losses with respect to this rank's slots"}};
constexpr Option kGatheredOptions[] = {
    {"rank", OSC_OPTION_INT64, offsetof(osc_contrastive_loss_gathered, rank), 0, nullptr,
     "Which of the ranks this is"},
    temperature<osc_contrastive_loss_gathered>,
    reduction<osc_contrastive_loss_gathered>,
    eps<osc_contrastive_loss_gathered>,
    on_nonfinite<osc_contrastive_loss_gathered>};

constexpr Array kSmallToLargeArrays[] = {
    {"f_large", "B Al L C", OSC_ROLE_INPUT, 0,
     "Slots of large crops before the projection head; they get no gradient"},
    {"p_small", "B As S C", OSC_ROLE_INPUT, 0, "Slots of small crops after the projection head"},
    {"given_matching", "B Al As S", OSC_ROLE_GIVEN, OSC_INT64, "A matching to use"},
    {"loss", "B Al As", OSC_ROLE_LOSS, 0, "The loss"},
    {"matching", "B Al As S", OSC_ROLE_OUTPUT, OSC_INT64,
     "The slot of the large crop that each slot of the small one is compared with; -1: not "
     "counted"},
    {"counted_ratio", "", OSC_ROLE_OUTPUT, OSC_FLOAT32, "The share of slots that are counted"},
    {"statuses", "B", OSC_ROLE_STATUS, OSC_INT32, kStatuses},
    {"grad_output", "B Al As", OSC_ROLE_GRAD_OUTPUT, 0, kGradOutput},
    {"grad_p_small", "B As S C", OSC_ROLE_GRADIENT, 0, "The gradient with respect to p_small"}};
constexpr Option kSmallToLargeOptions[] = {reduction<osc_small_to_large_loss>,
                                           eps<osc_small_to_large_loss>,
                                           on_nonfinite<osc_small_to_large_loss>};

constexpr Array kVarianceCovarianceArrays[] = {
    {"x", "G... N D", OSC_ROLE_INPUT, 0, "N samples of D features, in groups"},
    {"variance", "", OSC_ROLE_LOSS, 0, "The variance term, the mean over groups"},
    {"covariance", "", OSC_ROLE_LOSS, 0, "The covariance term, the mean over groups"},
    {"grad_variance", "", OSC_ROLE_GRAD_OUTPUT, 0,
     "The gradient of the variance term; 1 if it is not given"},
    {"grad_covariance", "", OSC_ROLE_GRAD_OUTPUT, 0,
     "The gradient of the covariance term; 1 if it is not given"},
    {"grad_x", "G... N D", OSC_ROLE_GRADIENT, 0, "The gradient with respect to x"}};
constexpr Option kVarianceCovarianceOptions[] = {on_nonfinite<osc_variance_covariance>};

constexpr Array kMatchSlotsArrays[] = {
    {"slots", "2B S C", OSC_ROLE_INPUT, 0, "Slots of two views of each image"},
    {"matching", "B S", OSC_ROLE_OUTPUT, OSC_INT64, kMatching},
    {"statuses", "B", OSC_ROLE_STATUS, OSC_INT32, kStatuses}};
constexpr Option kMatchSlotsOptions[] = {eps<osc_slot_matching>, on_nonfinite<osc_slot_matching>};

constexpr Array kAssignmentArrays[] = {
    {"cost", "N... R K", OSC_ROLE_INPUT, 0, "Costs of problems of R rows and K columns"},
    {"col4row", "N... R", OSC_ROLE_OUTPUT, OSC_INT64, "The column of each row; -1: none"},
    {"row4col", "N... K", OSC_ROLE_OUTPUT, OSC_INT64, "The row of each column; -1: none"},
    {"statuses", "N...", OSC_ROLE_STATUS, OSC_INT32,
     "0: solved; 1: a cost is NaN; 2: a cost is -inf (+inf to maximise); 3: infinite costs leave "
     "no full assignment"}};
constexpr Option kAssignmentOptions[] = {
    {"maximize", OSC_OPTION_BOOLEAN, offsetof(osc_assignment, maximize), 0, nullptr,
     "Whether the total is to be the greatest instead of the least"},
    {"on_unsolvable", OSC_OPTION_ENUMERATION, offsetof(osc_assignment, on_unsolvable),
     OSC_UNSOLVABLE_RAISE, "raise unmatched",
     "What a problem without an answer does: raise an error, or get -1 in all of its results"}};

template <auto function, typename Call, int kArrays, int kOptions>
constexpr osc_operator row(osc_status (*)(const Call*), const char* name,
                           const Array (&arrays)[kArrays], const Option (&options)[kOptions],
                           const char* differentiated) {
  std::size_t end_of_arrays = offsetof(Call, executor);
  for (const Option& option : options)
    end_of_arrays = std::min(end_of_arrays, static_cast<std::size_t>(option.offset));
  if (kArrays > kMostArrays || kOptions > kMostOptions ||
      end_of_arrays != sizeof(std::size_t) + kArrays * sizeof(osc_array))
    throw "the arrays of a call lie at sizeof(size_t) + i * sizeof(osc_array)";  // while compiling
  return {name,
          erased<function>,
          sizeof(Call),
          arrays,
          kArrays,
          options,
          kOptions,
          static_cast<std::int32_t>(offsetof(Call, executor)),
          static_cast<std::int32_t>(offsetof(Call, workspace)),
          differentiated};
}

#define OSC_ROW(name, arrays, options, differentiated) \
  row<osc_##name>(osc_##name, #name, arrays, options, differentiated)
constexpr osc_operator kOperators[] = {
    OSC_ROW(matching_similarity_loss_per_img, kSimilarityArrays, kSimilarityOptions, "p"),
    OSC_ROW(matching_contrastive_loss, kContrastiveArrays, kContrastiveOptions, "slots"),
    OSC_ROW(matching_contrastive_loss_gathered, kGatheredArrays, kGatheredOptions, "slots"),
    OSC_ROW(matching_similarity_loss_small_to_large, kSmallToLargeArrays, kSmallToLargeOptions,
            "p_small"),
    OSC_ROW(variance_covariance_loss, kVarianceCovarianceArrays, kVarianceCovarianceOptions, "x"),
    OSC_ROW(match_slots, kMatchSlotsArrays, kMatchSlotsOptions, nullptr),
    OSC_ROW(linear_sum_assignment, kAssignmentArrays, kAssignmentOptions, nullptr)};
#undef OSC_ROW

template <std::size_t... i>
constexpr auto parsed(std::index_sequence<i...>) {
  return std::array{ParsedRow(kOperators[i])...};
}
constexpr auto kParsed = parsed(std::make_index_sequence<std::size(kOperators)>());

}  // namespace

Row row_of(osc_status (*run)(const void*)) noexcept {
  const auto found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                  [&](const auto& described) { return described.run == run; });
  return {found, &kParsed[static_cast<std::size_t>(found - kOperators)]};
}

}  // namespace osc::cpu

const osc_operator* osc_operators(int32_t* count) {
  if (count) *count = static_cast<int32_t>(std::size(osc::cpu::kOperators));
  return osc::cpu::kOperators;
}
