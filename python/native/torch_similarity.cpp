// torch.ops.osc.matching_similarity_loss_per_img on CPU tensors, and its gradient.
#include <optional>
#include <tuple>

#include "osc/loss_objects.hpp"
#include "torch_tensors.hpp"

namespace osc::torch_operators {
namespace {

void check_pair(const Tensor& f, const Tensor& p) {
  check_slots("f", f);
  check_slots("p", p);
  for (std::int64_t i = 0; i < 3; ++i) {
    if (f.size(i) != p.size(i))
      refuse("f " + shape_of(f) + " and p " + shape_of(p) + " must have the same shape");
  }
  check_same_dtype("f", f, "p", p);
}

template <typename T>
MatchingSimilarityOptions similarity_options(const Tensor& p, std::int64_t reduction, double eps,
                                             bool raise_nonfinite) {
  Executor& executor = host_executor();
  const std::size_t bytes =
      matching_similarity_workspace<T>(p.size(0) / 2, p.size(1), p.size(2), executor.concurrency());
  return {reduction_from_code(reduction), eps,
          raise_nonfinite ? NonFinite::raise : NonFinite::propagate, &executor,
          kept_workspace(bytes)};
}

// The loss, the matching, and where it is asked for the gradient of the loss; none where it would
// lose bits if it were multiplied by what comes in later.
std::tuple<Tensor, Tensor, std::optional<Tensor>> compute(const Tensor& f, const Tensor& p,
                                                          std::int64_t reduction, double eps,
                                                          bool raise_nonfinite, bool has_gradient) {
  check_pair(f, p);
  return with_element_type("p", p, [&](auto element) {
    using T = decltype(element);
    const auto options = similarity_options<T>(p, reduction, eps, raise_nonfinite);
    const Tensor readable_f = readable(f), readable_p = readable(p),
                 matching = empty_matching(p.size(0) / 2, p.size(1));
    const Tensor loss = empty_loss(options.reduction, p.size(0) * p.size(1), dtype_of(p));
    std::optional<Tensor> gradient;
    bool scales = false;
    MatchingSimilarityResults<T> results{.loss = mutable_data<T>(loss),
                                         .matching = mutable_data<std::int64_t>(matching)};
    if (has_gradient) {
      gradient = empty_gradient(p);
      results.gradient = SimilarityGradient<T>{view<T>(mutable_data<T>(*gradient), *gradient)};
      results.gradient_scales = &scales;
    }
    osc::matching_similarity_loss_per_img(view<T>(readable_f), view<T>(readable_p), options,
                                          results);
    return std::tuple(loss, matching, scales ? gradient : std::nullopt);
  });
}

std::tuple<Tensor, Tensor> matching_similarity_loss_per_img(const Tensor& f, const Tensor& p,
                                                            std::int64_t reduction, double eps,
                                                            bool raise_nonfinite) {
  const auto [loss, matching, gradient] =
      compute(f, p, reduction, eps, raise_nonfinite, /*has_gradient=*/false);
  return {loss, matching};
}

std::tuple<Tensor, Tensor, std::optional<Tensor>> matching_similarity_loss_per_img_with_gradient(
    const Tensor& f, const Tensor& p, std::int64_t reduction, double eps, bool raise_nonfinite) {
  return compute(f, p, reduction, eps, raise_nonfinite, /*has_gradient=*/true);
}

Tensor matching_similarity_loss_per_img_backward(const Tensor& grad_loss, const Tensor& f,
                                                 const Tensor& p, const Tensor& matching,
                                                 std::int64_t reduction, double eps) {
  check_pair(f, p);
  check_matching(matching, p.size(0) / 2, p.size(1));
  return with_element_type("p", p, [&](auto element) {
    using T = decltype(element);
    const auto options = similarity_options<T>(p, reduction, eps, false);
    check_incoming(grad_loss, "p", p, options.reduction, p.size(0) * p.size(1));
    const Tensor readable_f = readable(f), readable_p = readable(p),
                 contiguous_matching = made_contiguous(matching),
                 incoming = made_contiguous(grad_loss);
    const Tensor gradient = empty_gradient(p);
    osc::matching_similarity_loss_per_img_backward(
        view<T>(readable_f), view<T>(readable_p), const_data<std::int64_t>(contiguous_matching),
        options, {view<T>(mutable_data<T>(gradient), gradient), const_data<T>(incoming)});
    return gradient;
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(osc, library) {
  library.def(
      "matching_similarity_loss_per_img(Tensor f, Tensor p, int reduction, float eps, bool "
      "raise_nonfinite) -> (Tensor loss, Tensor matching)");
  library.def(
      "matching_similarity_loss_per_img_with_gradient(Tensor f, Tensor p, int reduction, float "
      "eps, bool raise_nonfinite) -> (Tensor loss, Tensor matching, Tensor? gradient)");
  library.def(
      "matching_similarity_loss_per_img_backward(Tensor grad_loss, Tensor f, Tensor p, Tensor "
      "matching, int reduction, float eps) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(osc, CPU, library) {
  library.impl("matching_similarity_loss_per_img", TORCH_BOX(&matching_similarity_loss_per_img));
  library.impl("matching_similarity_loss_per_img_with_gradient",
               TORCH_BOX(&matching_similarity_loss_per_img_with_gradient));
  library.impl("matching_similarity_loss_per_img_backward",
               TORCH_BOX(&matching_similarity_loss_per_img_backward));
}

}  // namespace osc::torch_operators
