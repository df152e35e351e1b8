#include <cstddef>
#include <cstdint>
#include <cstdio>  // jpeglib.h needs it first

#include <jpeglib.h>

#include <jerror.h>

#include <array>
#include <csetjmp>
#include <cstring>
#include <string>
#include <vector>

#include "data/decoders.hpp"
#include "support/error.hpp"

// libjpeg reports an error by longjmp here, which must not pass a C++ object with a destructor.
// Hence everything that owns memory lives in JpegReadHandle or the callers, and the functions that
// call setjmp, and all that libjpeg calls back, hold plain values only.
namespace osc::program {
namespace {

// A progressive file may repeat scans over a large image without end. Encoders write about ten.
constexpr int kMostScans = 100;

struct ErrorHandler {
  jpeg_error_mgr base;  // first, so that libjpeg's pointer to it is a pointer to this
  std::jmp_buf jump;
  std::array<char, JMSG_LENGTH_MAX> text;
};

ErrorHandler& handler_of(j_common_ptr jpeg) { return *reinterpret_cast<ErrorHandler*>(jpeg->err); }

[[noreturn]] void on_error(j_common_ptr jpeg) {
  ErrorHandler& handler = handler_of(jpeg);
  handler.base.format_message(jpeg, handler.text.data());
  std::longjmp(handler.jump, 1);
}

// After these warnings libjpeg would fill the rest of the picture with grey.
bool means_lost_pixels(int message) {
  switch (message) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_BOGUS_PROGRESSION: return true;
    default: return false;
  }
}

void on_message(j_common_ptr jpeg, int level) {
  if (level < 0 && means_lost_pixels(jpeg->err->msg_code)) on_error(jpeg);
}

void on_output(j_common_ptr) {}

void on_progress(j_common_ptr jpeg) {
  if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number > kMostScans) {
    ErrorHandler& handler = handler_of(jpeg);
    std::strcpy(handler.text.data(), "too many scans");
    std::longjmp(handler.jump, 1);
  }
}

struct JpegReadHandle {
  ErrorHandler errors{};
  jpeg_progress_mgr progress{};
  jpeg_decompress_struct jpeg{};

  JpegReadHandle() {
    jpeg.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = on_error;
    errors.base.emit_message = on_message;
    errors.base.output_message = on_output;
    progress.progress_monitor = on_progress;
  }
  ~JpegReadHandle() { jpeg_destroy_decompress(&jpeg); }
  JpegReadHandle(const JpegReadHandle&) = delete;
  JpegReadHandle& operator=(const JpegReadHandle&) = delete;
};

// Four bytes a pixel become three: each colour is the product of its ink and the black.
void cmyk_to_rgb(const std::uint8_t* cmyk, std::uint8_t* rgb, std::size_t width, bool inverted) {
  const unsigned flip = inverted ? 0 : 255;
  for (std::size_t x = 0; x < width; ++x) {
    const unsigned not_black = cmyk[4 * x + 3] ^ flip;
    for (std::size_t c = 0; c < 3; ++c)
      rgb[3 * x + c] =
          static_cast<std::uint8_t>(((cmyk[4 * x + c] ^ flip) * not_black + 127) / 255);
  }
}

class JpegReader : public Rows {
 public:
  explicit JpegReader(std::string_view bytes) {
    if (!read_header(bytes)) fail();
    // libjpeg keeps the coefficients of all scans until the last one.
    check_image_size(jpeg_.image_width, jpeg_.image_height,
                     jpeg_has_multiple_scans(&jpeg_) ? "a progressive JPEG" : nullptr);
    // With Huffman codes, a block of 8 x 8 pixels takes at least a bit: a short file that claims
    // many pixels is refused before memory is taken.
    constexpr std::size_t kMostPixelsPerByte = 8 * 64;
    if (!jpeg_.arith_code &&
        std::size_t{jpeg_.image_width} * jpeg_.image_height / kMostPixelsPerByte > bytes.size()) {
      throw UserError("corrupt JPEG: the file is truncated");
    }
    if (is_cmyk()) inks_.resize(std::size_t{jpeg_.image_width} * 4);
  }

  int width() const override { return static_cast<int>(jpeg_.image_width); }
  int height() const override { return static_cast<int>(jpeg_.image_height); }

  void read(std::uint8_t* row) override {
    if (!read_row(is_cmyk() ? inks_.data() : row)) fail();
    // Adobe's programs, the main source of CMYK files, store each ink inverted.
    if (is_cmyk()) cmyk_to_rgb(inks_.data(), row, jpeg_.image_width, jpeg_.saw_Adobe_marker != 0);
  }

 private:
  bool is_cmyk() const {
    return jpeg_.jpeg_color_space == JCS_CMYK || jpeg_.jpeg_color_space == JCS_YCCK;
  }

  bool read_header(std::string_view bytes) {
    if (setjmp(handle_.errors.jump)) return false;
    jpeg_create_decompress(&jpeg_);
    jpeg_.progress = &handle_.progress;
    jpeg_mem_src(&jpeg_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&jpeg_, TRUE);
    return true;
  }

  bool read_row(std::uint8_t* row) {
    if (setjmp(handle_.errors.jump)) return false;
    if (!started_) {
      jpeg_.out_color_space = is_cmyk() ? JCS_CMYK : JCS_RGB;
      jpeg_start_decompress(&jpeg_);
      started_ = true;
    }
    jpeg_read_scanlines(&jpeg_, &row, 1);
    if (jpeg_.output_scanline == jpeg_.output_height) jpeg_finish_decompress(&jpeg_);
    return true;
  }

  [[noreturn]] void fail() const {
    throw UserError("corrupt JPEG: " + std::string(handle_.errors.text.data()));
  }

  JpegReadHandle handle_;
  jpeg_decompress_struct& jpeg_ = handle_.jpeg;
  bool started_ = false;
  std::vector<std::uint8_t> inks_;  // a row of CMYK
};

}  // namespace

bool is_jpeg(std::string_view bytes) { return bytes.starts_with("\xff\xd8\xff"); }

std::unique_ptr<Rows> jpeg_rows(std::string_view bytes) {
  return std::make_unique<JpegReader>(bytes);
}

}  // namespace osc::program
