#include "encoding/ordered_json.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/encoding/vectors.h"

namespace ft::encoding {
namespace {

TEST(OrderedJson, SharedVectors) {
  for (const Json& item : read_cases("encoding/json_cases.jsonl", 52)) {
    const EncodingResult<Json> value = Json::parse(item.get("json_text").as_string());
    ASSERT_TRUE(value) << item.dump();
    EXPECT_EQ(value->dump(), item.get("expected").as_string()) << item.dump();
  }
}

TEST(OrderedJson, RefusesWhatIsNotJson) {
  for (const char* text : {"",
                           " ",
                           "01",
                           "+1",
                           ".5",
                           "1.",
                           "1.e5",
                           "1e",
                           "1e+",
                           "-",
                           "--1",
                           "- 1",
                           "-NaN",
                           "nan",
                           "tru",
                           "nulll",
                           "[",
                           "[1",
                           "[1,",
                           "[1,]",
                           "[,]",
                           "[1 2]",
                           "{",
                           "{\"a\"",
                           "{\"a\":",
                           "{\"a\":1",
                           "{\"a\":1,",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{1:1}",
                           "\"",
                           "\"a",
                           "\"\\",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12G4\"",
                           "\"\\u+123\"",
                           "\"a\nb\"",
                           "\"\t\"",
                           "1 1",
                           "[] x",
                           "'a'",
                           "\xEF\xBB\xBF[]",
                           "\v1",
                           "\"\xFF\"",
                           "\"\xC3\"",
                           "\"\xED\xA0\x80\"",
                           "\xC3\xA9"}) {
    const EncodingResult<Json> value = Json::parse(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().kind, ErrorKind::kInvalidJson) << text;
    EXPECT_NE(value.error().message.find("at byte"), std::string::npos) << value.error().message;
  }
  EXPECT_FALSE(Json::parse(std::string_view("1\0", 2)));
}

TEST(OrderedJson, RefusesUnpairedSurrogates) {
  for (const char* text : {R"("\ud800")", R"("\udc00")", R"("\ud800x")", R"("\ud800\n")", R"("\ud800\ud800")",
                           R"({"\udfff":1})"}) {
    const EncodingResult<Json> value = Json::parse(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().kind, ErrorKind::kUnpairedSurrogate) << text;
  }
}

TEST(OrderedJson, NestingIsLimited) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(Json::parse(nested(kMaxJsonDepth)));
  EXPECT_FALSE(Json::parse(nested(kMaxJsonDepth + 1)));
  EXPECT_FALSE(Json::parse(std::string(1 << 20, '[')));
  std::string objects;
  for (int i = 0; i <= kMaxJsonDepth; ++i) objects += "{\"a\":";
  EXPECT_FALSE(Json::parse(objects));
}

TEST(OrderedJson, IntegersHaveAnyLengthUpToTheLimit) {
  const std::string digits(kMaxIntegerDigits, '7');
  EXPECT_EQ(Json::parse(digits)->dump(), digits);
  EXPECT_EQ(Json::parse("-" + digits)->dump(), "-" + digits);
  EXPECT_FALSE(Json::parse(digits + "7"));
  EXPECT_TRUE(Json::parse(digits + "7.5"));
  EXPECT_EQ(Json::parse("9223372036854775807")->to_int64(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(Json::parse("9223372036854775808")->to_int64(), std::nullopt);
  EXPECT_EQ(Json::parse("-9223372036854775808")->to_int64(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(Json::parse("1.0")->to_int64(), std::nullopt);
  EXPECT_EQ(Json::parse("1" + std::string(400, '0'))->to_double(), std::numeric_limits<double>::infinity());
}

TEST(OrderedJson, ExtremeNumbers) {
  const auto printed = [](const char* text) { return Json::parse(text)->dump(); };
  EXPECT_EQ(printed("1e999999999999999999999"), "Infinity");
  EXPECT_EQ(printed("-1e999999999999999999999"), "-Infinity");
  EXPECT_EQ(printed("1e-999999999999999999999"), "0.0");
  EXPECT_EQ(printed("-1e-400"), "-0.0");
  EXPECT_EQ(printed("0e999999999999999999999"), "0.0");
  EXPECT_EQ(printed("0.000e400"), "0.0");
  EXPECT_EQ(printed(("0." + std::string(500, '0') + "1e600").c_str()), "1e+99");
  EXPECT_EQ(printed((std::string(400, '9') + ".5").c_str()), "Infinity");
  EXPECT_EQ(printed((std::string(400, '9') + "e-500").c_str()), "1e-100");
  EXPECT_EQ(printed("2.2250738585072014e-308"), "2.2250738585072014e-308");
  EXPECT_EQ(printed("9999999999999998.0"), "9999999999999998.0");
  EXPECT_EQ(printed("0.0001"), "0.0001");
  EXPECT_EQ(printed("0.00001"), "1e-05");
}

TEST(OrderedJson, DoublesReadBackEqual) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20000; ++i) {
    const uint64_t bits = random();
    double value;
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) continue;
    const std::string text = format_double(value);
    const double back = *Json::parse(text)->to_double();
    EXPECT_EQ(std::memcmp(&back, &value, sizeof value), 0) << text;
  }
}

TEST(OrderedJson, DuplicateKeysKeepTheFirstPlaceAndTheLastValue) {
  EXPECT_EQ(Json::parse(R"({"a":1,"b":2,"a":3})")->dump(), R"({"a": 3, "b": 2})");
  std::string text = "{";  // enough members that keys are looked up in a table
  for (int i = 0; i < 100; ++i) text += "\"k" + std::to_string(i % 40) + "\":" + std::to_string(i) + ",";
  text.back() = '}';
  const Json value = *Json::parse(text);
  ASSERT_EQ(value.size(), 40u);
  for (size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(value.as_object()[i].first, "k" + std::to_string(i));
    EXPECT_EQ(value.as_object()[i].second.to_int64(), i < 20 ? 80 + i : 40 + i);
  }
}

TEST(OrderedJson, ManyKeysSomeRepeated) {
  constexpr int kKeys = 5000;
  std::string text = "{";
  for (int i = 0; i < kKeys; ++i) text += fmt::format("\"{}\": {}, ", i * 7919 % 1000, i);
  text += "\"last\": null}";
  const EncodingResult<Json> value = Json::parse(text);
  ASSERT_TRUE(value);
  ASSERT_EQ(value->size(), 1001u);
  for (size_t i = 0; i < 1000; ++i) {
    const auto& [key, number] = value->as_object()[i];
    EXPECT_EQ(key, std::to_string(i * 7919 % 1000));
    EXPECT_EQ(number.to_int64(), static_cast<int64_t>(kKeys - 1000 + i));
  }
}

TEST(OrderedJson, MembersAndTruth) {
  Json value = Json::object();
  value.set("b", 1);
  value.set("a", "x");
  value.set("b", Json::array());
  EXPECT_EQ(value.dump(), R"({"b": [], "a": "x"})");
  EXPECT_TRUE(value.get("none").is_null());
  EXPECT_EQ(value.find("none"), nullptr);
  EXPECT_TRUE(Json(3).get("x").is_null());
  for (const char* text : {"null", "false", "0", "-0", "0.0", "-0.0", "\"\"", "[]", "{}"}) {
    EXPECT_FALSE(Json::parse(text)->truthy()) << text;
  }
  for (const char* text : {"true", "1", "-1", "0.1", "NaN", "\" \"", "[null]", "{\"\":0}"}) {
    EXPECT_TRUE(Json::parse(text)->truthy()) << text;
  }
}

TEST(OrderedJson, EscapingInPiecesEqualsEscapingWhole) {
  std::string text;
  for (int c = 0; c < 0x80; ++c) text += static_cast<char>(c);
  text += "é你😀\u2028";
  std::string whole, pieces;
  append_json_escaped(whole, text);
  for (const char c : text) append_json_escaped(pieces, std::string_view(&c, 1));
  EXPECT_EQ(whole, pieces);
  EXPECT_EQ(*Json::parse("\"" + whole + "\""), Json(text));
}

// Another reader agrees on random values that both can hold.
Json random_value(std::mt19937& random, int depth) {
  switch (random() % (depth > 4 ? 5 : 7)) {
    case 0:
      return nullptr;
    case 1:
      return random() % 2 == 0;
    case 2:
      return static_cast<int64_t>(random()) - 2000000000;
    case 3:
      return std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 200) - 100);
    case 4: {
      std::string text;
      for (size_t i = random() % 8; i > 0; --i) text += static_cast<char>(random() % 0x7F + 1);
      return text;
    }
    case 5: {
      Json out = Json::array();
      for (size_t i = random() % 5; i > 0; --i) out.push_back(random_value(random, depth + 1));
      return out;
    }
    default: {
      Json out = Json::object();
      for (size_t i = random() % 5; i > 0; --i) {
        out.set(std::string(1, static_cast<char>('a' + random() % 26)), random_value(random, depth + 1));
      }
      return out;
    }
  }
}

