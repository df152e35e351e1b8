#include "report/numbers.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace osc::program {
namespace {

TEST(Numbers, FixedUsesATrueMinusAndNoNegativeZero) {
  EXPECT_EQ(fixed(0.9734, 3), "0.973");
  EXPECT_EQ(fixed(-0.5, 2), "−0.50");
  EXPECT_EQ(fixed(-0.0001, 3), "0.000");
  EXPECT_EQ(fixed(12, 0), "12");
}

TEST(Numbers, ScoreIsADashWithoutANumber) {
  EXPECT_EQ(score(0.5), "0.500");
  EXPECT_EQ(score(std::nullopt), "–");
}

TEST(Numbers, BriefKeepsThreeDigits) {
  EXPECT_EQ(brief(0), "0.000");
  EXPECT_EQ(brief(1.23456), "1.23");
  EXPECT_EQ(brief(0.0234567), "0.0235");
  EXPECT_EQ(brief(0.00012345), "0.000123");
  EXPECT_EQ(brief(123.4), "123");
  EXPECT_EQ(brief(45678), "45678");
  EXPECT_EQ(brief(-1234567), "−1.23e+06");
  EXPECT_EQ(brief(3e-9), "3.00e−09");
}

TEST(Numbers, GroupedSeparatesThousands) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999.4), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(grouped(-1234), "−1,234");
}

TEST(Numbers, DurationInItsTwoLargestUnits) {
  EXPECT_EQ(duration(12.4), "12 s");
  EXPECT_EQ(duration(271.4), "4 min 31 s");
  EXPECT_EQ(duration(59.7), "1 min 0 s");
  EXPECT_EQ(duration(7260), "2 h 1 min");
  EXPECT_EQ(duration(-3), "0 s");
}

TEST(Numbers, CoordinatesAreShortAndAscii) {
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
  EXPECT_EQ(number_at(object, {"a", "b"}), 2.0);
  EXPECT_EQ(number_at(object, {"a"}), std::nullopt);
  EXPECT_EQ(number_at(object, {"a", "c"}), std::nullopt);
  EXPECT_EQ(number_at(object, {"a", "b", "c"}), std::nullopt);
  for (const std::string_view key : {"text", "null", "nan", "list"})
    EXPECT_EQ(number_at(object, {key}), std::nullopt) << key;
  EXPECT_EQ(number_at(nullptr, {"a"}), std::nullopt);
  EXPECT_EQ(number_at(nlohmann::json::array({1}), {"a"}), std::nullopt);
}

}  // namespace
}  // namespace osc::program
