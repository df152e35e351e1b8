// Losses of whole images on libtorch tensors, with their gradients. Features are [2B, C]: rows i
// and i + B are the two views of image i. Dtypes, devices and errors as in
// osc/libtorch/loss_objects.hpp.
#pragma once

#include <torch/types.h>

#include <tuple>

#include "osc/reduction.hpp"

namespace osc::libtorch {

using osc::Reduction;

// (1 - cosine) / 2 of each projection and the features of the other view, which receive no
// gradient. Scalar, or for Reduction::none the vector of length 2B. Source: X. Chen and K. He,
// "Exploring simple Siamese representation learning", CVPR 2021.
torch::Tensor cosine_sim_loss(const torch::Tensor& feats, const torch::Tensor& projs,
                              Reduction reduction = Reduction::mean);

// The loss of a projection is the cross entropy of its other view among the other 2B - 1
// projections, by cosines divided by the temperature (positive). Returns the loss, and the share of
// projections whose cosine with their other view is the greatest. Numbers and cost as
// matching_contrastive_loss with S = 1. Source: T. Chen, S. Kornblith, M. Norouzi and G. Hinton, "A
// simple framework for contrastive learning of visual representations", ICML 2020.
std::tuple<torch::Tensor, torch::Tensor> contrastive_loss(const torch::Tensor& projs,
                                                          double temperature = 1,
                                                          Reduction reduction = Reduction::mean);

// x [..., N, D]: the variance and the covariance term of N samples of D features, each the mean
// over the groups of the leading dimensions. More in osc/variance_covariance_loss.hpp.
std::tuple<torch::Tensor, torch::Tensor> variance_covariance_loss(const torch::Tensor& x);

}  // namespace osc::libtorch
