#include "data/npy.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>

#include "support/error.hpp"
#include "support/files.hpp"

namespace osc::program {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t size : shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

namespace {

static_assert(
    std::endian::native == std::endian::little,
    "encode_npy writes values as they lie in memory and says that they are little-endian");

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr std::size_t kMaxHeader = 65536;
constexpr std::size_t kMaxRank = 32;
constexpr std::size_t kAlignment = 64;

[[noreturn]] void malformed(const std::string& what) {
  throw UserError("malformed .npy file: " + what);
}

struct Header {
  std::string dtype;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// Parses the header, a Python dict literal of three keys: in any order, with either quote, spaces
// and trailing commas.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : rest_(text) {}

  Header parse() {
    std::optional<std::string> dtype;
    std::optional<bool> fortran_order;
    std::optional<std::vector<std::int64_t>> shape;
    expect('{');
    while (!accept('}')) {
      const std::string key = parse_string();
      expect(':');
      if (key == "descr" && !dtype) {
        if (peek() == '[') throw UserError("a structured dtype, wanted float32 or float64");
        dtype = parse_string();
      } else if (key == "fortran_order" && !fortran_order) {
        fortran_order = parse_bool();
      } else if (key == "shape" && !shape) {
        shape = parse_shape();
      } else {
        malformed("the header has an unknown or a second '" + key + "'");
      }
      if (!accept(',') && peek() != '}') malformed("the header lacks a comma or a closing brace");
    }
    if (peek() != '\0' || !rest_.empty()) malformed("the header goes on after its closing brace");
    if (!dtype || !fortran_order || !shape)
      malformed("the header lacks descr, fortran_order or shape");
    return {std::move(*dtype), *fortran_order, std::move(*shape)};
  }

 private:
  // The next character that is not space; '\0' at the end.
  char peek() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\n"), rest_.size()));
    return rest_.empty() ? '\0' : rest_.front();
  }

  bool accept(char wanted) {
    if (peek() != wanted || rest_.empty()) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void expect(char wanted) {
    if (accept(wanted)) return;
    malformed(std::string("the header lacks a ") + wanted);
  }

  bool accept_word(std::string_view word) {
    peek();
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  std::string parse_string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"')
      malformed("the header lacks a quoted word where it must stand");
    const std::size_t end = rest_.find(quote, 1);
    constexpr std::size_t kLongest = 64;
    if (end == std::string_view::npos || end > kLongest)
      malformed("the header has a quoted word without an end");
    const std::string_view word = rest_.substr(1, end - 1);
    // The word may be printed in an error.
    if (!std::ranges::all_of(word, [](char c) { return c >= ' ' && c <= '~' && c != '\\'; }))
      malformed("the header has a quoted word of odd characters");
    rest_.remove_prefix(end + 1);
    return std::string(word);
  }

  bool parse_bool() {
    if (accept_word("True")) return true;
    if (accept_word("False")) return false;
    malformed("fortran_order is neither True nor False");
  }

  std::vector<std::int64_t> parse_shape() {
    std::vector<std::int64_t> shape;
    expect('(');
    while (!accept(')')) {
      if (shape.size() == kMaxRank)
        malformed("more than " + std::to_string(kMaxRank) + " dimensions");
      shape.push_back(parse_size());
      const bool comma = accept(',');
      if (!comma && peek() != ')') malformed("the shape lacks a comma or a closing parenthesis");
      if (!comma && shape.size() == 1) malformed("the shape is a number, not a tuple");
    }
    return shape;
  }

  std::int64_t parse_size() {
    if (peek() < '0' || peek() > '9') malformed("the shape holds something else than sizes");
    std::int64_t size = 0;
    for (; !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9'; rest_.remove_prefix(1)) {
      const int digit = rest_.front() - '0';
      if (size > (std::numeric_limits<std::int64_t>::max() - digit) / 10)
        malformed("a size in the shape is too large");
      size = size * 10 + digit;
    }
    if (!rest_.empty() && rest_.front() == 'L')
      rest_.remove_prefix(1);  // Python 2 marked long numbers
    return size;
  }

  std::string_view rest_;
};

// The number of values, which must be what the rest of the file holds; compared before anything is
// allocated, without overflow.
std::size_t checked_count(const std::vector<std::int64_t>& shape, std::size_t value_size,
                          std::size_t bytes) {
  std::size_t count = 1;
  if (std::ranges::find(shape, 0) != shape.end()) count = 0;
  for (const std::int64_t size : shape) {
    if (count == 0) break;
    if (static_cast<std::uint64_t>(size) > bytes / value_size / count) {
      throw UserError("truncated .npy file: " + std::to_string(bytes) +
                      " bytes of values are too few for the shape " + shape_text(shape));
    }
    count *= static_cast<std::size_t>(size);
  }
  if (count * value_size > bytes)
    throw UserError("truncated .npy file: " + std::to_string(bytes) +
                    " bytes of values are too few for one value");
  if (count * value_size < bytes)
    malformed(std::to_string(bytes - count * value_size) + " bytes more than the shape " +
              shape_text(shape) + " needs");
  return count;
}

// Fortran order counts the first index fastest; C order the last.
template <typename Value>
std::vector<Value> from_fortran_order(const std::vector<Value>& values,
                                      const std::vector<std::int64_t>& shape) {
  std::vector<Value> result(values.size());
  std::vector<std::int64_t> index(shape.size(), 0);
  std::vector<std::size_t> strides(shape.size());
  std::size_t stride = 1;
  for (std::size_t d = 0; d < shape.size(); ++d) {
    strides[d] = stride;
    stride *= static_cast<std::size_t>(shape[d]);
  }
  std::size_t source = 0;
  for (Value& value : result) {
    value = values[source];
    for (std::size_t d = shape.size(); d-- > 0;) {
      source += strides[d];
      if (++index[d] < shape[d]) break;
      source -= strides[d] * static_cast<std::size_t>(shape[d]);
      index[d] = 0;
    }
  }
  return result;
}

template <typename Value>
std::vector<Value> decode_values(std::string_view bytes, const Header& header) {
  std::vector<Value> values(checked_count(header.shape, sizeof(Value), bytes.size()));
  const bool swap = header.dtype.front() == '>';
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::array<char, sizeof(Value)> raw;
    std::memcpy(raw.data(), bytes.data() + i * sizeof(Value), sizeof(Value));
    if (swap) std::ranges::reverse(raw);
    values[i] = std::bit_cast<Value>(raw);
  }
  return header.fortran_order ? from_fortran_order(values, header.shape) : values;
}

template <typename Value>
std::string encode(std::string_view dtype, std::span<const std::int64_t> shape,
                   std::span<const Value> values) {
  std::size_t count = 1;
  std::string sizes;
  for (const std::int64_t size : shape) {
    count *= static_cast<std::size_t>(size);
    sizes += std::to_string(size);
    sizes += shape.size() == 1 ? "," : ", ";
  }
  if (count != values.size())
    throw std::invalid_argument("encode_npy: the shape does not fit the number of values");
  if (shape.size() > 1) sizes.resize(sizes.size() - 2);
  std::string header = "{'descr': '";
  header.append(dtype).append("', 'fortran_order': False, 'shape': (").append(sizes).append("), }");
  // Values begin at a multiple of 64 bytes, so that the file can be mapped into memory; the header
  // ends with a line feed.
  const std::size_t before = kMagic.size() + 4;
  const std::size_t unpadded = before + header.size() + 1;
  header.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  header += '\n';

  std::string bytes(kMagic);
  bytes += std::string_view("\x01\x00", 2);
  bytes += static_cast<char>(header.size() & 0xff);
  bytes += static_cast<char>(header.size() >> 8);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  return bytes;
}

}  // namespace

