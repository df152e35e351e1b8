#include "data/npy.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "support/files.hpp"
#include "temporary_folder.hpp"
#include "user_error.hpp"

namespace osc::program {
namespace {

// A file from the documented layout: magic, version, length of the header (2 bytes, from version 2
// on 4, the low byte first), header, values.
std::string npy(const std::string& header, const std::string& values, int version = 1) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i)
    bytes += static_cast<char>(header.size() >> (8 * i) & 255);
  return bytes + header + values;
}

std::string header(const std::string& dtype, const std::string& shape,
                   const std::string& fortran_order = "False") {
  return "{'descr': '" + dtype + "', 'fortran_order': " + fortran_order + ", 'shape': " + shape +
         ", }\n";
}

// The numbers 1, 2, 3 and -2.5 in IEEE 754, written out.
const std::string kOne("\x00\x00\x80\x3f", 4), kTwo("\x00\x00\x00\x40", 4),
    kThree("\x00\x00\x40\x40", 4), kMinus("\x00\x00\x20\xc0", 4);
const std::string kBigMinus("\xc0\x20\x00\x00", 4), kBigOne("\x3f\x80\x00\x00", 4);
const std::string kDoubleOne("\x00\x00\x00\x00\x00\x00\xf0\x3f", 8),
    kBigDoubleOne("\x3f\xf0\x00\x00\x00\x00\x00\x00", 8);

using Shape = std::vector<std::int64_t>;

std::vector<float> floats(const NpyArray& array) {
  return std::get<std::vector<float>>(array.values);
}

std::string npy_error(const std::string& bytes) {
  return user_error([&] { decode_npy(bytes); });
}

TEST(Npy, ReadsEveryKindOfFloats) {
  const std::string values = kOne + kTwo + kThree + kMinus;
  const std::vector<std::tuple<std::string, Shape, std::vector<float>>> cases = {
      {npy(header("<f4", "(2, 2)"), values), {2, 2}, {1, 2, 3, -2.5F}},
      {npy(header(">f4", "(2,)"), kBigOne + kBigMinus), {2}, {1, -2.5F}},
      {npy(header("<f4", "(1,)"), kThree, 2), {1}, {3}},
      {npy(header("<f4", "(1,)"), kThree, 3), {1}, {3}},
      {npy(header("<f4", "()"), kThree), {}, {3}},
      {npy(header("<f4", "(2, 2)", "True"), values), {2, 2}, {1, 3, 2, -2.5F}},
      {npy(R"({"shape":(1,),"fortran_order":False,"descr":"<f4"})", kOne), {1}, {1}},
      {npy("{ 'descr' : '<f4' , 'fortran_order':False, 'shape':( 1L , 1L ) , }   \n", kOne),
       {1, 1},
       {1}},
      {npy(header("<f4", "(9223372036854775807, 0)", "True"), ""), {9223372036854775807, 0}, {}},
  };
  for (const auto& [bytes, shape, expected] : cases) {
    EXPECT_EQ(decode_npy(bytes).shape, shape);
    EXPECT_EQ(floats(decode_npy(bytes)), expected);
  }
  for (const auto& [dtype, one] : {std::pair{"<f8", kDoubleOne}, {">f8", kBigDoubleOne}})
    EXPECT_EQ(std::get<std::vector<double>>(decode_npy(npy(header(dtype, "(1,)"), one)).values),
              (std::vector<double>{1}));
}

TEST(Npy, FortranOrderOfThreeDimensions) {
  const Shape shape = {2, 3, 4};
  std::vector<float> c_order(24), fortran(24);
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      for (std::size_t k = 0; k < 4; ++k) {
        c_order[(i * 3 + j) * 4 + k] = fortran[i + 2 * (j + 3 * k)] =
            static_cast<float>(100 * i + 10 * j + k);
      }
    }
  }
  std::string bytes = encode_npy(shape, fortran);
  bytes.replace(bytes.find("False"), 5, "True ");
  EXPECT_EQ(floats(decode_npy(bytes)), c_order);
}

