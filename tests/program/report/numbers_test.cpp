#include "report/numbers.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "page_check.hpp"

namespace osc::program {
namespace {

using test::Texts;

TEST(Numbers, AreFormatted) {
  EXPECT_EQ((Texts{fixed(0.9734, 3), fixed(-0.5, 2), fixed(-0.0001, 3), fixed(12, 0)}),
            (Texts{"0.973", "−0.50", "0.000", "12"}));
  EXPECT_EQ((Texts{score(0.5), score(std::nullopt)}), (Texts{"0.500", "–"}));
  EXPECT_EQ((Texts{brief(0), brief(1.23456), brief(0.0234567), brief(0.00012345), brief(123.4),
                   brief(45678), brief(-1234567), brief(3e-9)}),
            (Texts{"0.000", "1.23", "0.0235", "0.000123", "123", "45678", "−1.23e+06", "3e−09"}));
  EXPECT_EQ((Texts{grouped(0), grouped(999.4), grouped(1000), grouped(1234567), grouped(-1234)}),
            (Texts{"0", "999", "1,000", "1,234,567", "−1,234"}));
  EXPECT_EQ((Texts{duration(12.4), duration(271.4), duration(59.7), duration(7260), duration(-3)}),
            (Texts{"12 s", "4 min 31 s", "1 min 0 s", "2 h 1 min", "0 s"}));
  EXPECT_EQ((Texts{coordinate(12), coordinate(-3.26), coordinate(-0.01)}),
            (Texts{"12", "-3.3", "0"}));
}

TEST(Numbers, NumberAtReadsOnlyFiniteNumbers) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const nlohmann::json object = {
      {"a", {{"b", 2}}}, {"text", "3"}, {"null", nullptr}, {"nan", nan}, {"list", {1, 2}}};
  EXPECT_EQ(number_at(object, "/a/b"), 2.0);
  for (const char* path : {"/a", "/a/c", "/a/b/c", "/text", "/null", "/nan", "/list", "/list/b"})
    EXPECT_EQ(number_at(object, path), std::nullopt) << path;
  EXPECT_EQ(number_at(nullptr, "/a"), std::nullopt);
}

}  // namespace
}  // namespace osc::program
