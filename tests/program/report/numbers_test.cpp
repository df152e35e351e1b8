#include "report/numbers.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace osc::program {
namespace {

TEST(Numbers, AreFormatted) {
  EXPECT_EQ(fixed(0.9734, 3), "0.973");
  EXPECT_EQ(fixed(-0.5, 2), "−0.50");
  EXPECT_EQ(fixed(-0.0001, 3), "0.000");
  EXPECT_EQ(fixed(12, 0), "12");
  EXPECT_EQ(score(0.5), "0.500");
  EXPECT_EQ(score(std::nullopt), "–");
  for (const auto& [value, text] : {std::pair(0.0, "0.000"),
                                    {1.23456, "1.23"},
                                    {0.0234567, "0.0235"},
                                    {0.00012345, "0.000123"},
                                    {123.4, "123"},
                                    {45678, "45678"},
                                    {-1234567, "−1.23e+06"},
                                    {3e-9, "3e−09"}})
    EXPECT_EQ(brief(value), text);
  for (const auto& [value, text] : {std::pair(0.0, "0"),
                                    {999.4, "999"},
                                    {1000, "1,000"},
                                    {1234567, "1,234,567"},
                                    {-1234, "−1,234"}})
    EXPECT_EQ(grouped(value), text);
  for (const auto& [seconds, text] : {std::pair(12.4, "12 s"),
                                      {271.4, "4 min 31 s"},
                                      {59.7, "1 min 0 s"},
                                      {7260, "2 h 1 min"},
                                      {-3, "0 s"}})
    EXPECT_EQ(duration(seconds), text);
  EXPECT_EQ(coordinate(12), "12");
  EXPECT_EQ(coordinate(-3.26), "-3.3");
  EXPECT_EQ(coordinate(-0.01), "0");
}

TEST(Numbers, NumberAtReadsOnlyFiniteNumbers) {
  const nlohmann::json object = {{"a", {{"b", 2}}},
                                 {"text", "3"},
                                 {"null", nullptr},
                                 {"nan", std::numeric_limits<double>::quiet_NaN()},
                                 {"list", {1, 2}}};
  EXPECT_EQ(number_at(object, "/a/b"), 2.0);
  for (const char* path : {"/a", "/a/c", "/a/b/c", "/text", "/null", "/nan", "/list", "/list/b"})
    EXPECT_EQ(number_at(object, path), std::nullopt) << path;
  EXPECT_EQ(number_at(nullptr, "/a"), std::nullopt);
  EXPECT_EQ(number_at(nlohmann::json::array({1}), "/a"), std::nullopt);
}

}  // namespace
}  // namespace osc::program
