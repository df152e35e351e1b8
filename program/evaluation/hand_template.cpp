#include "evaluation/hand_template.hpp"

#include <cmath>

namespace osc::program {

namespace {

constexpr double kReferenceSide = 36;  // the template has one sample a pixel in images of this side

}  // namespace

std::vector<float> hand_template(std::span<const float> image,
                                 std::span<const std::uint8_t> slot_of_pixel, int side, int slot,
                                 double place_weight) {
  std::vector<float> result(kTemplateSize, 0.0F);
  const std::size_t plane = static_cast<std::size_t>(side) * side;
  double count = 0, sum_y = 0, sum_x = 0, sum_colour[3] = {};
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const std::size_t pixel = static_cast<std::size_t>(y) * side + x;
      if (slot_of_pixel[pixel] != slot) continue;
      ++count;
      sum_y += y;
      sum_x += x;
      for (std::size_t channel = 0; channel < 3; ++channel)
        sum_colour[channel] += static_cast<double>(image[channel * plane + pixel]);
    }
  }
  if (count == 0) return result;

  const double centre_y = std::nearbyint(sum_y / count);
  const double centre_x = std::nearbyint(sum_x / count);
  const auto offset = [&](int sample) {
    return std::nearbyint((sample - kTemplateSide / 2) * side / kReferenceSide);
  };
  double inside = 0;
  for (int row = 0; row < kTemplateSide; ++row) {
    for (int column = 0; column < kTemplateSide; ++column) {
      const int y = static_cast<int>(centre_y + offset(row));
      const int x = static_cast<int>(centre_x + offset(column));
      if (y < 0 || y >= side || x < 0 || x >= side ||
          slot_of_pixel[static_cast<std::size_t>(y) * side + x] != slot)
        continue;
      result[static_cast<std::size_t>(row) * kTemplateSide + column] = 1;
      ++inside;
    }
  }
  constexpr std::size_t mask_size = std::size_t{kTemplateSide} * kTemplateSide;
  if (inside > 0) {
    for (std::size_t sample = 0; sample < mask_size; ++sample)
      result[sample] /= static_cast<float>(std::sqrt(inside));
  }
  for (std::size_t channel = 0; channel < 3; ++channel)
    result[mask_size + channel] = static_cast<float>(sum_colour[channel] / count);
  result[mask_size + 3] = static_cast<float>(place_weight * sum_y / count / side);
  result[mask_size + 4] = static_cast<float>(place_weight * sum_x / count / side);
  return result;
}

}  // namespace osc::program
