#include <gtest/gtest.h>

#include "server/api/openai_chat.h"
#include "tests/support/drafter_choice.h"

namespace ft::server {
namespace {

using draft::DrafterChoice;
using encoding::ChatRole;
using encoding::Json;

RequestDefaults defaults() {
  RequestDefaults defaults;
  defaults.drafters = {"dspark", "ngram", "dspark+ngram"};
  defaults.tree_nodes_max = 17;
  defaults.vocab_size = 1000;
  defaults.priority_max = INT32_MAX;
  return defaults;
}

// A valid body with `member` put in (or replaced).
ApiResult<ChatRequest> parse(const std::string& member, const std::string& value) {
  Json body = *Json::parse(R"({"messages":[{"role":"user","content":"hi"}]})");
  if (!member.empty()) body.set(member, *Json::parse(value));
  return parse_chat_request(body, defaults());
}

ApiResult<ChatRequest> parse_messages(const std::string& messages) {
  return parse("messages", messages);
}

struct Refused {
  std::string member;
  std::string value;
  std::string param;
};

std::ostream& operator<<(std::ostream& out, const Refused& c) {
  return out << c.member << " = " << c.value;
}

class ChatRequestRefused : public ::testing::TestWithParam<Refused> {};

TEST_P(ChatRequestRefused, NamesTheField) {
  const auto request = parse(GetParam().member, GetParam().value);
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().status, 400);
  EXPECT_EQ(request.error().type, "invalid_request_error");
  EXPECT_EQ(request.error().param, GetParam().param);
  EXPECT_NE(request.error().message.find("'"), std::string::npos) << request.error().message;
}

// Every scalar field with every wrong type.
std::vector<Refused> wrong_types() {
  struct Field {
    const char* name;
    const char* type;
  };
  const Field fields[] = {
      {"model", "string"},
      {"max_tokens", "integer"},
      {"max_completion_tokens", "integer"},
      {"n", "integer"},
      {"stream", "boolean"},
      {"stream_options", "object"},
      {"include_speculation", "boolean"},
      {"seed", "integer"},
      {"temperature", "number"},
      {"top_p", "number"},
      {"top_k", "integer"},
      {"min_p", "number"},
      {"presence_penalty", "number"},
      {"frequency_penalty", "number"},
      {"repetition_penalty", "number"},
      {"logit_bias", "object"},
      {"stop_token_ids", "array"},
      {"ignore_eos", "boolean"},
      {"priority", "integer"},
      {"speculation", "object"},
      {"response_format", "object"},
      {"thinking", "object"},
      {"chat_template_kwargs", "object"},
      {"reasoning_effort", "string"},
      {"logprobs", "boolean"},
      {"top_logprobs", "integer"},
      {"parallel_tool_calls", "boolean"},
      {"tools", "array"},
      {"messages", "array"},
  };
  const std::pair<const char*, const char*> values[] = {{"string", "\"x\""}, {"integer", "7"},
                                                        {"number", "0.5"},   {"boolean", "true"},
                                                        {"array", "[]"},     {"object", "{}"}};
  std::vector<Refused> cases;
  for (const Field& field : fields) {
    for (const auto& [type, value] : values) {
      const std::string expected = field.type;
      if (expected == type || (expected == "number" && std::string(type) == "integer")) continue;
      cases.push_back({field.name, value, field.name});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(WrongTypes, ChatRequestRefused, ::testing::ValuesIn(wrong_types()));

const Refused kRanges[] = {
    {"include_speculation", "\"step\"", "include_speculation"},
    {"max_tokens", "-2", "max_tokens"},
    {"max_tokens", "1.5", "max_tokens"},
    {"max_tokens", "99999999999999999999", "max_tokens"},
    {"max_completion_tokens", "-2", "max_completion_tokens"},
    {"n", "0", "n"},
    {"n", "129", "n"},
    {"n", "1.5", "n"},
    {"n", R"("1")", "n"},
    {"seed", "9223372036854775808", "seed"},
    {"temperature", "-0.1", "temperature"},
    {"temperature", "NaN", "temperature"},
    {"temperature", "Infinity", "temperature"},
    {"top_p", "-0.1", "top_p"},
    {"top_p", "1.5", "top_p"},
    {"top_k", "-2", "top_k"},
    {"min_p", "2", "min_p"},
    {"presence_penalty", "2.5", "presence_penalty"},
    {"repetition_penalty", "0", "repetition_penalty"},
    {"logit_bias", R"({"x":1})", "logit_bias"},
    {"logit_bias", R"({"-1":1})", "logit_bias"},
    {"logit_bias", R"({"1000":1})", "logit_bias"},
    {"logit_bias", R"({"1":"a"})", "logit_bias.1"},
    {"logit_bias", R"({"1":null})", "logit_bias.1"},
    {"logit_bias", R"({"1":101})", "logit_bias.1"},
    {"logit_bias", R"({"1":1,"01":2})", "logit_bias"},
    {"stop", "7", "stop"},
    {"stop", "{}", "stop"},
    {"stop", R"(["a",7])", "stop[1]"},
    {"stop",
     R"(["a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a",
         "a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a",
         "a","a","a","a","a","a","a"])",
     "stop"},
    {"stop_token_ids", "[1000]", "stop_token_ids"},
    {"stop_token_ids", R"(["a"])", "stop_token_ids"},
    {"stream_options", R"({"include_usage":1})", "stream_options.include_usage"},
    {"speculation", R"({"enabled":"no"})", "speculation.enabled"},
    {"speculation", R"({"max_nodes":0})", "speculation.max_nodes"},
    {"speculation", R"({"max_nodes":18})", "speculation.max_nodes"},
    {"speculation", R"({"max_nodes":-1})", "speculation.max_nodes"},
    {"speculation", R"({"max_nodes":2.5})", "speculation.max_nodes"},
    {"speculation", R"({"drafter":"mtp"})", "speculation.drafter"},
    {"speculation", R"({"drafter":"mtp+ngram"})", "speculation.drafter"},
    {"speculation", R"({"drafter":"eagle"})", "speculation.drafter"},
    {"speculation", R"({"drafter":""})", "speculation.drafter"},
    {"speculation", R"({"enabled":false,"drafter":"mtp"})", "speculation.drafter"},
    {"speculation", R"({"drafter":1})", "speculation.drafter"},
    {"speculation", R"({"tree":"wide"})", "speculation.tree"},
    {"speculation", R"({"nodes":1})", "speculation.nodes"},
    {"priority", "2147483648", "priority"},
    {"priority", "-2147483648", "priority"},
    {"priority", "1.5", "priority"},
    {"response_format", R"({"x":1})", "response_format.type"},
    {"response_format", R"({"type":"grammar"})", "response_format.type"},
    {"response_format", R"({"type":"json_schema"})", "response_format.json_schema"},
    {"response_format", R"({"type":"json_schema","json_schema":{}})", "response_format.json_schema.schema"},
    {"response_format", R"({"type":"json_schema","json_schema":{"schema":{"unevaluatedItems":false}}})",
     "response_format.json_schema.schema"},
    {"prediction", R"({"content":"a"})", "prediction.type"},
    {"prediction", R"({"type":"content"})", "prediction.content"},
    {"prediction", R"({"type":"content","content":7})", "prediction.content"},
    {"prediction", R"({"type":"content","content":[{"type":"image"}]})", "prediction.content[0]"},
    {"guided_json", R"({"type":"nothing"})", "guided_json"},
    {"guided_json", R"("{")", "guided_json"},
    {"guided_regex", R"("(a")", "guided_regex"},
    {"guided_regex", "7", "guided_regex"},
    {"guided_choice", R"(["a",1])", "guided_choice"},
    {"guided_choice", R"([])", "guided_choice"},
    {"regex", R"("a\\1")", "regex"},
    {"structured_outputs", R"({"grammar":"x"})", "structured_outputs.grammar"},
    {"structured_outputs", R"({"json":{"pattern":"("}})", "structured_outputs.json"},
    {"structured_outputs", R"({"regex":"a","choice":["a"]})", "structured_outputs.choice"},
    {"response_format", R"({"type":7})", "response_format.type"},
    {"thinking", R"({})", "thinking.type"},
    {"thinking", R"({"type":"on"})", "thinking.type"},
    {"thinking", R"({"type":true})", "thinking.type"},
    {"chat_template_kwargs", R"({"thinking":"yes"})", "chat_template_kwargs.thinking"},
    {"chat_template_kwargs", R"({"enable_thinking":1})", "chat_template_kwargs.enable_thinking"},
    {"reasoning_effort", R"("extreme")", "reasoning_effort"},
    {"top_logprobs", "3", "top_logprobs"},
    {"tool_choice", R"("required")", "tool_choice"},
    {"tool_choice", R"({"type":"function","function":{"name":"f"}})", "tool_choice"},
    {"tool_choice", "7", "tool_choice"},
    {"functions", R"([{"name":"f"}])", "functions"},
    {"function_call", R"("auto")", "function_call"},
    {"tools", "[7]", "tools[0]"},
    {"tools", R"([{"type":"function"}])", "tools[0].function"},
    {"tools", R"([{"function":{"name":"f"}}])", "tools[0].type"},
    {"tools", R"([{"type":"function","function":{"name":7}}])", "tools[0].function.name"},
    {"tools", R"([{"type":"function","function":{}}])", "tools[0].function.name"},
    {"tools", R"([{"type":"function","function":{"name":"f","parameters":[]}}])",
     "tools[0].function.parameters"},
};
INSTANTIATE_TEST_SUITE_P(Ranges, ChatRequestRefused, ::testing::ValuesIn(kRanges));

const Refused kMessages[] = {
    {"messages", "[]", "messages"},
    {"messages", "[7]", "messages[0]"},
    {"messages", "[{}]", "messages[0].role"},
    {"messages", R"([{"role":7,"content":"x"}])", "messages[0].role"},
    {"messages", R"([{"role":"narrator","content":"x"}])", "messages[0].role"},
    {"messages", R"([{"role":"user"}])", "messages[0].content"},
    {"messages", R"([{"role":"user","content":null}])", "messages[0].content"},
    {"messages", R"([{"role":"user","content":7}])", "messages[0].content"},
    {"messages", R"([{"role":"user","content":{}}])", "messages[0].content"},
    {"messages", R"([{"role":"user","content":["x"]}])", "messages[0].content[0]"},
    {"messages", R"([{"role":"user","content":[{"text":"x"}]}])", "messages[0].content[0].type"},
    {"messages", R"([{"role":"user","content":[{"type":"text"}]}])", "messages[0].content[0].text"},
    {"messages", R"([{"role":"user","content":[{"type":"text","text":7}]}])", "messages[0].content[0].text"},
    {"messages", R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])",
     "messages[0].content[0].type"},
    {"messages", R"([{"role":"tool","content":"x","tool_call_id":7}])", "messages[0].tool_call_id"},
    {"messages", R"([{"role":"user","content":"x","task":"sing"}])", "messages[0].task"},
    {"messages", R"([{"role":"system","content":"x","task":"title"}])", "messages[0].task"},
    {"messages", R"([{"role":"user","content":"x"},{"role":"user","content":"x","task":"title"}])",
     "messages[1].task"},
    {"messages", R"([{"role":"user","content":"x","tools":[{}]}])", "messages[0].tools"},
    {"messages", R"([{"role":"assistant","content":"x","wo_eos":true}])", "messages[0].wo_eos"},
    {"messages", R"([{"role":"assistant","function_call":{"arguments":"{}"}}])",
     "messages[0].function_call.name"},
    {"continue_final_message", "true", "continue_final_message"},
    {"add_generation_prompt", "false", "add_generation_prompt"},
    {"chat_template_kwargs", R"({"thinking_mode":"fast"})", "chat_template_kwargs.thinking_mode"},
    {"chat_template_kwargs", R"({"drop_thinking":1})", "chat_template_kwargs.drop_thinking"},
    {"chat_template_kwargs", R"({"tone":"calm"})", "chat_template_kwargs.tone"},
    {"messages", R"([{"role":"assistant","reasoning_content":7},{"role":"user","content":"x"}])",
     "messages[0].reasoning_content"},
    {"messages", R"([{"role":"assistant","prefix":1},{"role":"user","content":"x"}])", "messages[0].prefix"},
    {"messages", R"([{"role":"assistant","content":"a","prefix":true},{"role":"user","content":"x"}])",
     "messages[0].prefix"},
    {"messages", R"([{"role":"assistant","tool_calls":7},{"role":"user","content":"x"}])",
     "messages[0].tool_calls"},
    {"messages", R"([{"role":"assistant","tool_calls":[7]},{"role":"user","content":"x"}])",
     "messages[0].tool_calls[0]"},
    {"messages", R"([{"role":"assistant","tool_calls":[{"type":"custom"}]},{"role":"user","content":"x"}])",
     "messages[0].tool_calls[0].type"},
    {"messages", R"([{"role":"assistant","tool_calls":[{}]},{"role":"user","content":"x"}])",
     "messages[0].tool_calls[0].function"},
    {"messages",
     R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"\"\\ud800\""}}]},{"role":"user","content":"x"}])",
     "messages[0].tool_calls[0].function.arguments"},
};
INSTANTIATE_TEST_SUITE_P(Messages, ChatRequestRefused, ::testing::ValuesIn(kMessages));

