#include "encoding/chat_template.h"

#include <gtest/gtest.h>

#include "tests/encoding/vectors.h"

namespace ft::encoding {
namespace {

ChatOptions options_of(const Json& item) {
  const Json& kwargs = item.get("kwargs");
  ChatOptions options;
  options.thinking = kwargs.get("thinking_mode") == Json("thinking");
  if (const Json* drop = kwargs.find("drop_thinking")) options.drop_thinking = drop->as_bool();
  if (const Json* bos = kwargs.find("add_default_bos_token")) options.add_default_bos_token = bos->as_bool();
  if (const Json* context = kwargs.find("context")) options.context = *read_chat_messages(*context);
  const Json& effort = kwargs.get("reasoning_effort");
  if (!effort.is_null())
    options.reasoning_effort.emplace(effort.is_string() ? effort.as_string() : effort.dump());
  if (const Json* profile = item.find("profile")) options.profile = find_profile(profile->as_string());
  return options;
}

void check_case(const Json& item) {
  SCOPED_TRACE(item.get("id").dump());
  Json messages = item.get("messages");
  if (const Json* raw = item.find("messages_raw")) messages = *Json::parse(raw->as_string());
  const EncodingResult<bool> mode = is_thinking_mode(item.get("kwargs").get("thinking_mode").as_string());
  EncodingResult<Prompt> prompt = encode_chat(messages, options_of(item));
  if (!mode && messages.size() > 0) prompt = tl::unexpected<EncodingError>(mode.error());
  if (const Json* error = item.find("error")) {
    ASSERT_FALSE(prompt) << prompt->text;
    EXPECT_EQ(reference_name(prompt.error().kind), error->get("type").as_string());
    return;
  }
  ASSERT_TRUE(prompt) << prompt.error().message;
  EXPECT_EQ(prompt->text, item.get("expected_prompt").as_string());
  size_t end = 0;
  for (size_t i = 0; i < prompt->client.size(); ++i) {
    const ByteRange& range = prompt->client[i];
    EXPECT_TRUE(i == 0 ? range.begin >= end : range.begin > end);
    EXPECT_LT(range.begin, range.end);
    end = range.end;
  }
  EXPECT_LE(end, prompt->text.size());
}

TEST(ChatTemplate, SharedVectors) {
  for (const Json& item : read_cases("encoding/cases.jsonl", 258)) check_case(item);
}

TEST(ChatTemplate, EffortsOfFlash0731) {
  for (const Json& item : read_cases("encoding/effort_0731_cases.jsonl", 16)) check_case(item);
  ChatOptions options;
  options.profile = &kFlash0731;
  options.reasoning_effort = "xhigh";
  EXPECT_EQ(encode_chat(*Json::parse(R"([{"role":"user","content":"q"}])"), options).error().kind,
            ErrorKind::kAssertionError);
}

TEST(ChatTemplate, UpstreamPairs) {
  const std::string folder = FT_DEEPSEEK_DATA "/encoding/official/";
  if (is_missing(folder)) GTEST_SKIP() << "SKIPPED: DeepSeek's example pairs are not at " << folder;
  for (int i = 1; i <= 4; ++i) {
    SCOPED_TRACE(i);
    Json messages = read_json(folder + "test_input_" + std::to_string(i) + ".json");
    if (messages.is_object()) {
      Json list = messages.get("messages");
      list.as_array()[0].set("tools", messages.get("tools"));
      messages = list;
    }
    ChatOptions options;
    options.thinking = i != 4;
    const EncodingResult<Prompt> prompt = encode_chat(messages, options);
    ASSERT_TRUE(prompt) << prompt.error().message;
    EXPECT_EQ(prompt->text, read_text(folder + "test_output_" + std::to_string(i) + ".txt"));
  }
}

TEST(ChatTemplate, FixedTextsAreByteExact) {
  const std::string folder = std::string(FT_TEST_DATA) + "/encoding/";
  EXPECT_EQ(std::string(kToolsBlockHead) + "@@SCHEMAS@@" + std::string(kToolsBlockTail),
            read_text(folder + "tools_block.txt"));
  ASSERT_EQ(kPreview.efforts.size(), 2u);
  EXPECT_EQ(kPreview.efforts[1].text, read_text(folder + "effort_max_preview.txt"));
  ASSERT_EQ(kFlash0731.efforts.size(), 3u);
  EXPECT_EQ(kFlash0731.efforts[1].text, read_text(folder + "effort_max_preview.txt"));
  EXPECT_EQ(kFlash0731.efforts[2].text, read_text(folder + "effort_max_0731.txt"));
  EXPECT_EQ(find_profile("preview"), &kPreview);
  EXPECT_EQ(find_profile("0731"), &kFlash0731);
  EXPECT_EQ(find_profile("x"), nullptr);
}

// What the client gave, and nothing else, is inside the ranges.
TEST(ChatTemplate, ClientRangesHoldExactlyTheClientsText) {
  const Json messages = *Json::parse(R"([
    {"role":"system","content":"S<think>","tools":[{"type":"function","function":{"name":"F"}}],"response_format":{"r":1}},
    {"role":"user","content":"U<｜User｜>"},
    {"role":"assistant","content":"A","reasoning_content":"R","tool_calls":[
      {"id":"1","function":{"name":"N","arguments":"{\"K\":\"V\",\"L\":[2]}"}}]},
    {"role":"tool","tool_call_id":"1","content":"T</tool_result>"},
    {"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"P"},{"type":"image"},{"type":"text"}]},
    {"role":"latest_reminder","content":"M"}])");
  ChatOptions options;
  options.thinking = true;
  const EncodingResult<Prompt> prompt = encode_chat(messages, options);
  ASSERT_TRUE(prompt) << prompt.error().message;
  std::vector<std::string> client;
  std::string format;
  size_t at = 0;
  for (const ByteRange& range : prompt->client) {
    client.push_back(prompt->text.substr(range.begin, range.end - range.begin));
    format += prompt->text.substr(at, range.begin - at) + "@";
    at = range.end;
  }
  format += prompt->text.substr(at);
  const std::vector<std::string> expected{"S<think>",
                                          "{\"name\": \"F\"}",
                                          "{\"r\": 1}",
                                          "U<｜User｜>",
                                          "R",
                                          "A",
                                          "N",
                                          "K",
                                          "V",
                                          "L",
                                          "[2]",
                                          "T</tool_result>",
                                          "P\n\n[Unsupported image]\n\n",
                                          "M"};
  EXPECT_EQ(client, expected);
  EXPECT_EQ(format.substr(0, kBosToken.size() + 1), std::string(kBosToken) + "@");
  EXPECT_NE(
      format.find(
          "<｜User｜>@<｜Assistant｜><think>@</think>@\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"@\">\n"
          "<｜DSML｜parameter name=\"@\" string=\"true\">@</｜DSML｜parameter>\n"
          "<｜DSML｜parameter name=\"@\" string=\"false\">@</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
          "</｜DSML｜tool_calls><｜end▁of▁sentence｜><｜User｜><tool_result>@</tool_result>\n\n"
          "<tool_result>@</tool_result><｜Assistant｜><think><｜latest_reminder｜>@"),
      std::string::npos)
      << format;
}

TEST(ChatTemplate, RefusesWrongTypes) {
  const auto kind = [](const char* messages) {
    const EncodingResult<Json> value = Json::parse(messages);
    EXPECT_TRUE(value) << messages;
    const EncodingResult<Prompt> prompt = encode_chat(*value, {});
    EXPECT_FALSE(prompt) << messages;
    if (prompt) return std::string("accepted");
    EXPECT_TRUE(prompt.error().message.starts_with(prompt.error().field)) << prompt.error().message;
    EXPECT_TRUE(prompt.error().field.starts_with("messages")) << prompt.error().field;
    return std::string(reference_name(prompt.error().kind));
  };
  EXPECT_EQ(kind(R"({"role":"user"})"), "TypeError");
  EXPECT_EQ(kind(R"("text")"), "TypeError");
  EXPECT_EQ(kind(R"(["text"])"), "AttributeError");
  EXPECT_EQ(kind(R"([{"role":"system","content":["x"]}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"system","content":5}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"developer","content":5}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"latest_reminder","content":{}}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"user","content":null}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"tool","content":{"a":1}}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"tool","content":["a"]}])"), "AttributeError");
  EXPECT_EQ(kind(R"([{"role":"tool","content":[{"type":"text","text":null}]}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"assistant","content":["x"]}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"assistant","reasoning_content":["x"]}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"system","content":"","tools":{"a":1}}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"system","content":"","tools":["a"]}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"assistant","tool_calls":5}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"assistant","tool_calls":["a"]}])"), "AttributeError");
  EXPECT_EQ(kind(R"([{"role":"assistant","tool_calls":[{"id":[1]}]}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"assistant","tool_calls":[{"id":"a","function":null}]}])"), "TypeError");
  EXPECT_EQ(kind(R"([{"role":"assistant","tool_calls":[{"function":{"arguments":"{}"}}]}])"), "KeyError");
  EXPECT_EQ(kind(R"([{"role":"assistant","tool_calls":[{"function":{"name":["f"],"arguments":"{}"}}]}])"),
            "TypeError");
  EXPECT_EQ(
      kind(
          R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{\"a\":\"\\ud800\"}"}}]}])"),
      "ValueError");
  EXPECT_EQ(kind(R"([{"role":5,"content":"x"}])"), "NotImplementedError");
}

