// The network of stage 2: embeddings of an object's category and of its instance.
#pragma once

#include <torch/torch.h>

namespace osc::program {

inline constexpr int kEmbeddingWidth = 64;          // channels of `category` and of `instance`
inline constexpr int kCropSide = 16;                // samples a side of an object's crop
inline constexpr double kCropWindow = 28.0 / 36.0;  // the window's side as a share of the image's

// x divided by its norm along the last dimension.
torch::Tensor unit(const torch::Tensor& x);

struct ObjectCrops {
  // [n·S, 4, kCropSide, kCropSide]: the mask, and (image - its median per channel) · mask
  torch::Tensor crops;
  torch::Tensor centroids;  // [n, S, 2] x, y in -1…1
};

// Bilinear samples of a window around the centroid of each mask. images: normalised [n, 3, H, H].
// masks: float32 [n, S, H·H]. mirrored: bool [n] or undefined; where true the crop is mirrored, to
// undo the mirroring of the view.
ObjectCrops object_crops(const torch::Tensor& images, const torch::Tensor& masks,
                         const torch::Tensor& mirrored = {});

// `category`: [n, S, 64] the kind of object, wherever it is. `instance`: [n, S, 64] this very
// object, by its kind, its place and its neighbours.
struct Embedding {
  torch::Tensor category;
  torch::Tensor instance;
  // [n, S, 128]: [2 category/|category|, instance/|instance|] / √5, a unit vector if neither is 0.
  torch::Tensor joined() const;
};

class ObjectEmbeddingImpl : public torch::nn::Module {
 public:
  ObjectEmbeddingImpl();
  // Shapes and meaning of the arguments as object_crops; `category` sees the crops with the
  // mirroring undone, `instance` sees them as they are.
  Embedding forward(const torch::Tensor& images, const torch::Tensor& masks,
                    const torch::Tensor& mirrored = {});

 private:
  torch::nn::Sequential trunk_, category_, instance_;
  torch::nn::Linear relation_self_{nullptr}, relation_other_{nullptr}, relation_offset_{nullptr},
      relation_out_{nullptr};
};
TORCH_MODULE(ObjectEmbedding);

}  // namespace osc::program
