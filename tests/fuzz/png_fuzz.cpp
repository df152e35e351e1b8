// PNG files as images and as masks. What is read has the size it claims, survives being written and
// read again, and is the same where it is resized while it is read.
#include <zlib.h>

#include <algorithm>
#include <vector>

#include "data/image.hpp"
#include "expect.hpp"
#include "samples.hpp"

namespace osc::program {
namespace {

std::string big_endian(std::uint32_t x) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(x >> shift & 0xff);
  return bytes;
}

std::string chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  return big_endian(static_cast<std::uint32_t>(data.size())) + body +
         big_endian(static_cast<std::uint32_t>(
             crc32_z(0, reinterpret_cast<const Bytef*>(body.data()), body.size())));
}

std::string random_bytes(Random& random, std::size_t count) {
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(pick(random, 0, 255));
  return bytes;
}

// Of any colour type, depth and interlacing that PNG has.
std::string sample(Random& random) {
  constexpr struct {
    int colour_type, depth, channels;
  } kKinds[] = {{0, 1, 1}, {0, 2, 1},  {0, 4, 1},  {0, 8, 1}, {0, 16, 1},
                {2, 8, 3}, {2, 16, 3}, {3, 1, 1},  {3, 2, 1}, {3, 4, 1},
                {3, 8, 1}, {4, 8, 2},  {4, 16, 2}, {6, 8, 4}, {6, 16, 4}};
  const auto& kind = kKinds[static_cast<std::size_t>(pick(random, 0, std::ssize(kKinds) - 1))];
  const auto width = static_cast<std::size_t>(pick(random, 1, 9)),
             height = static_cast<std::size_t>(pick(random, 1, 9));
  const bool interlaced = pick(random, 0, 1) == 1;
  const auto row_bytes = [&](std::size_t columns) {
    return (columns * static_cast<std::size_t>(kind.channels * kind.depth) + 7) / 8;
  };
  std::string rows;
  const auto add_pass = [&](std::size_t columns, std::size_t lines) {
    for (std::size_t line = 0; columns > 0 && line < lines; ++line)
      rows += static_cast<char>(pick(random, 0, 4)) + random_bytes(random, row_bytes(columns));
  };
  if (interlaced) {
    constexpr std::size_t kPasses[][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                          {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
    for (const auto& [x, y, dx, dy] : kPasses)
      add_pass((width + dx - 1 - std::min(x, width)) / dx,
               (height + dy - 1 - std::min(y, height)) / dy);
  } else {
    add_pass(width, height);
  }
  uLongf packed_size = compressBound(rows.size());
  std::string packed(packed_size, '\0');
  compress(reinterpret_cast<Bytef*>(packed.data()), &packed_size,
           reinterpret_cast<const Bytef*>(rows.data()), rows.size());
  packed.resize(packed_size);

  std::string header = big_endian(static_cast<std::uint32_t>(width)) +
                       big_endian(static_cast<std::uint32_t>(height));
  for (const int byte : {kind.depth, kind.colour_type, 0, 0, interlaced ? 1 : 0})
    header += static_cast<char>(byte);
  std::string bytes = "\x89PNG\r\n\x1a\n" + chunk("IHDR", header);
  if (kind.colour_type == 3)
    bytes += chunk("PLTE", random_bytes(random, std::size_t{3} << kind.depth));
  if (kind.colour_type <= 3 && pick(random, 0, 1) == 1)
    bytes += chunk("tRNS", random_bytes(random, kind.colour_type == 0   ? 2
                                                : kind.colour_type == 2 ? 6
                                                                        : 2));
  if (pick(random, 0, 3) == 0) bytes += chunk("gAMA", big_endian(45455));
  const std::size_t half = packed.size() / 2;
  return bytes + chunk("IDAT", packed.substr(0, half)) + chunk("IDAT", packed.substr(half)) +
         chunk("IEND", "");
}

// Checksums of all chunks.
void mend(std::string& bytes) {
  constexpr std::size_t kSignature = 8, kAround = 12;  // bytes of length, type and checksum
  for (std::size_t at = kSignature; at + kAround <= bytes.size();) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i)
      length = length << 8 | static_cast<unsigned char>(bytes[at + i]);
    if (length > bytes.size() - at - kAround) return;
    const std::string whole = chunk(bytes.substr(at + 4, 4), bytes.substr(at + 8, length));
    bytes.replace(at, whole.size(), whole);
    at += whole.size();
  }
}

void fuzz(std::string_view bytes) {
  const Image image = read_or([&] { return decode_image(bytes); }, Image{});
  if (image.width > 0) {
    OSC_EXPECT(image.pixels.size() == static_cast<std::size_t>(image.width) *
                                          static_cast<std::size_t>(image.height) * 3,
               "%zu bytes of pixels", image.pixels.size());
    OSC_EXPECT(decode_image(encode_png(image)).pixels == image.pixels,
               "an image that is written and read again is another one");
  }
  const auto small_image = read_or([&] { return decode_image(bytes, 5, 3); }, Resized<Image>{});
  OSC_EXPECT(small_image.file_width == image.width && small_image.file_height == image.height,
             "%d x %d", small_image.file_width, small_image.file_height);
  OSC_EXPECT(image.width == 0 || small_image.picture.pixels == resize(image, 5, 3).pixels,
             "an image that is resized while it is read is another one");
  const Mask mask = read_or([&] { return decode_mask(bytes); }, Mask{});
  if (mask.width > 0) {
    OSC_EXPECT(mask.values.size() ==
                   static_cast<std::size_t>(mask.width) * static_cast<std::size_t>(mask.height),
               "%zu values", mask.values.size());
    OSC_EXPECT(decode_mask(encode_png(mask)).values == mask.values,
               "a mask that is written and read again is another one");
  }
  const auto small_mask = read_or([&] { return decode_mask(bytes, 5, 3); }, Resized<Mask>{});
  OSC_EXPECT(small_mask.file_width == mask.width && small_mask.file_height == mask.height,
             "%d x %d", small_mask.file_width, small_mask.file_height);
  OSC_EXPECT(mask.width == 0 || small_mask.picture.values == resize(mask, 5, 3).values,
             "a mask that is resized while it is read is another one");
}

}  // namespace
}  // namespace osc::program

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  return osc::program::mutate(data, size, max_size, seed, osc::program::sample, osc::program::mend);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  osc::program::fuzz(osc::program::text_of(data, size));
  return 0;
}
