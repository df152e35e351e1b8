//   osc_jax_match_slots             f: [..., 2B, S, C]   →   matching: [..., B, S, 2]
//   osc_jax_linear_sum_assignment   cost: [..., R, K]   →   col4row: [..., R, 2],
//                                   row4col: [..., K, 2]
#include "osc/assignment.hpp"

#include "jax_buffers.hpp"

namespace osc::jax {
namespace {

ffi::Error match_slots(ffi::ThreadPool pool, Buffer f, Result matching, double eps) {
  return with_type(f.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes<3> sizes(f, "f");
    const auto fs = parts<const T>(f, "f", sizes);
    const auto matchings =
        halved_parts<std::int64_t>(*matching, "matching", sizes.calls, matches_of(sizes));
    for_each_call(sizes.calls, MatchOptions{.eps = eps}, pool,
                  [&](std::int64_t n, const MatchOptions& own) {
                    osc::match_slots(slots(fs[n], sizes), matchings[n], own);
                  });
  });
}

ffi::Error linear_sum_assignment(ffi::ThreadPool pool, Buffer cost, Result col4row, Result row4col,
                                 bool maximize) {
  return with_type(cost.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes<2> sizes(cost, "cost");
    const auto costs = parts<const T>(cost, "cost", sizes);
    const auto columns = halved_parts<std::int64_t>(*col4row, "col4row", sizes.calls, sizes[0]);
    const auto rows = halved_parts<std::int64_t>(*row4col, "row4col", sizes.calls, sizes[1]);
    XlaThreadPool threads(pool);
    osc::linear_sum_assignment(contiguous_costs(costs[0], sizes.calls, sizes[0], sizes[1]),
                               {columns[0], rows[0]},
                               {maximize, OnUnsolvable::unmatched, &threads});
  });
}

}  // namespace

OSC_JAX_HANDLER(match_slots, (buffers<1, 1>().Attr<double>("eps")));
OSC_JAX_HANDLER(linear_sum_assignment, (buffers<1, 2>().Attr<bool>("maximize")));

}  // namespace osc::jax
