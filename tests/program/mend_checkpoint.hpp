// Makes an altered checkpoint pass the checks of its length and checksum, so that what it says is
// read.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace osc::program {

// The header's length (its end is the last brace and the blanks after it) and the checksum.
inline void mend_checkpoint(std::string& bytes) {
  constexpr std::size_t kLengthBytes = 8, kDigits = 8;
  constexpr std::string_view kKey = "\"crc32\":\"";
  const std::size_t key = bytes.find(kKey), brace = bytes.rfind('}');
  if (key == std::string::npos || key < kLengthBytes || brace == std::string::npos ||
      brace < key + kKey.size() + kDigits)
    return;
  const std::size_t end = std::min(bytes.find_first_not_of(' ', brace + 1), bytes.size());
  for (std::size_t i = 0; i < kLengthBytes; ++i)
    bytes[i] = static_cast<char>(std::uint64_t{end - kLengthBytes} >> (8 * i) & 0xff);
  std::string digits(kDigits, '0');
  bytes.replace(key + kKey.size(), kDigits, digits);
  std::snprintf(digits.data(), kDigits + 1, "%08lx",
                static_cast<unsigned long>(
                    crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size())));
  bytes.replace(key + kKey.size(), kDigits, digits);
}

}  // namespace osc::program