TEST(ChatRequest, DefaultsAreTheApis) {
  const auto request = parse("", "");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->params.sampling.temperature, 1.0);
  EXPECT_EQ(request->params.sampling.top_p, 1.0);
  EXPECT_EQ(request->params.choices, 1);
  EXPECT_FALSE(request->params.max_tokens);
  EXPECT_FALSE(request->params.seed);
  EXPECT_FALSE(request->params.stream);
  EXPECT_TRUE(request->params.speculation.enabled);
  EXPECT_FALSE(request->params.speculation.drafter);
  EXPECT_FALSE(request->params.speculation.max_nodes);
  EXPECT_EQ(request->params.priority, 0);
  EXPECT_TRUE(request->thinking);
  EXPECT_FALSE(request->tools_offered);
}

TEST(ChatRequest, NullMeansAbsentAndUnknownIsIgnored) {
  for (const char* member : {"model", "max_tokens", "n", "stream", "stop", "seed", "temperature",
                             "logit_bias", "tools", "tool_choice", "response_format", "thinking",
                             "speculation", "stream_options", "priority", "prediction"}) {
    EXPECT_TRUE(parse(member, "null")) << member;
  }
  for (const char* member : {"user", "metadata", "store", "service_tier", "verbosity", "prompt_cache_key",
                             "safety_identifier", "anything"}) {
    EXPECT_TRUE(parse(member, R"({"a":[1]})")) << member;
    EXPECT_TRUE(parse(member, R"("text")")) << member;
  }
}