TEST(OrderedJson, AgreesWithAnotherReader) {
  std::mt19937 random(11);
  for (int i = 0; i < 3000; ++i) {
    const Json value = random_value(random, 0);
    const std::string text = value.dump();
    EXPECT_EQ(*Json::parse(text), value) << text;
    const auto other = nlohmann::ordered_json::parse(text, nullptr, false);
    ASSERT_FALSE(other.is_discarded()) << text;
    EXPECT_EQ(nlohmann::ordered_json::parse(Json::parse(other.dump())->dump()), other) << text;
  }
}

// Damaged text is refused or read, never worse.
TEST(OrderedJson, SurvivesMutation) {
  std::mt19937 random(13);
  const std::string seed =
      R"({"a": [1, -2.5e3, "x\u00e9\ud83d\ude00", {"b": null}], "c": true, "d": "\\\"", "é": NaN})";
  for (int i = 0; i < 20000; ++i) {
    std::string text = seed;
    for (int edits = 0; edits < 3; ++edits) {
      const size_t at = random() % text.size();
      if (random() % 2 == 0) {
        text[at] = static_cast<char>(random());
      } else {
        text.erase(at, random() % 4);
      }
      if (text.empty()) text = "x";
    }
    const EncodingResult<Json> value = Json::parse(text);
    EXPECT_TRUE(!value || Json::parse(value->dump())) << text;
  }
}

}  // namespace
}  // namespace ft::encoding
