// PNG through libpng. decode_image and decode_mask (image.hpp) are the way in; these take bytes
// that begin with PNG's signature, and that outlive the rows.
#pragma once

#include <memory>
#include <string_view>

#include "data/rows.hpp"

namespace osc::program {

bool is_png(std::string_view bytes);
std::unique_ptr<Rows> png_image_rows(std::string_view bytes);
std::unique_ptr<Rows> png_mask_rows(std::string_view bytes);

}  // namespace osc::program