TEST(ChatRequest, ReadsValues) {
  const auto request = parse_chat_request(
      *Json::parse(R"({"model":"m","max_tokens":5,"max_completion_tokens":6,"n":2,"stream":true,
        "stream_options":{"include_usage":true},"seed":-1,"temperature":0.5,"top_p":0.9,"top_k":-1,"min_p":0.1,
        "presence_penalty":1,"frequency_penalty":-1,"repetition_penalty":1.1,"logit_bias":{"9":-100,"5":2.5},
        "stop":["a","","b"],"stop_token_ids":[3],"ignore_eos":true,"logprobs":true,"top_logprobs":4,
        "speculation":{"drafter":"none","max_nodes":4,"tree":"chain"},"reasoning_effort":"medium",
        "response_format":{"type":"text"},"include_speculation":true,"parallel_tool_calls":false,
        "messages":[{"role":"user","content":"hi"}]})"),
      defaults());
  ASSERT_TRUE(request) << request.error().message;
  const RequestParams& params = request->params;
  EXPECT_EQ(params.model, "m");
  EXPECT_EQ(params.max_tokens, 6);  // the newer name wins
  EXPECT_EQ(params.choices, 2);
  EXPECT_TRUE(params.stream && params.include_usage && params.include_speculation && params.ignore_eos);
  EXPECT_EQ(params.seed, UINT64_MAX);
  EXPECT_EQ(params.sampling.temperature, 0.5);
  EXPECT_EQ(params.sampling.top_k, 0);
  EXPECT_EQ(params.sampling.repetition_penalty, 1.1);
  const std::vector<std::pair<int32_t, float>> bias{{5, 2.5F}, {9, -100.0F}};
  EXPECT_EQ(params.sampling.logit_bias, bias);  // ascending, as the sampler wants
  EXPECT_EQ(params.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(params.stop_token_ids, std::vector<int32_t>{3});
  EXPECT_FALSE(params.speculation.enabled);
  EXPECT_EQ(params.speculation.max_nodes, 4);
  EXPECT_EQ(params.speculation.shape, draft::TreeShape::kChain);
  EXPECT_EQ(request->effort, "high");
  EXPECT_TRUE(request->logprobs);
  EXPECT_EQ(request->top_logprobs, 4);
  EXPECT_FALSE(request->parallel_tool_calls);
}

