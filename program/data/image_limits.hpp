// What a decoder asks before it takes memory for an image. image.hpp has the limits.
#pragma once

#include <cstdint>

namespace osc::program {

// Throws UserError "reason" where the sides are zero or exceed what may be read.
void check_image_size(std::uint32_t width, std::uint32_t height);

// The same of a file whose rows cannot be had one by one. `kind`: "an interlaced PNG".
void check_whole_image_size(const char* kind, std::uint32_t width, std::uint32_t height);

}  // namespace osc::program
