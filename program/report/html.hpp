// Text and pictures as a page can hold them.
#pragma once

#include <string>
#include <string_view>

#include "data/image.hpp"

namespace osc::program {

// Text for an element or a quoted attribute. Bytes that are not UTF-8, and control characters other
// than tab and newline, become U+FFFD, so that any file name can be shown.
std::string escape_html(const std::string& text);

// RFC 4648, section 4, padded.
std::string base64(std::string_view bytes);

// The image as a PNG inside a data URI.
std::string png_data_uri(const Image& image);

}  // namespace osc::program
