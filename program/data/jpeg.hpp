// JPEG through libjpeg-turbo. decode_image (image.hpp) is the way in; decode_jpeg takes bytes that
// begin with JPEG's signature.
#pragma once

#include <string_view>

#include "data/image.hpp"

namespace osc::program {

bool is_jpeg(std::string_view bytes);
Image decode_jpeg(std::string_view bytes);

}  // namespace osc::program
