#include <png.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "data/decoders.hpp"
#include "data/image.hpp"
#include "support/error.hpp"

// libpng reports an error by longjmp, which must not pass a C++ object with a destructor. Hence the
// shape of this file: everything that owns memory lives in the handle, PngReader or its
// callers, and the functions that call setjmp, and all that libpng calls back, hold plain
// values only.
namespace osc::program {
namespace {

constexpr const char* kTruncated = "the file is truncated";
constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);

// The first error, kept outside the heap because the callback that fills it must not throw.
struct ErrorText {
  std::array<char, 200> text{};

  void set(const char* message) {
    const std::size_t length = std::min(std::strlen(message), text.size() - 1);
    std::memcpy(text.data(), message, length);
    text[length] = '\0';
  }
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  static_cast<ErrorText*>(png_get_error_ptr(png))->set(message);
  png_longjmp(png, 1);
}

// Warnings concern colour profiles and text, on which the pixels do not depend.
void on_warning(png_structp, png_const_charp) {}

struct PngReadHandle {
  png_structp png = nullptr;
  png_infop info = nullptr;

  explicit PngReadHandle(ErrorText& error)
      : png(png_create_read_struct(PNG_LIBPNG_VER_STRING, &error, on_error, on_warning)) {
    if (png != nullptr) info = png_create_info_struct(png);
    if (info == nullptr) {
      png_destroy_read_struct(&png, nullptr, nullptr);
      throw std::bad_alloc();
    }
  }
  ~PngReadHandle() { png_destroy_read_struct(&png, &info, nullptr); }
  PngReadHandle(const PngReadHandle&) = delete;
  PngReadHandle& operator=(const PngReadHandle&) = delete;
};

// Four bytes a pixel become three, times alpha / 255 and rounded.
void blend_onto_black(const std::uint8_t* rgba, std::uint8_t* rgb, std::size_t width) {
  for (std::size_t x = 0; x < width; ++x) {
    const unsigned alpha = rgba[4 * x + 3];
    for (std::size_t c = 0; c < 3; ++c)
      rgb[3 * x + c] = static_cast<std::uint8_t>((rgba[4 * x + c] * alpha + 127) / 255);
  }
}

enum class PngContent { colours, indices };

class PngReader : public Rows {
 public:
  PngReader(std::string_view bytes, PngContent content) : rest_(bytes), handle_(error_) {
    if (!read_header()) fail();
    width_ = png_get_image_width(handle_.png, handle_.info);
    height_ = png_get_image_height(handle_.png, handle_.info);
    const bool interlaced = png_get_interlace_type(handle_.png, handle_.info) != PNG_INTERLACE_NONE;
    check_image_size(width_, height_, interlaced ? "an interlaced PNG" : nullptr);
    // Deflate packs at most 1032 bytes into one: a short file that claims many pixels is refused
    // before memory is taken.
    constexpr std::size_t kMostExpansion = 1032;
    if (png_get_rowbytes(handle_.png, handle_.info) * height_ / kMostExpansion > bytes.size()) {
      error_.set(kTruncated);
      fail();
    }
    if (content == PngContent::indices) check_is_mask();
    if (!set_transforms(content)) fail();
    channels_ = png_get_channels(handle_.png, handle_.info);
    const bool fits =
        content == PngContent::indices ? channels_ == 1 : channels_ == 3 || channels_ == 4;
    if (!fits || png_get_rowbytes(handle_.png, handle_.info) != stride())
      throw std::logic_error("PNG rows are not as wide as was asked for");
    if (interlaced) {
      read_whole();
    } else if (channels_ == 4) {
      with_alpha_.resize(stride());
    }
  }

  int width() const override { return static_cast<int>(width_); }
  int height() const override { return static_cast<int>(height_); }

  void read(std::uint8_t* row) override {
    std::uint8_t* raw = channels_ == 4 ? with_alpha_.data() : row;
    if (!whole_.empty()) raw = whole_[next_];
    if (whole_.empty() && !read_row(raw, next_ + 1 == height_)) fail();
    ++next_;
    if (channels_ == 4) {
      blend_onto_black(raw, row, width_);
    } else if (raw != row) {
      std::memcpy(row, raw, stride());
    }
  }

 private:
  static void on_read(png_structp png, png_bytep to, std::size_t count) {
    auto& rest = static_cast<PngReader*>(png_get_io_ptr(png))->rest_;
    if (count > rest.size()) png_error(png, kTruncated);
    std::memcpy(to, rest.data(), count);
    rest.remove_prefix(count);
  }

