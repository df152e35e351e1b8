// What a decoder asks before it takes memory for an image.
#pragma once

#include <cstdint>

namespace osc::program {

// Throws UserError "reason" where the sides are zero or exceed what image.hpp allows.
void check_image_size(std::uint32_t width, std::uint32_t height);

}  // namespace osc::program