TEST(Npy, RoundTrips) {
  const Shape shape = {3, 1, 2};
  const std::vector<float> values = {0,     -0.0F, 1e-40F,
                                     3e38F, -1,    std::numeric_limits<float>::infinity()};
  const std::string bytes = encode_npy(shape, values);
  EXPECT_EQ((bytes.size() - values.size() * sizeof(float)) % 64, 0U);
  EXPECT_EQ(decode_npy(bytes).shape, shape);
  EXPECT_EQ(floats(decode_npy(bytes)), values);
  const std::vector<double> one_double = {1};
  EXPECT_NE(encode_npy(Shape{1}, one_double).find("'shape': (1,), }"), std::string::npos);
  EXPECT_EQ(std::get<std::vector<double>>(decode_npy(encode_npy(Shape{}, one_double)).values),
            one_double);
  const std::vector<std::int64_t> integers = {-2};
  EXPECT_NE(encode_npy(Shape{1}, integers).find("'<i8'"), std::string::npos);
  EXPECT_TRUE(encode_npy(Shape{1}, integers).ends_with("\xfe\xff\xff\xff\xff\xff\xff\xff"));
  EXPECT_THROW(encode_npy(Shape{2}, integers), std::invalid_argument);
}

TEST(Npy, RefusesOtherDtypesAndShapesThatDoNotFit) {
  const std::string wanted = "', wanted float32 or float64", malformed = "malformed .npy file: ";
  const auto few = [](int bytes, const std::string& what) {
    return "truncated .npy file: " + std::to_string(bytes) + " bytes of values are too few for " +
           what;
  };
  for (const auto& [bytes, error] : std::vector<std::pair<std::string, std::string>>{
           {npy(header("<i8", "(1,)"), kDoubleOne), "dtype '<i8" + wanted},
           {npy(header("<f2", "(1,)"), "xx"), "dtype '<f2" + wanted},
           {npy(header("|O", "(1,)"), "xx"), "dtype '|O" + wanted},
           {npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", kOne),
            "a structured dtype, wanted float32 or float64"},
           {npy(header("<f4", "(2, 2)"), kOne + kTwo + kThree), few(12, "the shape [2, 2]")},
           {npy(header("<f4", "(1,)"), kOne + kTwo),
            malformed + "4 bytes more than the shape [1] needs"},
           {npy(header("<f4", "()"), ""), few(0, "one value")},
           {npy(header("<f4", "(9223372036854775807, 9223372036854775807)"), kOne),
            few(4, "the shape [9223372036854775807, 9223372036854775807]")},
           {npy(header("<f4", "(4294967296, 4294967296)"), kOne),
            few(4, "the shape [4294967296, 4294967296]")},
           {npy(header("<f4", "(9223372036854775808,)"), kOne),
            malformed + "a size in the shape is too large"},
           {npy(header("<f4", "(-1,)"), kOne),
            malformed + "the shape holds something else than sizes"}})
    EXPECT_EQ(npy_error(bytes), error);
}

TEST(Npy, HostileHeadersAreRefused) {
  EXPECT_EQ(npy_error(""), "is not a .npy file");
  EXPECT_EQ(npy_error("\x93NUMPX\x01"), "is not a .npy file");
  const std::string good = header("<f4", "(1,)");
  EXPECT_NE(npy_error(npy(good, kOne, 4)).find("format version 4"), std::string::npos);
  std::string ones = "(";
  for (int i = 0; i < 33; ++i) ones += "1,";
  const std::vector<std::string> bad = {
      "",
      "{",
      "{}",
      "{'descr': '<f4'}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}" + std::string(1, '\0'),
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1 1)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1.0,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
      "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
      "{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}",
      "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
      "{'descr': '<f4, 'fortran_order': False, 'shape': (1,)}",
      "{'descr': '<f\n', 'fortran_order': False, 'shape': (1,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': " + ones + ")}",
      "{'descr': '" + std::string(1000, 'f') + "', 'fortran_order': False, 'shape': (1,)}",
      "__import__('os').system('true')",
  };
  for (const std::string& text : bad)
    EXPECT_NE(npy_error(npy(text, kOne)).find("malformed"), std::string::npos) << text;
  EXPECT_NE(npy_error(npy(good + std::string(100000, ' '), kOne, 2)).find("longer than"),
            std::string::npos);
}

TEST(Npy, EveryTruncationIsFound) {
  EXPECT_TRUE(every_truncation_fails(npy(header("<f4", "(2, 2)"), kOne + kTwo + kThree + kMinus),
                                     [](auto cut) { decode_npy(cut); }));
}

TEST(ReadNpy, NamesThePath) {
  const TemporaryFolder folder;
  const std::string path = folder / "a.npy";
  write_file_atomically(path, "text");
  EXPECT_EQ(user_error([&] { read_npy(path); }), path + ": is not a .npy file");
  write_file_atomically(path, npy(header("<f4", "(1,)"), kThree));
  EXPECT_EQ(floats(read_npy(path)), (std::vector<float>{3}));
}

}  // namespace
}  // namespace osc::program
