// JPEG through libjpeg-turbo. decode_image (image.hpp) is the way in; this takes bytes that begin
// with JPEG's signature, and that outlive the rows.
#pragma once

#include <memory>
#include <string_view>

#include "data/rows.hpp"

namespace osc::program {

bool is_jpeg(std::string_view bytes);
std::unique_ptr<Rows> jpeg_rows(std::string_view bytes);

}  // namespace osc::program