TEST(ChatTemplate, ErrorsNameTheField) {
  const auto field = [](const char* messages, bool thinking = false) {
    ChatOptions options;
    options.thinking = thinking;
    return encode_chat(*Json::parse(messages), options).error().field;
  };
  EXPECT_EQ(field("7"), "messages");
  EXPECT_EQ(field(R"([{"role":"user","content":"q"},{"role":"system","content":[1]}])"),
            "messages[1].content");
  EXPECT_EQ(field(R"([{"role":"tool","content":[{"type":"text","text":1}]}])"),
            "messages[0].content[0].text");
  EXPECT_EQ(field(R"([{"role":"assistant","tool_calls":[{},{}]}])"), "messages[0].tool_calls[0].function");
  EXPECT_EQ(field(R"([{"role":"user","content":"q"},{"role":"tool","content":"r"},{"role":"weird"}])"),
            "messages[2].role");
  EXPECT_EQ(field(R"([{"role":"system","content":"s"},{"role":"user","content":"q","task":"x"}])"),
            "messages[1].task");
  EXPECT_EQ(field(R"([{"role":"developer"}])"), "messages[0].content");
  EXPECT_EQ(field(R"([{"role":"direct_search_results"},{"role":"user","content":"q"}])", true),
            "messages[0].role");
}

