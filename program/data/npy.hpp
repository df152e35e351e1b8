// NumPy's .npy files of float arrays (format versions 1 to 3), and of what `osc loss` writes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace osc::program {

struct NpyArray {
  std::vector<std::int64_t> shape;
  std::variant<std::vector<float>, std::vector<double>> values;  // C order
};

// "[2, 3]"
std::string shape_text(const std::vector<std::int64_t>& shape);

// Reads a little- or big-endian float32 or float64 array of any rank (up to 32, as in NumPy), C or
// Fortran order. Throws UserError "PATH: what it is, what was wanted" for another dtype, a
// malformed or truncated file, or a shape whose size overflows or differs from the file's.
NpyArray read_npy(const std::filesystem::path& path);

// The same for a file's bytes. Throws UserError "reason".
NpyArray decode_npy(std::string_view bytes);

// Bytes of a .npy file, format version 1.0, C order, little-endian. Throw std::invalid_argument
// where the shape does not fit the number of values.
std::string encode_npy(std::span<const std::int64_t> shape, std::span<const float> values);
std::string encode_npy(std::span<const std::int64_t> shape, std::span<const double> values);
std::string encode_npy(std::span<const std::int64_t> shape, std::span<const std::int64_t> values);

}  // namespace osc::program
