// A picture as its rows, from the top: a decoder gives one after the other, so that what needs a
// picture at another size never holds it at its own.
#pragma once

#include <cstdint>

namespace osc::program {

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

}  // namespace osc::program
