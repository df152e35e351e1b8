// resize() (image.hpp) of a picture that comes row by row.
#pragma once

#include "data/image.hpp"
#include "data/rows.hpp"

namespace osc::program {

// Read `rows` to their end and keep two of them at a time. Throw what they throw, and
// std::invalid_argument where a side of the result is not positive.
Image resize_image(Rows& rows, int width, int height);
Mask resize_mask(Rows& rows, int width, int height);

}  // namespace osc::program
