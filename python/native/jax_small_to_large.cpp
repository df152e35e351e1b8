//   osc_jax_small_to_large_loss            f_large: [..., B, Al, L, C], p_small: [..., B, As, S, C]
//                                          →   loss: [...] or [..., B, Al, As],
//                                          matching: [..., B, Al, As, S, 2],
//                                          counted_ratio: [...], float32
//   osc_jax_small_to_large_loss_backward   f_large, p_small, matching, grad_loss   →   grad_p
#include "osc/small_to_large_loss.hpp"

#include "jax_buffers.hpp"

namespace osc::jax {
namespace {

template <typename T>
SlotCrops<T> crops(T* data, const Sizes<4>& sizes) {
  return contiguous_crops<T>(data, sizes[0], sizes[1], sizes[2], sizes[3]);
}

struct Crops {
  Sizes<4> large, small;
  std::int64_t pairs;

  Crops(const Buffer& f_large, const Buffer& p_small)
      : large(f_large, "f_large"),
        small(p_small, "p_small"),
        pairs(large[0] * large[1] * small[1]) {
    if (large.calls != small.calls || large[0] != small[0] || large[3] != small[3])
      throw InvalidArgument("f_large and p_small must have as many images and channels");
  }

  std::int64_t calls() const { return small.calls; }
  std::int64_t matches() const { return pairs * small[2]; }
  std::int64_t losses(Reduction reduction) const {
    return reduction == Reduction::none ? pairs : 1;
  }
};

ffi::Error small_to_large_loss(ffi::ThreadPool pool, Buffer f_large, Buffer p_small, Result loss,
                               Result matching, Result counted_ratio, std::int64_t reduction,
                               double eps) {
  return with_type(p_small.element_type(), [&](auto element) {
    using T = decltype(element);
    const Crops sizes(f_large, p_small);
    const SmallToLargeOptions options{.reduction = reduction_of(reduction), .eps = eps};
    const auto fs = parts<const T>(f_large, "f_large", sizes.large);
    const auto ps = parts<const T>(p_small, "p_small", sizes.small);
    const auto losses = parts<T>(*loss, "loss", sizes.calls(), sizes.losses(options.reduction));
    const auto matchings =
        halved_parts<std::int64_t>(*matching, "matching", sizes.calls(), sizes.matches());
    const auto ratios = parts<float>(*counted_ratio, "counted_ratio", sizes.calls(), 1);
    for_each_call(sizes.calls(), options, pool,
                  [&](std::int64_t n, const SmallToLargeOptions& own) {
                    double in_double = 0;
                    matching_similarity_loss_small_to_large(
                        crops(fs[n], sizes.large), crops(ps[n], sizes.small), own,
                        {.loss = losses[n], .counted_ratio = &in_double, .matching = matchings[n]});
                    *ratios[n] = static_cast<float>(in_double);
                  });
  });
}

ffi::Error small_to_large_loss_backward(ffi::ThreadPool pool, Buffer f_large, Buffer p_small,
                                        Buffer matching, Buffer grad_loss, Result grad_p,
                                        std::int64_t reduction, double eps) {
  return with_type(p_small.element_type(), [&](auto element) {
    using T = decltype(element);
    const Crops sizes(f_large, p_small);
    const SmallToLargeOptions options{.reduction = reduction_of(reduction), .eps = eps};
    const auto fs = parts<const T>(f_large, "f_large", sizes.large);
    const auto ps = parts<const T>(p_small, "p_small", sizes.small);
    const auto matchings =
        halved_parts<const std::int64_t>(matching, "matching", sizes.calls(), sizes.matches());
    const auto grad_losses =
        parts<const T>(grad_loss, "grad_loss", sizes.calls(), sizes.losses(options.reduction));
    const auto grads = parts<T>(*grad_p, "grad_p", sizes.small);
    for_each_call(sizes.calls(), options, pool,
                  [&](std::int64_t n, const SmallToLargeOptions& own) {
                    matching_similarity_loss_small_to_large_backward(
                        crops(fs[n], sizes.large), crops(ps[n], sizes.small), matchings[n], own,
                        {crops(grads[n], sizes.small), grad_losses[n]});
                  });
  });
}

}  // namespace

OSC_JAX_HANDLER(small_to_large_loss, (with_loss_options(buffers<2, 3>())));
OSC_JAX_HANDLER(small_to_large_loss_backward, (with_loss_options(buffers<4, 1>())));

}  // namespace osc::jax
