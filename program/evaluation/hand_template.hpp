// What a person would write to recognise an object, the baseline of a learned embedding: its mask
// moved to the middle, its mean colour and, if wanted, its place.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace osc::program {

inline constexpr int kTemplateSide =
    24;  // samples a side of the centred mask, spaced so that two thirds of the image fit
inline constexpr int kTemplateSize =
    kTemplateSide * kTemplateSide +
    5;  // mask of unit length, mean red, green, blue, weighted y and x
inline constexpr double kTemplatePlaceWeight =
    3;  // of the centroid, in image sides, where the place counts

// image: [3, side, side] in about 0…1; slot_of_pixel: [side, side]. Result kTemplateSize numbers,
// compared by Euclidean distance; zeros for an empty region.
std::vector<float> hand_template(std::span<const float> image,
                                 std::span<const std::uint8_t> slot_of_pixel, int side, int slot,
                                 double place_weight = 0);

}  // namespace osc::program