TEST(ChatRequest, TakesOneFormatForTheAnswer) {
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"response_format", R"({"type":"json_object"})"},
           {"response_format",
            R"({"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":{}}})"},
           {"guided_json", R"({"type":"integer"})"},
           {"guided_json", R"("{\"type\":\"integer\"}")"},
           {"json_schema", R"({"type":"integer"})"},
           {"guided_regex", R"("[a-z]+")"},
           {"regex", R"("[a-z]+")"},
           {"guided_choice", R"(["a","b"])"},
           {"structured_outputs", R"({"choice":["a"]})"},
           {"structured_outputs", R"({"json_object":true})"}}) {
    const auto request = parse(name, value);
    ASSERT_TRUE(request) << name << value << ": " << request.error().message;
    EXPECT_NE(request->params.format.grammar, nullptr) << name << value;
  }
  EXPECT_EQ(parse("response_format", R"({"type":"text"})")->params.format.grammar, nullptr);
  const auto refused = parse("guided_json", R"({"properties":{"a":{"items":{"unevaluatedItems":false}}}})");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("'unevaluatedItems' at #/properties/a/items"), std::string::npos)
      << refused.error().message;
}

TEST(ChatRequest, ReadsAPrediction) {
  EXPECT_EQ(parse("prediction", R"({"type":"content","content":"a b"})")->params.prediction, "a b");
  EXPECT_EQ(parse("prediction",
                  R"({"type":"content","content":[{"type":"text","text":"a "},{"type":"text","text":"b"}]})")
                ->params.prediction,
            "a b");
  EXPECT_FALSE(parse("prediction", "{}")->params.prediction);
}

