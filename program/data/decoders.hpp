// Decoders of image files, which give row after row. image.hpp is the way in.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "data/image.hpp"

namespace osc::program {

// A picture as its rows from the top, so that resizing never holds the whole picture.
class Rows {
 public:
  Rows() = default;
  virtual ~Rows() = default;
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;

  virtual int width() const = 0;
  virtual int height() const = 0;
  // The next row: three bytes a pixel of an image, one of a mask. Called `height` times; the last
  // call reads the file to its end. Throws UserError "reason".
  virtual void read(std::uint8_t* row) = 0;
};

// PNG through libpng, JPEG through libjpeg-turbo. The bytes must begin with the format's signature
// and outlive the rows. Memory is taken only after check_image_size.
bool is_png(std::string_view bytes);
bool is_jpeg(std::string_view bytes);
std::unique_ptr<Rows> png_image_rows(std::string_view bytes);
std::unique_ptr<Rows> png_mask_rows(std::string_view bytes);
std::unique_ptr<Rows> jpeg_rows(std::string_view bytes);

// Throws UserError "reason" where the sides are zero or exceed the limits of image.hpp. whole: the
// kind of a file whose rows come only when all has been decoded, "an interlaced PNG"; else null.
void check_image_size(std::uint32_t width, std::uint32_t height, const char* whole);

// resize() of image.hpp, row by row: two rows are kept at a time. `rows` are read to their end.
// Throw what they throw, and std::invalid_argument where a side of the result is not positive.
Image resize_image(Rows& rows, int width, int height);
Mask resize_mask(Rows& rows, int width, int height);

}  // namespace osc::program
