// torch.ops.osc.matching_similarity_loss_small_to_large on CPU tensors, and its gradient.
#include <tuple>

#include "osc/small_to_large_loss.hpp"
#include "torch_tensors.hpp"

namespace osc::torch_operators {
namespace {

void check_crops(const Tensor& f_large, const Tensor& p_small) {
  if (f_large.dim() != 4)
    refuse("f_large has shape " + shape_of(f_large) +
           "; wanted [B, Al, L, C]: images, crops, slots, channels");
  if (p_small.dim() != 4)
    refuse("p_small has shape " + shape_of(p_small) +
           "; wanted [B, As, S, C]: images, crops, slots, channels");
  if (f_large.size(0) != p_small.size(0) || f_large.size(3) != p_small.size(3)) {
    refuse("f_large " + shape_of(f_large) + " and p_small " + shape_of(p_small) +
           " must have as many images and channels");
  }
  check_same_dtype("f_large", f_large, "p_small", p_small);
}

template <typename T, typename Pointer>
SlotCrops<T> crops_view(Pointer* data, const Tensor& crops) {
  if (crops.numel() == 0)
    return contiguous_crops<T>(data, crops.size(0), crops.size(1), crops.size(2),
                               crops.size(3));  // its strides may be anything
  return {data,          crops.size(0),   crops.size(1),   crops.size(2),
          crops.size(3), crops.stride(0), crops.stride(1), crops.stride(2)};
}
template <typename T>
SlotCrops<const T> crops_view(const Tensor& crops) {
  return crops_view<const T>(const_data<T>(crops), crops);
}

template <typename T>
SmallToLargeOptions small_to_large_options(const Tensor& f_large, const Tensor& p_small,
                                           std::int64_t reduction, double eps,
                                           bool raise_nonfinite) {
  Executor& executor = host_executor();
  const std::size_t bytes = small_to_large_workspace<T>(
      f_large.size(0), f_large.size(1), f_large.size(2), p_small.size(1), p_small.size(2),
      p_small.size(3), executor.concurrency());
  return {reduction_from_code(reduction), eps,
          raise_nonfinite ? NonFinite::raise : NonFinite::propagate, &executor,
          kept_workspace(bytes)};
}

std::array<std::int64_t, 3> pairs_of(const Tensor& f_large, const Tensor& p_small) {
  return {f_large.size(0), f_large.size(1), p_small.size(1)};
}

std::tuple<Tensor, Tensor, Tensor> matching_similarity_loss_small_to_large(const Tensor& f_large,
                                                                           const Tensor& p_small,
                                                                           std::int64_t reduction,
                                                                           double eps,
                                                                           bool raise_nonfinite) {
  check_crops(f_large, p_small);
  return with_element_type("p_small", p_small, [&](auto element) {
    using T = decltype(element);
    const auto options =
        small_to_large_options<T>(f_large, p_small, reduction, eps, raise_nonfinite);
    const auto pairs = pairs_of(f_large, p_small);
    const Tensor readable_f = readable(f_large), readable_p = readable(p_small);
    const Tensor loss = options.reduction == Reduction::none
                            ? empty_contiguous<3>(pairs, dtype_of(p_small))
                            : empty_strided<0>({}, {}, dtype_of(p_small));
    const Tensor matching = empty_contiguous<4>({pairs[0], pairs[1], pairs[2], p_small.size(2)},
                                                aoti_torch_dtype_int64());
    const Tensor ratio = empty_strided<0>({}, {}, aoti_torch_dtype_float32());
    double counted_ratio = 0;
    osc::matching_similarity_loss_small_to_large(
        crops_view<T>(readable_f), crops_view<T>(readable_p), options,
        {.loss = mutable_data<T>(loss),
         .counted_ratio = &counted_ratio,
         .matching = mutable_data<std::int64_t>(matching)});
    *mutable_data<float>(ratio) = static_cast<float>(counted_ratio);
    return std::tuple(loss, matching, ratio);
  });
}

Tensor matching_similarity_loss_small_to_large_backward(const Tensor& grad_loss,
                                                        const Tensor& f_large,
                                                        const Tensor& p_small,
                                                        const Tensor& matching,
                                                        std::int64_t reduction, double eps) {
  check_crops(f_large, p_small);
  const auto pairs = pairs_of(f_large, p_small);
  const std::int64_t losses = pairs[0] * pairs[1] * pairs[2];
  if (matching.scalar_type() != ScalarType::Long || matching.dim() != 4 ||
      matching.numel() != losses * p_small.size(2)) {
    refuse("matching has shape " + shape_of(matching) + "; wanted int64 [B, Al, As, S]");
  }
  return with_element_type("p_small", p_small, [&](auto element) {
    using T = decltype(element);
    const auto options = small_to_large_options<T>(f_large, p_small, reduction, eps, false);
    check_incoming(grad_loss, "p_small", p_small, options.reduction, losses);
    const Tensor readable_f = readable(f_large), readable_p = readable(p_small),
                 contiguous_matching = made_contiguous(matching),
                 incoming = made_contiguous(grad_loss);
    const Tensor gradient = empty_gradient(p_small);
    osc::matching_similarity_loss_small_to_large_backward(
        crops_view<T>(readable_f), crops_view<T>(readable_p),
        const_data<std::int64_t>(contiguous_matching), options,
        {crops_view<T>(mutable_data<T>(gradient), gradient), const_data<T>(incoming)});
    return gradient;
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(osc, library) {
  library.def(
      "matching_similarity_loss_small_to_large(Tensor f_large, Tensor p_small, int reduction, "
      "float eps, bool raise_nonfinite) -> (Tensor loss, Tensor matching, Tensor counted_ratio)");
  library.def(
      "matching_similarity_loss_small_to_large_backward(Tensor grad_loss, Tensor f_large, Tensor "
      "p_small, Tensor matching, int reduction, float eps) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(osc, CPU, library) {
  library.impl("matching_similarity_loss_small_to_large",
               TORCH_BOX(&matching_similarity_loss_small_to_large));
  library.impl("matching_similarity_loss_small_to_large_backward",
               TORCH_BOX(&matching_similarity_loss_small_to_large_backward));
}

}  // namespace osc::torch_operators
