//   osc_jax_similarity_loss            f, p: [..., 2B, S, C]   →   loss: [...] or [..., 2BS],
//                                      matching: [..., B, S, 2]
//   osc_jax_similarity_loss_backward   f, p, matching, grad_loss   →   grad_p: [..., 2B, S, C]
#include "jax_buffers.hpp"
#include "osc/loss_objects.hpp"

namespace osc::jax {
namespace {

ffi::Error similarity_loss(ffi::ThreadPool pool, Buffer f, Buffer p, Result loss, Result matching,
                           std::int64_t reduction, double eps) {
  return with_type(p.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes<3> sizes(p, "p");
    const MatchingSimilarityOptions options{.reduction = reduction_of(reduction), .eps = eps};
    const auto fs = parts<const T>(f, "f", sizes), ps = parts<const T>(p, "p", sizes);
    const auto losses = parts<T>(*loss, "loss", sizes.calls, losses_of(options.reduction, sizes));
    const auto matchings =
        halved_parts<std::int64_t>(*matching, "matching", sizes.calls, matches_of(sizes));
    for_each_call(sizes.calls, options, pool,
                  [&](std::int64_t n, const MatchingSimilarityOptions& own) {
                    matching_similarity_loss_per_img(slots(fs[n], sizes), slots(ps[n], sizes), own,
                                                     {.loss = losses[n], .matching = matchings[n]});
                  });
  });
}

ffi::Error similarity_loss_backward(ffi::ThreadPool pool, Buffer f, Buffer p, Buffer matching,
                                    Buffer grad_loss, Result grad_p, std::int64_t reduction,
                                    double eps) {
  return with_type(p.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes<3> sizes(p, "p");
    const MatchingSimilarityOptions options{.reduction = reduction_of(reduction), .eps = eps};
    const auto fs = parts<const T>(f, "f", sizes), ps = parts<const T>(p, "p", sizes);
    const auto matchings =
        halved_parts<const std::int64_t>(matching, "matching", sizes.calls, matches_of(sizes));
    const auto grad_losses =
        parts<const T>(grad_loss, "grad_loss", sizes.calls, losses_of(options.reduction, sizes));
    const auto grads = parts<T>(*grad_p, "grad_p", sizes);
    for_each_call(
        sizes.calls, options, pool, [&](std::int64_t n, const MatchingSimilarityOptions& own) {
          matching_similarity_loss_per_img_backward(slots(fs[n], sizes), slots(ps[n], sizes),
                                                    matchings[n], own,
                                                    {slots(grads[n], sizes), grad_losses[n]});
        });
  });
}

}  // namespace

OSC_JAX_HANDLER(similarity_loss, (with_loss_options(buffers<2, 2>())));
OSC_JAX_HANDLER(similarity_loss_backward, (with_loss_options(buffers<4, 1>())));

}  // namespace osc::jax
