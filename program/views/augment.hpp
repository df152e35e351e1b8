// Random views of images: what the model must be indifferent to.
#pragma once

#include <torch/torch.h>

namespace osc::program {

struct ViewStrength {
  double crop_area =
      1;  // a view keeps a random share crop_area … 1 of the image's area, at a random place
  bool mirror = false;       // each view mirrored left to right with probability 1/2
  double gain = 0.25;        // each colour channel times 1 ± gain
  double brightness = 0.30;  // all channels times 1 ± brightness
  double contrast = 0.30;    // distance from the image's mean times 1 ± contrast
  double shift = 0.10;       // all channels plus ± shift
  double noise = 0.04;       // standard deviation of Gaussian noise a pixel
};

// The views of the recipe: weak (stage 1), strong (stage 2).
inline constexpr ViewStrength kWeakView{.crop_area = 0.85, .mirror = false};
inline constexpr ViewStrength kStrongView{.crop_area = 0.60, .mirror = true};

struct Views {
  torch::Tensor images;  // float32 [n, 3, H, H], about 0…1, not clamped
  torch::Tensor
      masks;  // int64 [n, H, H], cropped and mirrored alike; undefined where none were given
  torch::Tensor mirrored;  // bool [n]
};

// One random view of each image. images: [n, 3, H, H] in 0…1; masks: int64 [n, H, H] or undefined.
Views random_views(const torch::Tensor& images, const ViewStrength& strength,
                   torch::Generator generator, const torch::Tensor& masks = {});

}  // namespace osc::program
