#include "encoding/reference_reader.h"

#include <gtest/gtest.h>

#include "tests/encoding/vectors.h"

namespace ft::encoding {
namespace {

TEST(ReferenceReader, SharedVectors) {
  for (const Json& item : read_cases("encoding/parse_cases.jsonl", 114)) {
    SCOPED_TRACE(item.get("id").dump() + " " + item.get("tag").dump());
    const bool thinking = item.get("thinking_mode") == Json("thinking");
    const EncodingResult<AssistantMessage> message =
        read_as_reference(item.get("text").as_string(), thinking);
    if (const Json* error = item.find("error")) {
      ASSERT_FALSE(message) << message->to_json().dump();
      EXPECT_EQ(reference_name(message.error().kind), error->get("type").as_string());
    } else {
      ASSERT_TRUE(message) << message.error().message;
      EXPECT_EQ(message->to_json().dump(), item.get("expected").dump());
    }
  }
}

// Each search stops at the nearest marker, so four megabytes take as long as forty times a tenth of them. A reader
// that looks for an absent marker in all that is left, or moves it, takes a quarter of an hour for one of these.
TEST(ReferenceReader, LongTextsAreLinear) {
  constexpr int kCount = 40000;
  const std::string open = "\n\n<｜DSML｜tool_calls>\n", close = "</｜DSML｜tool_calls>";
  std::string calls, parameters;
  for (int i = 0; i < kCount; ++i) {
    calls += "<｜DSML｜invoke name=\"f\">\n</｜DSML｜invoke>\n";
    parameters +=
        "<｜DSML｜parameter name=\"" + std::to_string(i) + "\" string=\"true\">v</｜DSML｜parameter>\n";
  }
  const auto many = read_as_reference(open + calls + close, false);
  ASSERT_TRUE(many) << many.error().message;
  EXPECT_EQ(many->tool_calls.size(), static_cast<size_t>(kCount));
  const auto one = read_as_reference(
      open + "<｜DSML｜invoke name=\"f\">\n" + parameters + "</｜DSML｜invoke>\n" + close, false);
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(Json::parse(one->tool_calls[0].arguments)->size(), static_cast<size_t>(kCount));
}

}  // namespace
}  // namespace ft::encoding
