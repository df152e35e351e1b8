#include "cpu/matching.hpp"

#include <atomic>
#include <string>

#include "osc/error.hpp"

namespace osc {
namespace cpu {

void check_eps(double eps) {
  if (!(eps > 0 && eps <= std::numeric_limits<double>::max())) throw InvalidArgument("eps is " + std::to_string(eps) + ": it must be positive and finite");
}

Executor& executor_or_default(Executor* executor) { return executor ? *executor : default_executor(); }

template <typename T>
void require_finite(const SlotPairs<const T>& slots, const char* name, Executor& executor) {
  std::atomic<std::int64_t> first = slots.images;
  executor.parallel_for(slots.images, grain(2.0 * static_cast<double>(slots.slots) * static_cast<double>(slots.channels)),
                        [&](std::int64_t begin, std::int64_t end) {
                          std::int64_t image = begin;
                          while (image < end && image_is_finite(slots, image)) ++image;
                          std::int64_t known = first;
                          while (image < end && image < known && !first.compare_exchange_weak(known, image)) {
                          }
                        });
  if (first < slots.images) {
    throw NonFiniteError(std::string(name) + ": image " + std::to_string(first) + " of " + std::to_string(slots.images) + " holds a NaN or an infinity",
                         first);
  }
}

template void require_finite(const SlotPairs<const float>&, const char*, Executor&);
template void require_finite(const SlotPairs<const double>&, const char*, Executor&);

namespace {

template <typename T>
void match_slots(const SlotPairs<const T>& slots, std::int64_t* matching, const MatchOptions& options) {
  check(slots);
  check_eps(options.eps);
  if (slots.images == 0 || slots.slots == 0) return;
  if (!matching) throw InvalidArgument("match_slots: the pointer to the matching is null");
  Executor& executor = executor_or_default(options.executor);
  if (options.on_nonfinite == NonFinite::raise) require_finite(slots, "slots", executor);

  const auto s = static_cast<double>(slots.slots);
  executor.parallel_for(slots.images, grain(s * s * (static_cast<double>(slots.channels) + s)), [&](std::int64_t begin, std::int64_t end) {
    SlotUnits units(slots.slots, slots.channels);
    SlotMatcher matcher(slots.slots);
    for (std::int64_t image = begin; image < end; ++image) {
      std::int64_t* const row = matching + image * slots.slots;
      if (units.load(slots, image, options.eps)) {
        matcher.match<T>(units);
        std::copy_n(matcher.matching(), slots.slots, row);
      } else {
        std::fill_n(row, slots.slots, -1);
      }
    }
  });
}

}  // namespace
}  // namespace cpu

void match_slots(const SlotPairs<const float>& slots, std::int64_t* matching, const MatchOptions& options) {
  cpu::match_slots(slots, matching, options);
}
void match_slots(const SlotPairs<const double>& slots, std::int64_t* matching, const MatchOptions& options) {
  cpu::match_slots(slots, matching, options);
}

}  // namespace osc
