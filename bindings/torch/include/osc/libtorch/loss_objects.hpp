// The losses of matched slots on libtorch tensors, with their gradients.
//
// Slots are [2B, S, C]: rows i and i + B are the two views of image i. Dtypes: float64, float32,
// float16, bfloat16. The last two run in float32, and the loss and the gradient come back in the
// tensor's own dtype; under autocast they run in float32 and the loss is float32, as with PyTorch's
// own cosine losses. CPU tensors; PyTorch's own threads. Bad shapes, values and options are a
// c10::ValueError (an unknown name of a reduction an osc::InvalidArgument), bad dtypes a
// c10::TypeError; all are std::exception.
//
// Source: F. Baldassarre and H. Azizpour, "Towards self-supervised learning of global and
// object-centric representations", 2022 (arXiv 2203.05997).
#pragma once

#include <torch/types.h>

#include <string_view>
#include <tuple>

#include "osc/libtorch/assignment.hpp"
#include "osc/similarity_loss.hpp"

namespace osc::libtorch {

using osc::Reduction;

// f [2B, S, C] before the projection head, never receives a gradient; p, after it, of the same
// shape and dtype. Scalar for mean and sum; for none the vector of length 2BS in the order (view,
// image, slot). The formula, the ties and the policy for non-finite values are those of
// osc/similarity_loss.hpp: an image with a NaN or an infinity has NaN losses and gradients, and
// changes no other image.
//
// f and p are not copied if C is contiguous, except under autocast. The backward pass keeps f, p
// and the matching, which is not computed again; the gradient has the strides of p where p is
// dense. The same bits with any number of threads. Higher derivatives are plain operations of
// libtorch.
torch::Tensor matching_similarity_loss_per_img(const torch::Tensor& f, const torch::Tensor& p,
                                               Reduction reduction = Reduction::mean,
                                               double eps = 1e-10,
                                               NonFinite on_nonfinite = NonFinite::propagate);

inline torch::Tensor matching_similarity_loss_per_img(
    const torch::Tensor& f, const torch::Tensor& p, std::string_view reduction, double eps = 1e-10,
    NonFinite on_nonfinite = NonFinite::propagate) {
  return matching_similarity_loss_per_img(f, p, reduction_from_name(reduction), eps, on_nonfinite);
}

// The loss of a slot is the cross entropy of its match in the other view among the other 2BS - 1
// slots of the batch, by cosines divided by the temperature (positive). Gradients flow through
// every slot, not through the matching. All embeddings equal: log(2BS - 1). The formula, and the
// policy for non-finite values, are those of osc/contrastive_loss.hpp: an image with a NaN or an
// infinity has NaN losses and gradients, and its slots are masked: no candidates of other slots.
//
// No (2BS)^2 matrix: O((BS)^2 C) time, O(BSC) memory. The backward pass keeps the slots, the
// matching and 2BS logarithms. The same bits with any number of threads. Higher
// derivatives build the matrix.
torch::Tensor matching_contrastive_loss(const torch::Tensor& slots, double temperature = 1,
                                        Reduction reduction = Reduction::mean);

// With a matching [B, S], int64, from elsewhere: each row a permutation of 0 … S-1, or all -1 as
// match_slots gives it for an image that is not finite.
torch::Tensor matching_contrastive_loss(const torch::Tensor& slots, const torch::Tensor& matching,
                                        double temperature = 1,
                                        Reduction reduction = Reduction::mean);

// The same among the 2S slots of each image. All embeddings equal: log(2S - 1).
torch::Tensor matching_contrastive_loss_per_img(const torch::Tensor& slots, double temperature = 1,
                                                Reduction reduction = Reduction::mean);

// f_large [B, Al, L, C], slots of large crops, which receive no gradient; p_small [B, As, S, C], of
// small crops of the same images. A slot of a small crop counts where it and its nearest slot of
// the large crop are each other's nearest, by their cosine. The loss of a pair of crops is the mean
// of (1 - cosine) / 2 over the slots that count, NaN if none counts. Returns the loss (a scalar
// over the pairs that are not NaN, or [B, Al, As] for none) and the share of slots that count. More
// in osc/small_to_large_loss.hpp.
std::tuple<torch::Tensor, torch::Tensor> matching_similarity_loss_small_to_large(
    const torch::Tensor& f_large, const torch::Tensor& p_small,
    Reduction reduction = Reduction::mean);

}  // namespace osc::libtorch