TEST(ChatRequest, ChoosesTheDrafter) {
  const std::pair<const char*, std::optional<DrafterChoice>> kinds[] = {
      {"dspark", support::drafter("dspark")},
      {"ngram", support::drafter("ngram")},
      {"dspark+ngram", support::drafter("dspark+ngram")},
      {"auto", std::nullopt}};
  for (const auto& [name, kind] : kinds) {
    const auto request = parse("speculation", R"({"drafter":")" + std::string(name) + R"("})");
    ASSERT_TRUE(request) << name << ": " << request.error().message;
    EXPECT_TRUE(request->params.speculation.enabled) << name;
    EXPECT_EQ(request->params.speculation.drafter, kind) << name;
  }
  EXPECT_FALSE(parse("speculation", R"({"drafter":"none"})")->params.speculation.enabled);
  const auto off = parse("speculation", R"({"enabled":false,"drafter":"ngram"})");
  EXPECT_FALSE(off->params.speculation.enabled);
}

TEST(ChatRequest, SaysWhichDraftersThereAre) {
  const auto request = parse("speculation", R"({"drafter":"mtp"})");
  ASSERT_FALSE(request);
  EXPECT_EQ(
      request.error().message,
      "'speculation.drafter' is 'mtp', but this server offers 'dspark', 'ngram', 'dspark+ngram', 'auto' and "
      "'none'");
  const Json body =
      *Json::parse(R"({"messages":[{"role":"user","content":"hi"}],"speculation":{"drafter":"ngram"}})");
  EXPECT_EQ(parse_chat_request(body, RequestDefaults{}).error().message,
            "'speculation.drafter' is 'ngram', but this server offers 'auto' and 'none'");
}

TEST(ChatRequest, TakesNumbersAsClientsWriteThem) {
  EXPECT_EQ(parse("max_tokens", "100.0")->params.max_tokens, 100);
  EXPECT_EQ(parse("max_tokens", "1e2")->params.max_tokens, 100);
  EXPECT_EQ(parse("top_k", "40.0")->params.sampling.top_k, 40);
  for (const char* none : {"-1", "0", "-1.0"})
    EXPECT_FALSE(parse("max_tokens", none)->params.max_tokens) << none;
  EXPECT_EQ(parse("max_tokens", "9007199254740991")->params.max_tokens, INT32_MAX);
  EXPECT_EQ(parse("n", "128")->params.choices, 128);
  const auto greedy = parse("top_p", "0")->params.sampling;  // the likeliest token alone
  EXPECT_EQ(greedy.top_k, 1);
  EXPECT_EQ(greedy.top_p, 1.0);
  std::string stops;
  for (int i = 0; i < 27; ++i) stops += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\"";
  EXPECT_EQ(parse("stop", "[" + stops + "]")->params.stop.size(), 27U);
}

