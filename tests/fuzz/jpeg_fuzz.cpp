// JPEG files. What is read has the size it claims, and is the same where it is resized while it is
// read.
#include <cstdio>  // jpeglib.h needs it first

#include <jpeglib.h>

#include <cstdlib>
#include <vector>

#include "data/decoders.hpp"
#include "data/image.hpp"
#include "expect.hpp"
#include "samples.hpp"

namespace osc::program {
namespace {

// Grey, colour and CMYK; baseline, progressive and arithmetic; with and without restarts and an
// Adobe marker.
std::string sample(Random& random) {
  constexpr J_COLOR_SPACE kSpaces[] = {JCS_GRAYSCALE, JCS_RGB, JCS_CMYK};
  const auto space = static_cast<std::size_t>(pick(random, 0, 2));
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &memory, &size);
  jpeg.image_width = static_cast<JDIMENSION>(pick(random, 1, 20));
  jpeg.image_height = static_cast<JDIMENSION>(pick(random, 1, 20));
  jpeg.in_color_space = kSpaces[space];
  jpeg.input_components = space == 0 ? 1 : space == 1 ? 3 : 4;
  jpeg_set_defaults(&jpeg);
  if (space == 2 && pick(random, 0, 1) == 1) jpeg_set_colorspace(&jpeg, JCS_YCCK);
  jpeg_set_quality(&jpeg, pick(random, 1, 100), TRUE);
  if (pick(random, 0, 1) == 1) jpeg_simple_progression(&jpeg);
  if (pick(random, 0, 2) == 0) jpeg.arith_code = TRUE;
  jpeg.restart_interval = static_cast<unsigned>(pick(random, 0, 2));
  jpeg_start_compress(&jpeg, TRUE);
  std::vector<JSAMPLE> row(jpeg.image_width * static_cast<std::size_t>(jpeg.input_components));
  while (jpeg.next_scanline < jpeg.image_height) {
    for (JSAMPLE& sample : row) sample = static_cast<JSAMPLE>(pick(random, 0, 255));
    JSAMPROW pointer = row.data();
    jpeg_write_scanlines(&jpeg, &pointer, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  const std::string bytes(reinterpret_cast<const char*>(memory), size);
  std::free(memory);
  return bytes;
}

void fuzz(std::string_view bytes) {
  if (!is_jpeg(bytes)) return;
  const Image image = read_or([&] { return decode_image(bytes); }, Image{});
  OSC_EXPECT(image.pixels.size() ==
                 static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height) * 3,
             "%zu bytes of pixels", image.pixels.size());
  const auto small = read_or([&] { return decode_image(bytes, 5, 3); }, Resized<Image>{});
  OSC_EXPECT(small.file_width == image.width && small.file_height == image.height, "%d x %d",
             small.file_width, small.file_height);
  OSC_EXPECT(image.width == 0 || small.picture.pixels == resize(image, 5, 3).pixels,
             "an image that is resized while it is read is another one");
}

}  // namespace
}  // namespace osc::program

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  return osc::program::mutate(data, size, max_size, seed, osc::program::sample,
                              [](std::string&) {});
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  osc::program::fuzz(osc::program::text_of(data, size));
  return 0;
}
