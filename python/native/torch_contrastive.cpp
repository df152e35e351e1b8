// torch.ops.osc.matching_contrastive_loss on CPU tensors, of one process and of several, and its
// gradient.
#include <tuple>

#include "osc/contrastive_loss.hpp"
#include "torch_tensors.hpp"

namespace osc::torch_operators {
namespace {

// Sizes of one rank's slots [2B, S, C], the last three dimensions of `slots`.
struct Sizes {
  std::int64_t images, slots, channels;

  explicit Sizes(const Tensor& tensor)
      : images(tensor.size(tensor.dim() - 3) / 2),
        slots(tensor.size(tensor.dim() - 2)),
        channels(tensor.size(tensor.dim() - 1)) {}
  std::int64_t losses() const { return 2 * images * slots; }
};

template <typename T>
MatchingContrastiveOptions contrastive_options(const Sizes& sizes, std::int64_t ranks,
                                               bool within_images, double temperature,
                                               std::int64_t reduction, double eps,
                                               bool raise_nonfinite) {
  Executor& executor = host_executor();
  const Candidates candidates = within_images ? Candidates::image : Candidates::batch;
  const std::size_t bytes = matching_contrastive_workspace<T>(
      sizes.images, sizes.slots, sizes.channels, ranks, candidates, executor.concurrency());
  return {.candidates = candidates,
          .temperature = temperature,
          .reduction = reduction_from_code(reduction),
          .eps = eps,
          .on_nonfinite = raise_nonfinite ? NonFinite::raise : NonFinite::propagate,
          .executor = &executor,
          .workspace = kept_workspace(bytes)};
}

// The results of a call, and where the kernel writes them.
template <typename T>
class Results {
 public:
  Results(const Sizes& sizes, Reduction reduction, std::int32_t dtype)
      : loss_(empty_loss(reduction, sizes.losses(), dtype)),
        matching_(empty_matching(sizes.images, sizes.slots)),
        log_sums_(empty_strided<1>({sizes.losses()}, {1}, aoti_torch_dtype_float64())),
        accuracy_(empty_strided<0>({}, {}, aoti_torch_dtype_float32())) {}

  MatchingContrastiveResults<T> written() {
    return {.loss = mutable_data<T>(loss_),
            .matching = mutable_data<std::int64_t>(matching_),
            .log_sums = mutable_data<double>(log_sums_),
            .accuracy = &accuracy_in_double_};
  }

  std::tuple<Tensor, Tensor, Tensor, Tensor> tensors() {
    *mutable_data<float>(accuracy_) = static_cast<float>(accuracy_in_double_);
    return {loss_, matching_, log_sums_, accuracy_};
  }