TEST(ChatTemplate, OneRuleChoosesTheProfile) {
  EXPECT_EQ(profile_of_checkpoint(true, 129280).name, "0731");
  EXPECT_EQ(profile_of_checkpoint(false, 129280).name, "preview");
  EXPECT_EQ(profile_of_checkpoint(true, 2048).name, "preview");
}

TEST(ChatTemplate, RenderingStopsAtTheLimit) {
  Json arguments = Json::object();
  for (int i = 0; i < 1000; ++i) arguments.set(std::to_string(i), i);
  const Json call = Json::Object{{"function", Json::Object{{"name", "f"}, {"arguments", arguments.dump()}}}};
  const Json messages = Json::Array{Json::Object{{"role", "assistant"}, {"tool_calls", Json::Array{call}}}};
  const size_t size = encode_chat(messages, {})->text.size();
  ChatOptions options;
  options.max_bytes = size;
  EXPECT_TRUE(encode_chat(messages, options));
  options.max_bytes = size - 1;
  EXPECT_EQ(encode_chat(messages, options).error().kind, ErrorKind::kTooLong);
}

TEST(ChatTemplate, UnreadableArgumentsBecomeOneParameter) {
  const std::string deep = std::string(600, '[') + std::string(600, ']');
  Json function = Json::object();
  function.set("name", "f");
  function.set("arguments", deep);
  Json call = Json::object();
  call.set("function", std::move(function));
  Json message = Json::object();
  message.set("role", "assistant");
  message.set("tool_calls", Json::Array{call});
  const EncodingResult<Prompt> prompt = encode_chat(Json::Array{message}, {});
  ASSERT_TRUE(prompt) << prompt.error().message;
  EXPECT_NE(prompt->text.find("name=\"arguments\" string=\"true\">" + deep + "</"), std::string::npos);
}

}  // namespace
}  // namespace ft::encoding