TEST(ChatRequest, WhatAsksForNothingIsTaken) {
  for (const char* name : {"functions", "guided_grammar", "documents", "modalities", "tools"})
    EXPECT_TRUE(parse(name, "[]")) << name;
  EXPECT_TRUE(parse("response_format", "{}"));
  EXPECT_TRUE(parse("reasoning", "{}"));
}

TEST(ChatRequest, LimitsTheNodes) {
  EXPECT_EQ(parse("speculation", R"({"max_nodes":1})")->params.speculation.max_nodes, 1);
  EXPECT_EQ(parse("speculation", R"({"max_nodes":17})")->params.speculation.max_nodes, 17);
  const auto request = parse("speculation", R"({"max_nodes":18})");
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().message, "'speculation.max_nodes' must be between 1 and 17, not 18");
}

// vLLM's meaning, lower first, is the opposite of the engine's.
TEST(ChatRequest, TurnsThePriorityAround) {
  EXPECT_EQ(parse("priority", "-3")->params.priority, 3);
  EXPECT_EQ(parse("priority", "7")->params.priority, -7);
  EXPECT_EQ(parse("priority", "2147483647")->params.priority, -2147483647);
  EXPECT_EQ(parse("priority", "-2147483647")->params.priority, 2147483647);
}

TEST(ChatRequest, DecidesOnThinking) {
  EXPECT_FALSE(parse("thinking", R"({"type":"disabled"})")->thinking);
  EXPECT_FALSE(parse("chat_template_kwargs", R"({"thinking":false})")->thinking);
  EXPECT_FALSE(parse("chat_template_kwargs", R"({"enable_thinking":false})")->thinking);
  EXPECT_FALSE(parse("reasoning_effort", R"("none")")->thinking);
  EXPECT_FALSE(parse("chat_template_kwargs", R"({"thinking_mode":"chat"})")->thinking);
  EXPECT_EQ(parse("chat_template_kwargs", R"({"reasoning_effort":"max"})")->effort, "max");
  EXPECT_FALSE(parse("chat_template_kwargs", R"({"drop_thinking":false})")->drop_thinking);
  EXPECT_TRUE(parse("thinking", R"({"type":"adaptive"})")->thinking);
  const std::pair<const char*, const char*> efforts[] = {
      {"minimal", "low"}, {"low", "low"}, {"medium", "high"}, {"high", "high"},
      {"xhigh", "high"},  {"max", "max"}, {"ultra", "max"}};
  for (const auto& [name, level] : efforts) {
    const auto request = parse("reasoning_effort", '"' + std::string(name) + '"');
    ASSERT_TRUE(request);
    EXPECT_TRUE(request->thinking);
    EXPECT_EQ(request->effort, level);
  }
  RequestDefaults quiet = defaults();
  quiet.thinking = false;
  const Json body =
      *Json::parse(R"({"messages":[{"role":"user","content":"hi"}],"thinking":{"type":"enabled"}})");
  EXPECT_TRUE(parse_chat_request(body, quiet)->thinking);
}

TEST(ChatRequest, ReadsMessages) {
  const auto request = parse_messages(
      R"([{"role":"developer","content":"d","tools":[],"response_format":{}},
          {"role":"user","content":[{"type":"text","text":"a"},{"type":"input_text","text":"b"}],"name":"Ada"},
          {"role":"assistant","content":[{"type":"output_text","text":"c"}],"reasoning_content":"r","wo_eos":false,
           "tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"k\": 1}"},"index":0}]},
          {"role":"tool","tool_call_id":"1","content":[{"type":"text","text":"t"},{"type":"text","text":"u"}]}])");
  ASSERT_TRUE(request) << request.error().message;
  const std::vector<encoding::ChatMessage>& messages = request->messages;
  ASSERT_EQ(messages.size(), 4U);
  EXPECT_EQ(messages[0].role, ChatRole::kSystem);
  EXPECT_EQ(messages[0].content, "d");
  EXPECT_TRUE(messages[0].functions.empty());
  EXPECT_TRUE(messages[0].response_format.is_null());
  EXPECT_EQ(messages[1].content, "a\nb");
  EXPECT_EQ(messages[2].content, "c");
  EXPECT_EQ(messages[2].reasoning_content, "r");
  EXPECT_FALSE(messages[2].open_end);
  ASSERT_EQ(messages[2].tool_calls.size(), 1U);
  EXPECT_EQ(messages[2].tool_calls[0].id, "1");
  EXPECT_EQ(messages[2].tool_calls[0].name, "f");
  EXPECT_EQ(Json(messages[2].tool_calls[0].arguments).dump(), R"({"k": 1})");
  EXPECT_EQ(messages[3].role, ChatRole::kTool);
  EXPECT_EQ(messages[3].content, "t\n\nu");
  EXPECT_EQ(messages[3].tool_call_id, "1");
}

