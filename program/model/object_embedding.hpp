// Stage 2's network: what an object is, and which one it is among all.
#pragma once

#include <torch/torch.h>

namespace osc::program {

inline constexpr int kEmbeddingWidth = 64;          // channels of `what` and of `which`
inline constexpr int kCropSide = 16;                // samples a side of an object's crop
inline constexpr double kCropWindow = 28.0 / 36.0;  // the window's side as a share of the image's

struct ObjectCrops {
  torch::Tensor crops;  // [n·S, 4, kCropSide, kCropSide]: the mask, and (image - its per-channel
                        // median) · mask
  torch::Tensor centroids;  // [n, S, 2] x, y in -1…1
};

// A bilinear sample of a window around each mask's centroid. images: normalised [n, 3, H, H];
// masks: float32 [n, S, H·H]; mirrored: bool [n], or undefined: where set, the crop is taken
// mirrored, which undoes a known mirroring.
ObjectCrops object_crops(const torch::Tensor& images, const torch::Tensor& masks,
                         const torch::Tensor& mirrored = {});

// `what`: [n, S, 64] the kind of object, wherever it is. `which`: [n, S, 64] this very object, by
// its kind, its place and its neighbours.
struct Embedding {
  torch::Tensor what;
  torch::Tensor which;
  // [n, S, 128], of unit length where both parts are: [2 what/|what|, which/|which|] / √5.
  torch::Tensor joined() const;
};

class ObjectEmbeddingImpl : public torch::nn::Module {
 public:
  ObjectEmbeddingImpl();
  // Shapes and meaning of the arguments as object_crops; `what` sees the crops with the mirroring
  // undone, `which` sees them as they are.
  Embedding forward(const torch::Tensor& images, const torch::Tensor& masks,
                    const torch::Tensor& mirrored = {});

 private:
  torch::nn::Sequential trunk_, what_, which_;
  torch::nn::Linear relation_self_{nullptr}, relation_other_{nullptr}, relation_offset_{nullptr},
      relation_out_{nullptr};
};
TORCH_MODULE(ObjectEmbedding);

}  // namespace osc::program