  std::size_t stride() const { return std::size_t{width_} * static_cast<std::size_t>(channels_); }

  void check_is_mask() const {
    const int type = png_get_color_type(handle_.png, handle_.info);
    if ((type != PNG_COLOR_TYPE_GRAY && type != PNG_COLOR_TYPE_PALETTE) ||
        png_get_bit_depth(handle_.png, handle_.info) > 8) {
      throw UserError("is not a mask: wanted a grey or palette PNG of at most 8 bits");
    }
  }

  // The passes of an interlaced file each fill pixels all over the image.
  void read_whole() {
    pixels_.resize(stride() * height_);
    whole_.resize(height_);
    for (std::size_t y = 0; y < whole_.size(); ++y) whole_[y] = pixels_.data() + y * stride();
    if (!read_passes()) fail();
  }

  bool read_header() {
    if (setjmp(png_jmpbuf(handle_.png))) return false;
    png_set_read_fn(handle_.png, this, on_read);
    png_set_user_limits(handle_.png, PNG_UINT_31_MAX,
                        PNG_UINT_31_MAX);  // check_image_size says it more clearly
    png_set_keep_unknown_chunks(handle_.png, PNG_HANDLE_CHUNK_NEVER, nullptr,
                                -1);  // profiles, texts and times are not even parsed
    png_read_info(handle_.png, handle_.info);
    return true;
  }

  // Colours: everything to 8-bit RGB, with alpha where the file has transparency. Indices: grey
  // values and those of a palette as they are, one byte each.
  bool set_transforms(PngContent content) {
    if (setjmp(png_jmpbuf(handle_.png))) return false;
    if (content == PngContent::colours) {
      png_set_expand(handle_.png);
      png_set_scale_16(handle_.png);
      png_set_gray_to_rgb(handle_.png);
    } else {
      png_set_packing(handle_.png);
    }
    png_set_interlace_handling(handle_.png);
    png_read_update_info(handle_.png, handle_.info);
    return true;
  }

  bool read_row(std::uint8_t* row, bool last) {
    if (setjmp(png_jmpbuf(handle_.png))) return false;
    png_read_row(handle_.png, row, nullptr);
    if (last) png_read_end(handle_.png, nullptr);
    return true;
  }

  bool read_passes() {
    if (setjmp(png_jmpbuf(handle_.png))) return false;
    png_read_image(handle_.png, whole_.data());
    png_read_end(handle_.png, nullptr);
    return true;
  }

  [[noreturn]] void fail() const {
    throw UserError("corrupt PNG: " + std::string(error_.text.data()));
  }

  ErrorText error_;
  std::string_view rest_;
  PngReadHandle handle_;
  std::uint32_t width_ = 0, height_ = 0, next_ = 0;
  int channels_ = 0;
  std::vector<std::uint8_t> with_alpha_;  // one row
  std::vector<std::uint8_t> pixels_;      // all, of an interlaced file
  std::vector<png_bytep> whole_;          // its rows in pixels_
};

std::string encode(int width, int height, const std::vector<std::uint8_t>& pixels,
                   std::uint32_t channels) {
  if (width <= 0 || height <= 0 ||
      static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * channels !=
          pixels.size())
    throw std::invalid_argument("encode_png: the sides do not fit the number of pixels");
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  std::string bytes(PNG_IMAGE_PNG_SIZE_MAX(image), '\0');
  png_alloc_size_t size = bytes.size();
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data(), 0, nullptr) == 0)
    throw std::runtime_error(std::string("cannot encode a PNG: ") + image.message);
  bytes.resize(size);
  return bytes;
}

}  // namespace

bool is_png(std::string_view bytes) { return bytes.starts_with(kSignature); }

std::unique_ptr<Rows> png_image_rows(std::string_view bytes) {
  return std::make_unique<PngReader>(bytes, PngContent::colours);
}

std::unique_ptr<Rows> png_mask_rows(std::string_view bytes) {
  return std::make_unique<PngReader>(bytes, PngContent::indices);
}

std::string encode_png(const Image& image) {
  return encode(image.width, image.height, image.pixels, 3);
}

std::string encode_png(const Mask& mask) { return encode(mask.width, mask.height, mask.values, 1); }

}  // namespace osc::program