// What agents send back of a model's calls, odd ones included.
TEST(ChatRequest, TakesArgumentsInEveryForm) {
  const auto arguments = [](const std::string& given) {
    const auto request =
        parse_messages(R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":)" + given +
                       R"(}}]},{"role":"user","content":"x"}])");
    EXPECT_TRUE(request) << given;
    return request ? Json(request->messages[0].tool_calls[0].arguments).dump() : "";
  };
  EXPECT_EQ(arguments(R"({"b": 1, "a": "x"})"), R"({"b": 1, "a": "x"})");
  EXPECT_EQ(arguments(R"("{\"b\": 1}")"), R"({"b": 1})");
  EXPECT_EQ(arguments(R"("\"{\\\"b\\\": 1}\"")"), R"({"b": 1})");
  EXPECT_EQ(arguments("null"), "{}");
  EXPECT_EQ(arguments(R"("null")"), "{}");
  EXPECT_EQ(arguments(R"("")"), R"({"arguments": ""})");
  EXPECT_EQ(arguments(R"("[\"x\"]")"), R"({"arguments": ["x"]})");
  EXPECT_EQ(arguments("[3]"), R"({"arguments": [3]})");
  EXPECT_EQ(arguments(R"("3")"), R"({"arguments": 3})");
  EXPECT_EQ(arguments(R"("\"3\"")"), R"({"arguments": "3"})");
  EXPECT_EQ(arguments(R"("Oslo, please")"), R"({"arguments": "Oslo, please"})");
}

// OpenAI's older form of tools, in a history that was begun with it.
TEST(ChatRequest, TakesFunctionCallsOfOldHistories) {
  const auto request = parse_messages(
      R"([{"role":"user","content":"u"},{"role":"assistant","content":null,"function_call":{"name":"f"}},
          {"role":"function","name":"f","content":"7"}])");
  ASSERT_TRUE(request) << request.error().message;
  ASSERT_EQ(request->messages[1].tool_calls.size(), 1U);
  EXPECT_EQ(request->messages[1].tool_calls[0].name, "f");
  EXPECT_EQ(request->messages[2].role, ChatRole::kTool);
  EXPECT_EQ(request->messages[2].content, "7");
}

// Roles and texts of a conversation as the encoder gets it.
std::string turns(const std::string& messages) {
  const auto request = parse_messages(messages);
  if (!request) return request.error().message;
  std::string out;
  for (const encoding::ChatMessage& message : request->messages) {
    if (!out.empty()) out += ' ';
    switch (message.role) {
      case ChatRole::kSystem:
        out += "system:";
        break;
      case ChatRole::kUser:
        out += "user:";
        break;
      case ChatRole::kAssistant:
        out += "assistant:";
        break;
      case ChatRole::kReminder:
        out += "reminder:";
        break;
      default:
        out += "?:";
    }
    out += message.content;
  }
  return out;
}

TEST(ChatRequest, AnswersWhoeverSpokeLast) {
  EXPECT_EQ(turns(R"([{"role":"system","content":"s"}])"), "user:s");
  EXPECT_EQ(turns(R"([{"role":"system","content":"s"},{"role":"developer","content":"t"}])"),
            "system:s user:t");
  EXPECT_EQ(turns(R"([{"role":"user","content":"u"},{"role":"system","content":"s"}])"), "user:u user:s");
  EXPECT_EQ(turns(R"([{"role":"user","content":"u"},{"role":"assistant","content":"a"}])"),
            "user:u assistant:a user:");
  EXPECT_EQ(turns(R"([{"role":"user","content":"u"},{"role":"latest_reminder","content":"r"}])"),
            "user:u reminder:r");
  EXPECT_EQ(turns(R"([{"role":"latest_reminder","content":"r"}])"), "reminder:r user:");
}

// The format opens the assistant's turn behind a user alone.
TEST(ChatRequest, KeepsTheAssistantsTurnsOpened) {
  EXPECT_EQ(turns(R"([{"role":"user","content":"u"},{"role":"system","content":"s"},
                      {"role":"assistant","content":"a"},{"role":"user","content":"v"}])"),
            "user:u user:s assistant:a user:v");
  EXPECT_EQ(turns(R"([{"role":"system","content":"s"},{"role":"assistant","content":"a"},
                      {"role":"system","content":"t"},{"role":"user","content":"v"}])"),
            "system:s assistant:a system:t user:v");
}

TEST(ChatRequest, TakesTasks) {
  const auto request = parse_messages(R"([{"role":"user","content":"u","task":"title"}])");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->messages[0].task, encoding::QuickTask::kTitle);
  EXPECT_TRUE(request->thinking);
  EXPECT_FALSE(begins_with_reasoning(*request));
  EXPECT_TRUE(begins_with_reasoning(*parse_messages(R"([{"role":"user","content":"u","task":"action"}])")));
}

TEST(ChatRequest, AttachesToolsToTheSystemMessage) {
  const std::string tools = R"([{"type":"function","function":{"name":"f","parameters":{"z":1,"a":2}}}])";
  const auto without = parse("tools", tools);
  ASSERT_TRUE(without);
  EXPECT_TRUE(without->tools_offered);
  ASSERT_EQ(without->messages.size(), 2U);
  EXPECT_EQ(without->messages[0].role, ChatRole::kSystem);
  EXPECT_EQ(without->messages[0].content, "");
  ASSERT_EQ(without->messages[0].functions.size(), 1U);
  EXPECT_EQ(without->messages[0].functions[0].dump(), R"({"name": "f", "parameters": {"z": 1, "a": 2}})");
  Json body = *Json::parse(R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]})");
  body.set("tools", *Json::parse(tools));
  const auto with = parse_chat_request(body, defaults());
  ASSERT_EQ(with->messages.size(), 2U);
  EXPECT_EQ(with->messages[0].content, "s");
  EXPECT_EQ(with->messages[0].functions.size(), 1U);
  // A system message in the middle is not where a conversation's tools belong.
  Json late = *Json::parse(
      R"({"messages":[{"role":"user","content":"a"},{"role":"system","content":"s"},{"role":"user","content":"u"}]})");
  late.set("tools", *Json::parse(tools));
  const auto inserted = parse_chat_request(late, defaults());
  ASSERT_EQ(inserted->messages.size(), 4U);
  EXPECT_EQ(inserted->messages[0].functions.size(), 1U);
  EXPECT_EQ(inserted->messages[2].content, "s");
  body.set("tool_choice", "none");
  const auto none = parse_chat_request(body, defaults());
  EXPECT_FALSE(none->tools_offered);
  EXPECT_TRUE(none->messages[0].functions.empty());
}

TEST(ChatRequest, ContinuesAnAssistantMessage) {
  const auto content =
      parse_messages(R"([{"role":"user","content":"u"},{"role":"assistant","content":"a","prefix":true}])");
  ASSERT_TRUE(content);
  EXPECT_EQ(content->prefill, Prefill::kContent);
  EXPECT_TRUE(content->messages[1].open_end);
  const auto reasoning = parse_messages(
      R"([{"role":"user","content":"u"},{"role":"assistant","reasoning_content":"r","prefix":true}])");
  ASSERT_TRUE(reasoning);
  EXPECT_EQ(reasoning->prefill, Prefill::kReasoning);
  const auto switched = parse_chat_request(
      *Json::parse(R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","content":"a"}],
                       "continue_final_message":true,"add_generation_prompt":false})"),
      defaults());
  ASSERT_TRUE(switched) << switched.error().message;
  EXPECT_EQ(switched->prefill, Prefill::kContent);
  EXPECT_TRUE(switched->messages[1].open_end);
  EXPECT_FALSE(begins_with_reasoning(*switched));
}

}  // namespace
}  // namespace ft::server