 private:
  Tensor loss_, matching_, log_sums_, accuracy_;
  double accuracy_in_double_ = 0;
};

void check_log_sums(const Tensor& log_sums, std::int64_t count) {
  if (log_sums.scalar_type() != ScalarType::Double || log_sums.numel() != count) {
    refuse("log_sums has shape " + shape_of(log_sums) + "; wanted float64 of " +
           std::to_string(count) + " elements");
  }
}

std::tuple<Tensor, Tensor, Tensor, Tensor> matching_contrastive_loss(
    const Tensor& slots, bool within_images, double temperature, std::int64_t reduction, double eps,
    bool raise_nonfinite) {
  check_slots("slots", slots);
  return with_element_type("slots", slots, [&](auto element) {
    using T = decltype(element);
    const Sizes sizes(slots);
    const auto options = contrastive_options<T>(sizes, 1, within_images, temperature, reduction,
                                                eps, raise_nonfinite);
    const Tensor readable_slots = readable(slots);
    Results<T> results(sizes, options.reduction, dtype_of(slots));
    osc::matching_contrastive_loss(view<T>(readable_slots), options, results.written());
    return results.tensors();
  });
}

Tensor matching_contrastive_loss_backward(const Tensor& grad_loss, const Tensor& slots,
                                          const Tensor& matching, const Tensor& log_sums,
                                          bool within_images, double temperature,
                                          std::int64_t reduction, double eps) {
  check_slots("slots", slots);
  const Sizes sizes(slots);
  check_matching(matching, sizes.images, sizes.slots);
  check_log_sums(log_sums, sizes.losses());
  return with_element_type("slots", slots, [&](auto element) {
    using T = decltype(element);
    const auto options =
        contrastive_options<T>(sizes, 1, within_images, temperature, reduction, eps, false);
    check_incoming(grad_loss, "slots", slots, options.reduction, sizes.losses());
    const Tensor readable_slots = readable(slots), contiguous_matching = made_contiguous(matching),
                 sums = made_contiguous(log_sums), incoming = made_contiguous(grad_loss);
    const Tensor gradient = empty_gradient(slots);
    osc::matching_contrastive_loss_backward(
        view<T>(readable_slots), const_data<std::int64_t>(contiguous_matching),
        const_data<double>(sums), options,
        {view<T>(mutable_data<T>(gradient), gradient), const_data<T>(incoming)});
    return gradient;
  });
}

void check_gathered(const Tensor& slots, std::int64_t rank) {
  if (slots.dim() != 4 || slots.size(1) % 2 != 0 || rank < 0 || rank >= slots.size(0)) {
    refuse("slots has shape " + shape_of(slots) + "; wanted [ranks, 2B, S, C] of more ranks than " +
           std::to_string(rank));
  }
}

template <typename T>
GatheredSlots<T> gathered_view(const Tensor& slots, std::int64_t rank) {
  const Sizes sizes(slots);
  return {const_data<T>(slots), slots.size(0), rank, sizes.images, sizes.slots, sizes.channels};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> matching_contrastive_loss_gathered(
    const Tensor& slots, std::int64_t rank, double temperature, std::int64_t reduction, double eps,
    bool raise_nonfinite) {
  check_gathered(slots, rank);
  return with_element_type("slots", slots, [&](auto element) {
    using T = decltype(element);
    const Sizes sizes(slots);
    const auto options = contrastive_options<T>(sizes, slots.size(0), false, temperature, reduction,
                                                eps, raise_nonfinite);
    const Tensor contiguous = made_contiguous(slots);
    Results<T> results(sizes, options.reduction, dtype_of(slots));
    osc::matching_contrastive_loss(gathered_view<T>(contiguous, rank), options, results.written());
    return results.tensors();
  });
}

Tensor matching_contrastive_loss_gathered_backward(const Tensor& grad_loss, const Tensor& slots,
                                                   std::int64_t rank, const Tensor& matching,
                                                   const Tensor& log_sums, double temperature,
                                                   std::int64_t reduction, double eps) {
  check_gathered(slots, rank);
  const Sizes sizes(slots);
  const std::int64_t ranks = slots.size(0);
  check_matching(matching, sizes.images, sizes.slots);
  check_log_sums(log_sums, ranks * sizes.losses());
  return with_element_type("slots", slots, [&](auto element) {
    using T = decltype(element);
    const auto options =
        contrastive_options<T>(sizes, ranks, false, temperature, reduction, eps, false);
    check_incoming(grad_loss, "slots", slots, Reduction::none,
                   options.reduction == Reduction::none ? ranks * sizes.losses() : ranks);
    const Tensor contiguous = made_contiguous(slots),
                 contiguous_matching = made_contiguous(matching), sums = made_contiguous(log_sums),
                 incoming = made_contiguous(grad_loss);
    const std::array<std::int64_t, 3> shape{2 * sizes.images, sizes.slots, sizes.channels};
    const Tensor gradient = empty_contiguous<3>(shape, dtype_of(slots));
    osc::matching_contrastive_loss_backward(
        gathered_view<T>(contiguous, rank), const_data<std::int64_t>(contiguous_matching),
        const_data<double>(sums), options,
        {view_major_slots(mutable_data<T>(gradient), shape), const_data<T>(incoming)});
    return gradient;
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(osc, library) {
  library.def(
      "matching_contrastive_loss(Tensor slots, bool within_images, float temperature, int "
      "reduction, float eps, bool raise_nonfinite)"
      " -> (Tensor loss, Tensor matching, Tensor log_sums, Tensor accuracy)");
  library.def(
      "matching_contrastive_loss_backward(Tensor grad_loss, Tensor slots, Tensor matching, Tensor "
      "log_sums, bool within_images, float temperature, int reduction, float eps)"
      " -> Tensor");
  library.def(
      "matching_contrastive_loss_gathered(Tensor slots, int rank, float temperature, int "
      "reduction, float eps, bool raise_nonfinite)"
      " -> (Tensor loss, Tensor matching, Tensor log_sums, Tensor accuracy)");
  library.def(
      "matching_contrastive_loss_gathered_backward(Tensor grad_loss, Tensor slots, int rank, "
      "Tensor matching, Tensor log_sums, float temperature, int reduction, float eps)"
      " -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(osc, CPU, library) {
  library.impl("matching_contrastive_loss", TORCH_BOX(&matching_contrastive_loss));
  library.impl("matching_contrastive_loss_backward",
               TORCH_BOX(&matching_contrastive_loss_backward));
  library.impl("matching_contrastive_loss_gathered",
               TORCH_BOX(&matching_contrastive_loss_gathered));
  library.impl("matching_contrastive_loss_gathered_backward",
               TORCH_BOX(&matching_contrastive_loss_gathered_backward));
}

}  // namespace osc::torch_operators
