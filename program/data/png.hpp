// PNG through libpng. decode_image and decode_mask (image.hpp) are the way in; these take bytes
// that begin with PNG's signature.
#pragma once

#include <string_view>

#include "data/image.hpp"

namespace osc::program {

bool is_png(std::string_view bytes);
Image decode_png_image(std::string_view bytes);
Mask decode_png_mask(std::string_view bytes);

}  // namespace osc::program
