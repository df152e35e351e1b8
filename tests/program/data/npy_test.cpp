#include "data/npy.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <stdexcept>
#include <string>
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

TEST(Npy, Float32) {
  const NpyArray array = decode_npy(npy(header("<f4", "(2, 2)"), kOne + kTwo + kThree + kMinus));
  EXPECT_EQ(array.shape, (Shape{2, 2}));
  EXPECT_EQ(floats(array), (std::vector<float>{1, 2, 3, -2.5F}));
}

TEST(Npy, Float64) {
  const NpyArray array = decode_npy(npy(header("<f8", "(1,)"), kDoubleOne));
  EXPECT_EQ(array.shape, (Shape{1}));
  EXPECT_EQ(std::get<std::vector<double>>(array.values), (std::vector<double>{1}));
}

TEST(Npy, BigEndian) {
  EXPECT_EQ(floats(decode_npy(npy(header(">f4", "(2,)"), kBigOne + kBigMinus))),
            (std::vector<float>{1, -2.5F}));
  EXPECT_EQ(
      std::get<std::vector<double>>(decode_npy(npy(header(">f8", "(1,)"), kBigDoubleOne)).values),
      (std::vector<double>{1}));
}

TEST(Npy, LaterVersions) {
  for (const int version : {2, 3})
    EXPECT_EQ(floats(decode_npy(npy(header("<f4", "(1,)"), kThree, version))),
              (std::vector<float>{3}));
}

TEST(Npy, FortranOrderIsTransposed) {
  // [[1, 2, 3], [2, 2, 2]], stored column by column.
  const NpyArray array =
      decode_npy(npy(header("<f4", "(2, 3)", "True"), kOne + kTwo + kTwo + kTwo + kThree + kTwo));
  EXPECT_EQ(array.shape, (Shape{2, 3}));
  EXPECT_EQ(floats(array), (std::vector<float>{1, 2, 3, 2, 2, 2}));
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

TEST(Npy, ScalarsAndEmptyArrays) {
  const NpyArray scalar = decode_npy(npy(header("<f4", "()"), kThree));
  EXPECT_TRUE(scalar.shape.empty());
  EXPECT_EQ(floats(scalar), (std::vector<float>{3}));
  const NpyArray empty =
      decode_npy(npy(header("<f4", "(9223372036854775807, 0, 9223372036854775807)", "True"), ""));
  EXPECT_EQ(empty.shape.size(), 3U);
  EXPECT_TRUE(floats(empty).empty());
}

TEST(Npy, HeadersMayBeWrittenOtherwise) {
  EXPECT_EQ(floats(decode_npy(npy(R"({"shape":(1,),"fortran_order":False,"descr":"<f4"})", kOne))),
            (std::vector<float>{1}));
  EXPECT_EQ(floats(decode_npy(npy(
                "{ 'descr' : '<f4' , 'fortran_order':False, 'shape':( 1L , 1L ) , }   \n", kOne))),
            (std::vector<float>{1}));
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

TEST(Npy, OtherDtypesAreNamed) {
  EXPECT_EQ(npy_error(npy(header("<i8", "(1,)"), kDoubleOne)),
            "dtype '<i8', wanted float32 or float64");
  EXPECT_EQ(npy_error(npy(header("<f2", "(1,)"), "xx")), "dtype '<f2', wanted float32 or float64");
  EXPECT_EQ(npy_error(npy(header("|O", "(1,)"), "xx")), "dtype '|O', wanted float32 or float64");
  EXPECT_EQ(
      npy_error(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", kOne)),
      "a structured dtype, wanted float32 or float64");
}

TEST(Npy, ShapesThatDoNotFitTheFile) {
  EXPECT_EQ(npy_error(npy(header("<f4", "(2, 2)"), kOne + kTwo + kThree)),
            "truncated .npy file: 12 bytes of values are too few for the shape [2, 2]");
  EXPECT_EQ(npy_error(npy(header("<f4", "(1,)"), kOne + kTwo)),
            "malformed .npy file: 4 bytes more than the shape [1] needs");
  EXPECT_EQ(npy_error(npy(header("<f4", "()"), "")),
            "truncated .npy file: 0 bytes of values are too few for one value");
  EXPECT_NE(npy_error(npy(header("<f4", "(9223372036854775807, 9223372036854775807)"), kOne))
                .find("too few"),
            std::string::npos);
  EXPECT_NE(npy_error(npy(header("<f4", "(4294967296, 4294967296)"), kOne)).find("too few"),
            std::string::npos);
  EXPECT_NE(npy_error(npy(header("<f4", "(9223372036854775808,)"), kOne)).find("too large"),
            std::string::npos);
  EXPECT_NE(npy_error(npy(header("<f4", "(-1,)"), kOne)).find("malformed"), std::string::npos);
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
  const std::string whole = npy(header("<f4", "(2, 2)"), kOne + kTwo + kThree + kMinus);
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_NE(npy_error(whole.substr(0, length)), "(no error)") << length;
}

TEST(Npy, MutatedFilesAreDecodedOrRefused) {
  const std::vector<std::string> originals = {
      npy(header("<f4", "(2, 2)"), kOne + kTwo + kThree + kMinus),
      npy(header(">f8", "(1,)", "True"), kBigDoubleOne, 2)};
  const std::string likely = "{}()[]'\",:0123456789 TrueFalse<>f48L\n";
  std::mt19937 random(4);
  int refused = 0, decoded = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = originals[static_cast<std::size_t>(round) % originals.size()];
    for (auto n = 1 + random() % 3; n > 0; --n) {
      const std::size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0: bytes[at] = static_cast<char>(random()); break;
        case 1: bytes[at] = likely[random() % likely.size()]; break;
        case 2: bytes.erase(at, 1); break;
        default: bytes.insert(at, 1, likely[random() % likely.size()]); break;
      }
    }
    npy_error(bytes) == "(no error)" ? ++decoded : ++refused;
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(decoded, 100);
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