NpyArray decode_npy(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) throw UserError("is not a .npy file");
  const auto byte = [&](std::size_t i) {
    return std::size_t{static_cast<unsigned char>(bytes[i])};
  };
  constexpr std::size_t kVersionEnd = kMagic.size() + 2;
  if (bytes.size() < kVersionEnd) malformed("it ends within its first bytes");
  const std::size_t version = byte(kMagic.size());
  if (version < 1 || version > 3)
    malformed("format version " + std::to_string(version) + " is not known");
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  const std::size_t begin = kVersionEnd + length_bytes;
  if (bytes.size() < begin) malformed("it ends within its first bytes");
  std::size_t length = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) length |= byte(kVersionEnd + i) << (8 * i);
  if (length > kMaxHeader)
    malformed("its header is longer than " + std::to_string(kMaxHeader) + " bytes");
  if (length > bytes.size() - begin) malformed("it ends within its header");

  Header header = HeaderParser(bytes.substr(begin, length)).parse();
  const std::string_view values = bytes.substr(begin + length);
  if (header.dtype == "<f4" || header.dtype == ">f4")
    return {header.shape, decode_values<float>(values, header)};
  if (header.dtype == "<f8" || header.dtype == ">f8")
    return {header.shape, decode_values<double>(values, header)};
  throw UserError("dtype '" + header.dtype + "', wanted float32 or float64");
}

NpyArray read_npy(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  return with_prefix(path.string() + ": ", [&] { return decode_npy(bytes); });
}

std::string encode_npy(std::span<const std::int64_t> shape, std::span<const float> values) {
  return encode("<f4", shape, values);
}

std::string encode_npy(std::span<const std::int64_t> shape, std::span<const double> values) {
  return encode("<f8", shape, values);
}

std::string encode_npy(std::span<const std::int64_t> shape, std::span<const std::int64_t> values) {
  return encode("<i8", shape, values);
}

}  // namespace osc::program
