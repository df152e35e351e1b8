//   osc_jax_contrastive_loss            slots: [..., 2B, S, C]   →   loss: [...] or [..., 2BS],
//                                       matching: [..., B, S, 2],  log_sums: [..., 2BS, 2],
//                                       accuracy: [...], float32
//   osc_jax_contrastive_loss_backward   slots, matching, log_sums, grad_loss   →   grad_slots
#include "osc/contrastive_loss.hpp"

#include "jax_buffers.hpp"

namespace osc::jax {
namespace {

MatchingContrastiveOptions contrastive_options(bool within_images, double temperature,
                                               std::int64_t reduction, double eps) {
  return {.candidates = within_images ? Candidates::image : Candidates::batch,
          .temperature = temperature,
          .reduction = reduction_of(reduction),
          .eps = eps};
}

ffi::Error contrastive_loss(ffi::ThreadPool pool, Buffer x, Result loss, Result matching,
                            Result log_sums, Result accuracy, bool within_images,
                            double temperature, std::int64_t reduction, double eps) {
  return with_type(x.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes<3> sizes(x, "slots");
    const MatchingContrastiveOptions options =
        contrastive_options(within_images, temperature, reduction, eps);
    const std::int64_t matches = matches_of(sizes);
    const auto xs = parts<const T>(x, "slots", sizes);
    const auto losses = parts<T>(*loss, "loss", sizes.calls, losses_of(options.reduction, sizes));
    const auto matchings = halved_parts<std::int64_t>(*matching, "matching", sizes.calls, matches);
    const auto sums = halved_parts<double>(*log_sums, "log_sums", sizes.calls, 2 * matches);
    const auto accuracies = parts<float>(*accuracy, "accuracy", sizes.calls, 1);
    for_each_call(sizes.calls, options, pool,
                  [&](std::int64_t n, const MatchingContrastiveOptions& own) {
                    double in_double = 0;
                    matching_contrastive_loss(slots(xs[n], sizes), own,
                                              {.loss = losses[n],
                                               .matching = matchings[n],
                                               .log_sums = sums[n],
                                               .accuracy = &in_double});
                    *accuracies[n] = static_cast<float>(in_double);
                  });
  });
}

ffi::Error contrastive_loss_backward(ffi::ThreadPool pool, Buffer x, Buffer matching,
                                     Buffer log_sums, Buffer grad_loss, Result grad_slots,
                                     bool within_images, double temperature, std::int64_t reduction,
                                     double eps) {
  return with_type(x.element_type(), [&](auto element) {
    using T = decltype(element);
    const Sizes<3> sizes(x, "slots");
    const MatchingContrastiveOptions options =
        contrastive_options(within_images, temperature, reduction, eps);
    const std::int64_t matches = matches_of(sizes);
    const auto xs = parts<const T>(x, "slots", sizes);
    const auto matchings =
        halved_parts<const std::int64_t>(matching, "matching", sizes.calls, matches);
    const auto sums = halved_parts<const double>(log_sums, "log_sums", sizes.calls, 2 * matches);
    const auto grad_losses =
        parts<const T>(grad_loss, "grad_loss", sizes.calls, losses_of(options.reduction, sizes));
    const auto grads = parts<T>(*grad_slots, "grad_slots", sizes);
    for_each_call(
        sizes.calls, options, pool, [&](std::int64_t n, const MatchingContrastiveOptions& own) {
          matching_contrastive_loss_backward(slots(xs[n], sizes), matchings[n], sums[n], own,
                                             {slots(grads[n], sizes), grad_losses[n]});
        });
  });
}

template <typename Binding>
auto with_contrastive_options(Binding binding) {
  return with_loss_options(
      std::move(binding).template Attr<bool>("within_images").template Attr<double>("temperature"));
}

}  // namespace

OSC_JAX_HANDLER(contrastive_loss, (with_contrastive_options(buffers<1, 4>())));
OSC_JAX_HANDLER(contrastive_loss_backward, (with_contrastive_options(buffers<4, 1>())));

}  // namespace osc::jax
