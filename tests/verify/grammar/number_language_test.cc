#include "verify/grammar/number_language.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>

#include "verify/grammar/string_format.h"

namespace ft::grammar {
namespace {

bool has(const Automaton& automaton, std::string_view text) {
  return automaton.label_of(code_points(text)) != 0;
}

constexpr const char* kValues[] = {"-100",  "-12.5", "-12.05", "-3",   "-0.5", "-0.25", "0",     "0.0",
                                   "0.001", "0.25",  "0.5",    "1",    "1.00", "2",     "3",     "9",
                                   "10",    "11",    "12.05",  "12.5", "99",   "100",   "101.0", "1000.125"};

TEST(NumberLanguage, BoundsAreThoseOfTheValues) {
  for (const char* bound : kValues)
    for (const bool exclusive : {false, true}) {
      const Automaton low = *at_least(*parse_decimal(bound), exclusive);
      const Automaton high = *at_most(*parse_decimal(bound), exclusive);
      const double y = std::atof(bound);
      for (const char* value : kValues) {
        const double x = std::atof(value);
        EXPECT_EQ(has(low, value), exclusive ? x > y : x >= y) << value << " against " << bound;
        EXPECT_EQ(has(high, value), exclusive ? x < y : x <= y) << value << " against " << bound;
      }
    }
}

TEST(NumberLanguage, MultiplesAreExactDecimals) {
  for (const char* divisor : {"7", "0.01", "0.25", "12", "2.5", "1"}) {
    const Automaton multiples = *multiples_of(*parse_decimal(divisor));
    const int64_t thousandths = std::llround(std::atof(divisor) * 1000);
    for (int i = -3000; i <= 3000; ++i) {
      const std::string text =
          fmt::format("{}{}.{:02}0", i < 0 ? "-" : "", std::abs(i) / 100, std::abs(i) % 100);
      EXPECT_EQ(has(multiples, text), i * 10 % thousandths == 0) << text << " by " << divisor;
    }
  }
  EXPECT_FALSE(multiples_of(*parse_decimal("0")).has_value());
  EXPECT_FALSE(multiples_of(*parse_decimal("123457")).has_value());
}

TEST(NumberLanguage, ReadsDecimalsExactly) {
  EXPECT_EQ(parse_decimal("1e-3")->text(), "0.001");
  EXPECT_EQ(parse_decimal("-1.50e2")->text(), "-150");
  EXPECT_EQ(parse_decimal("-0.0")->text(), "0");
  EXPECT_EQ(parse_decimal("12345678901234567890.5")->text(), "12345678901234567890.5");
  EXPECT_FALSE(parse_decimal("1e999").has_value());
}

TEST(NumberLanguage, IntegersHave64Bits) {
  for (const char* text : {"0", "7", "-1", "9223372036854775807", "-9223372036854775808", "10"})
    EXPECT_TRUE(has(all_integers(), text)) << text;
  for (const char* text : {"-0", "01", "", "-", "1.0", "1e2", "9223372036854775808", "-9223372036854775809"})
    EXPECT_FALSE(has(all_integers(), text)) << text;
  EXPECT_TRUE(has(fractional_numbers(), "1.01"));
  EXPECT_FALSE(has(fractional_numbers(), "1.00"));
  EXPECT_TRUE(has(all_numbers(), "1.5e-7"));
  EXPECT_FALSE(has(all_numbers(), "1e308"));
}

TEST(NumberLanguage, EqualsHaveShortOrAllForms) {
  const Decimal five = *parse_decimal("5");
  EXPECT_TRUE(has(*equal_to({&five, 1}, Zeros::kShort), "5.0"));
  EXPECT_FALSE(has(*equal_to({&five, 1}, Zeros::kShort), "5.00"));
  EXPECT_TRUE(has(*equal_to({&five, 1}, Zeros::kAll), "5.00"));
  EXPECT_FALSE(has(*equal_to({&five, 1}, Zeros::kAll), "5.01"));
}

TEST(StringFormat, AllowsWhatTheStandardsAllow) {
  struct Case {
    const char* format;
    const char* text;
    bool allowed;
  };
  const Case cases[] = {
      {"date", "2024-02-29", true},
      {"date", "2023-02-29", false},
      {"date", "1900-02-29", false},
      {"date", "2000-02-29", true},
      {"date", "2023-04-31", false},
      {"date", "2023-4-1", false},
      {"time", "23:59:59Z", true},
      {"time", "24:00:00Z", false},
      {"time", "12:00:00", false},
      {"date-time", "2023-04-30T12:00:00Z", true},
      {"date-time", "2023-04-30T12:00:00.123+02:00", true},
      {"date-time", "2023-04-30 12:00:00Z", false},
      {"email", "a.b@c.de", true},
      {"email", "a..b@c.de", false},
      {"email", "a@", false},
      {"hostname", "a-b.example", true},
      {"hostname", "-a", false},
      {"ipv4", "1.2.3.4", true},
      {"ipv4", "1.2.3.256", false},
      {"ipv4", "01.2.3.4", false},
      {"ipv6", "::1", true},
      {"ipv6", "::", true},
      {"ipv6", "1:2:3:4:5:6:7:8", true},
      {"ipv6", "1:2:3:4:5:6:7::", true},
      {"ipv6", "::ffff:1.2.3.4", true},
      {"ipv6", "1::2::3", false},
      {"ipv6", "1:2:3:4:5:6:7:8:9", false},
      {"uri", "http://a.b/c?d#e", true},
      {"uri", "http://[::1]:80/", true},
      {"uri", "mailto:a@b", true},
      {"uri", "/c", false},
      {"uri", "http://a b", false},
      {"uri", "http://a#b#c", false},
      {"uri-reference", "/c", true},
      {"uuid", "123e4567-e89b-12d3-a456-426614174000", true},
      {"uuid", "123e4567e89b12d3a456426614174000", false},
      {"duration", "P1DT2H", true},
      {"duration", "P1D2H", false},
      {"json-pointer", "/a~0/b", true},
      {"json-pointer", "a", false},
  };
  for (const Case& c : cases) {
    ASSERT_EQ(format_kind(c.format), FormatKind::kText) << c.format;
    EXPECT_EQ(has(format_texts(c.format), c.text), c.allowed) << c.format << " " << c.text;
  }
  EXPECT_EQ(format_kind("regex"), FormatKind::kUnsupported);
  EXPECT_EQ(format_kind("country-code"), FormatKind::kUnknown);
}

}  // namespace
}  // namespace ft::grammar
