// Anthropic's API over the service: requests to prompts, and replies.
#include "server/api/anthropic_messages.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "server/service.h"
#include "tests/server/ask.h"
#include "tests/server/fake_model.h"

namespace ft::server {
namespace {

using nlohmann::json;
using testing::ByteTokenizer;

// A recorded request as it can be sent: texts and tools that the record leaves out are gone.
json recorded(const std::string& name) {
  std::ifstream file(std::string(FT_TEST_DATA) + "/requests/" + name);
  return json::parse(file);
}
json sendable(json body) {
  if (body.contains("tools"))
    for (size_t i = body["tools"].size(); i-- > 0;)
      if (body["tools"][i].is_string()) body["tools"].erase(i);
  return body;
}

struct Event {
  std::string name;
  json data;
};

std::vector<Event> events_of(const std::string& body) {
  std::vector<Event> events;
  std::istringstream lines(body);
  std::string line;
  while (std::getline(lines, line)) {
    if (line.starts_with("event: ")) events.push_back({line.substr(7), {}});
    if (line.starts_with("data: ")) events.back().data = json::parse(line.substr(6));
  }
  return events;
}

class AnthropicTest : public ::testing::Test {
 protected:
  void serve(testing::Script script, int64_t context = 1 << 20) {
    service_ = std::make_unique<Service>(Options{});
    auto backend = std::make_unique<testing::ScriptedBackend>(
        [script](const scheduler::GenerateRequest&) { return script; });
    backend_ = backend.get();
    service_->set_model(testing::fake_model(std::move(backend), context));
  }
  HttpResponse ask(const std::string& method, const std::string& target, const std::string& body,
                   std::vector<Header> headers = {}) {
    HttpRequest request;
    request.method = method;
    request.target = target;
    request.body = body;
    request.headers = std::move(headers);
    request.headers.emplace_back("content-type", "application/json");
    service_->identify(request);
    headers_ = service_->headers(request);
    return testing::ask(*service_, std::move(request));
  }
  HttpResponse messages(const json& body) { return ask("POST", "/v1/messages?beta=true", body.dump()); }
  // The reply to messages alone, with more members of the body.
  json reply(json messages_json, json more = json::object()) {
    more["messages"] = std::move(messages_json);
    const HttpResponse response = messages(more);
    EXPECT_EQ(response.status, 200) << response.body;
    return json::parse(response.body);
  }
  std::vector<Event> stream(json more = json::object()) {
    more["messages"] = json::parse(R"([{"role":"user","content":"hi"}])");
    more["stream"] = true;
    return events_of(messages(more).body);
  }
  // The text of the last prompt.
  std::string prompt() {
    std::string text;
    const ByteTokenizer tokenizer;
    const std::vector<int32_t> ids = backend_->requests().back().prompt;
    for (const int32_t id : ids) text += tokenizer.token_bytes(id);
    return text;
  }
  // The prompt of messages alone, with more members of the body.
  std::string prompt_of(const std::string& messages_json, const std::string& more = "{}") {
    reply(json::parse(messages_json), json::parse(more));
    return prompt();
  }
  // The message of a 400.
  std::string refused(const std::string& messages_json, const std::string& more = "{}") {
    json body = json::parse(more);
    body["messages"] = json::parse(messages_json);
    const HttpResponse response = messages(body);
    EXPECT_EQ(response.status, 400) << response.body;
    const json error = json::parse(response.body);
    EXPECT_EQ(error["type"], "error");
    EXPECT_EQ(error["error"]["type"], "invalid_request_error");
    EXPECT_TRUE(error["request_id"].is_string());
    return error["error"]["message"];
  }

  std::unique_ptr<Service> service_;
  testing::ScriptedBackend* backend_ = nullptr;
  std::vector<Header> headers_;  // of the last response
};

const std::string kHi = R"([{"role":"user","content":"hi"}])";
const std::string kBegin = "<｜begin▁of▁sentence｜>";
const std::string kTurn = "<｜Assistant｜></think>";

TEST_F(AnthropicTest, TakesWhatProgramsSend) {
  serve(testing::say("hello"));
  std::vector<json> bodies;
  for (const char* name :
       {"claude-code-2.1.197-interactive-turn1-without-tools.json", "claude-code-2.1.197-print-turn1.json",
        "copilot-1.0.102-messages.json", "pi-0.73.1-messages.json"})
    bodies.push_back(recorded(name).at("body"));
  for (const json& request : recorded("opencode-1.18.33-messages.json")) bodies.push_back(request.at("body"));
  bodies.push_back({{"messages", recorded("claude-code-2.1.197-print-turn3-messages.json")}});
  for (const json& body : bodies) {
    const HttpResponse response = messages(sendable(body));
    EXPECT_NE(response.body.find("end_turn"), std::string::npos) << response.body;
    EXPECT_NE(prompt().find(kBegin), std::string::npos);
    EXPECT_TRUE(prompt().ends_with(body.contains("thinking") ? "<｜Assistant｜><think>" : kTurn)) << prompt();
  }
  for (const json& request : recorded("claude-code-2.1.197-count_tokens.json")) {
    const HttpResponse response =
        ask("POST", request.at("path").get<std::string>(), request.at("body").dump());
    EXPECT_EQ(response.status, 200) << response.body;
  }
}

TEST_F(AnthropicTest, TakesAnOutputFormatAsClientsSendIt) {
  serve(testing::say("hello"));
  const json body = recorded("claude-code-2.1.197-interactive-title.json").at("body");
  EXPECT_EQ(messages(body).status, 200);
  EXPECT_NE(refused(kHi, R"({"output_config":{"format":{"type":"json_schema","schema":{"$ref":"#/x"}}}})")
                .find("output_config.format.schema"),
            std::string::npos);
}

TEST_F(AnthropicTest, AnswersWhole) {
  serve(testing::say("hello"));
  const json body = reply(json::parse(kHi), {{"model", "alias"}});
  EXPECT_TRUE(body["id"].get<std::string>().starts_with("msg_"));
  EXPECT_EQ(body["type"], "message");
  EXPECT_EQ(body["role"], "assistant");
  EXPECT_EQ(body["model"], "alias");
  EXPECT_EQ(body["content"], json::parse(R"([{"type":"text","text":"hello"}])"));
  EXPECT_EQ(body["stop_reason"], "end_turn");
  EXPECT_EQ(body["stop_sequence"], nullptr);
  // Six tokens of prompt, three of them cached; five bytes and the end.
  EXPECT_EQ(body["usage"], json::parse(R"({"input_tokens":3,"cache_creation_input_tokens":0,
    "cache_read_input_tokens":3,"output_tokens":6})"));
  EXPECT_EQ(prompt(), kBegin + "<｜User｜>hi" + kTurn);
}

TEST_F(AnthropicTest, ThinksOnlyWhenAsked) {
  serve(testing::say("why</think>so"));
  for (const char* thinking :
       {R"({"thinking":{"type":"enabled","budget_tokens":1024,"display":"summarized"},"temperature":0.5})",
        R"({"thinking":{"type":"adaptive"},"output_config":{"effort":"high"}})"}) {
    const json body = reply(json::parse(kHi), json::parse(thinking));
    ASSERT_EQ(body["content"].size(), 2U) << body;
    EXPECT_EQ(body["content"][0]["type"], "thinking");
    EXPECT_EQ(body["content"][0]["thinking"], "why");
    EXPECT_FALSE(body["content"][0]["signature"].get<std::string>().empty());
    EXPECT_EQ(body["content"][1]["text"], "so");
    EXPECT_TRUE(prompt().ends_with("<think>"));
  }
  const json omitted =
      reply(json::parse(kHi), json::parse(R"({"thinking":{"type":"adaptive","display":"omitted"}})"));
  EXPECT_EQ(omitted["content"][0]["thinking"], "");
  for (const char* thinking :
       {"{}", R"({"thinking":{"type":"disabled"}})", R"({"output_config":{"effort":"max"}})"}) {
    EXPECT_EQ(reply(json::parse(kHi), json::parse(thinking))["content"][0]["type"], "text");
    EXPECT_TRUE(prompt().ends_with(kTurn));
  }
  EXPECT_NE(
      refused(kHi, R"({"thinking":{"type":"enabled","budget_tokens":1000}})").find("thinking.budget_tokens"),
      std::string::npos);
  EXPECT_NE(refused(kHi, R"({"thinking":{"type":"yes"}})").find("thinking.type"), std::string::npos);
  EXPECT_NE(refused(kHi, R"({"output_config":{"effort":"huge"}})").find("output_config.effort"),
            std::string::npos);
}

constexpr const char* kCall =
    "I look.\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"read\">\n<｜DSML｜parameter name=\"path\" "
    "string=\"true\">a</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"list\">\n\n"
    "</｜DSML｜invoke>\n</｜DSML｜tool_calls>";
const json kTools = json::parse(R"({"tools":[
  {"name":"read","description":"Reads","input_schema":{"$schema":"s","type":"object"},"cache_control":{"type":"ephemeral"},
   "strict":true,"eager_input_streaming":true},
  {"type":"custom","name":"list","input_schema":{"type":"object"}}]})");

TEST_F(AnthropicTest, CallsToolsAndTakesTheirResults) {
  serve(testing::say(kCall));
  const json body = reply(json::parse(kHi), kTools);
  EXPECT_EQ(body["stop_reason"], "tool_use");
  const json& content = body["content"];
  ASSERT_EQ(content.size(), 3U) << body;
  EXPECT_EQ(content[0]["text"], "I look.");
  EXPECT_TRUE(content[1]["id"].get<std::string>().starts_with("toolu_"));
  EXPECT_EQ(content[1]["name"], "read");
  EXPECT_EQ(content[1]["input"], json::parse(R"({"path":"a"})"));
  EXPECT_EQ(content[2]["input"], json::object());
  EXPECT_NE(
      prompt().find(
          R"({"name": "read", "description": "Reads", "parameters": {"$schema": "s", "type": "object"}})"),
      std::string::npos)
      << prompt();

  // The reply goes back as it came, results in another order, and text behind them.
  const json results = {{{"type", "tool_result"},
                         {"tool_use_id", content[2]["id"]},
                         {"content", {{{"type", "text"}, {"text", "none"}}}},
                         {"is_error", true}},
                        {{"type", "tool_result"}, {"tool_use_id", content[1]["id"]}},
                        {{"type", "text"}, {"text", "go on"}}};
  reply({{{"role", "user"}, {"content", "hi"}},
         {{"role", "assistant"}, {"content", content}},
         {{"role", "user"}, {"content", results}}},
        kTools);
  EXPECT_TRUE(prompt().ends_with("hi" + kTurn + kCall +
                                 "<｜end▁of▁sentence｜><｜User｜><tool_result></tool_result>\n\n"
                                 "<tool_result>Error: none</tool_result>\n\ngo on" +
                                 kTurn))
      << prompt();
}

TEST_F(AnthropicTest, ToolChoice) {
  serve(testing::say(kCall));
  json more = kTools;
  more["tool_choice"] = {{"type", "auto"}, {"disable_parallel_tool_use", true}};
  EXPECT_EQ(reply(json::parse(kHi), more)["content"].size(), 2U);  // the text and one call
  more["tool_choice"] = {{"type", "none"}};
  EXPECT_NE(reply(json::parse(kHi), more)["stop_reason"], "tool_use");
  EXPECT_EQ(prompt().find("Reads"), std::string::npos);
  for (const char* choice : {R"({"type":"must"})", "{}"}) {
    more["tool_choice"] = json::parse(choice);
    EXPECT_NE(refused(kHi, more.dump()).find("tool_choice.type"), std::string::npos) << choice;
  }
}

TEST_F(AnthropicTest, ReadsSystemPromptsWhereverTheyStand) {
  serve(testing::say("hello"));
  EXPECT_EQ(prompt_of(kHi, R"({"system":"S"})"), kBegin + "S<｜User｜>hi" + kTurn);
  EXPECT_EQ(prompt_of(kHi, R"({"system":[
      {"type":"text","text":"x-anthropic-billing-header: cc_version=2; cch=1f3;"},
      {"type":"text","text":"A","cache_control":{"type":"ephemeral"}},{"type":"text","text":"B"}]})"),
            kBegin + "A\n\nB<｜User｜>hi" + kTurn);
  EXPECT_EQ(
      prompt_of(R"([{"role":"system","content":"T"},{"role":"user","content":"hi"}])", R"({"system":"S"})"),
      kBegin + "S\n\nT<｜User｜>hi" + kTurn);
  EXPECT_EQ(
      prompt_of(
          R"([{"role":"user","content":"hi"},{"role":"system","content":[{"type":"text","text":"now"}]}])"),
      kBegin + "<｜User｜>hi\n\nnow" + kTurn);
  EXPECT_EQ(prompt_of(R"([{"role":"system","content":"alone"}])"), kBegin + "<｜User｜>alone" + kTurn);
}

TEST_F(AnthropicTest, JoinsNeighboursAndContinuesTheAssistant) {
  serve(testing::say("hello"));
  EXPECT_EQ(prompt_of(R"([{"role":"user","content":"a"},{"role":"user","content":"b"}])"),
            kBegin + "<｜User｜>a\n\nb" + kTurn);
  EXPECT_EQ(prompt_of(R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"},
      {"role":"assistant","content":[{"type":"text","text":"c"}]}])"),
            kBegin + "<｜User｜>a" + kTurn + "bc");
  EXPECT_EQ(prompt_of(R"([{"role":"user","content":"a"},{"role":"assistant","content":[
      {"type":"redacted_thinking","data":"?"},{"type":"thinking","thinking":"t","signature":"any"}]}])",
                      R"({"thinking":{"type":"adaptive"}})"),
            kBegin + "<｜User｜>a<｜Assistant｜><think>t");
  EXPECT_NE(refused(R"([{"role":"user","content":"a"},{"role":"assistant","content":[
      {"type":"tool_use","id":"1","name":"f","input":{}}]}])")
                .find("tool_result"),
            std::string::npos);
}

TEST_F(AnthropicTest, ReadsDocumentsOfText) {
  serve(testing::say("hello"));
  EXPECT_EQ(prompt_of(R"([{"role":"user","content":[{"type":"document","title":"T","source":{"type":"text",
      "media_type":"text/plain","data":"D"}},{"type":"text","text":"?"}]}])"),
            kBegin + "<｜User｜>T\n\nD\n\n?" + kTurn);
}

TEST_F(AnthropicTest, NamesWhatItCannotRead) {
  serve(testing::say("hello"));
  const struct {
    const char* messages;
    const char* more;
    const char* named;
  } cases[] = {
      {R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"image","source":{}}]}])", "{}",
       "'messages[0].content[1].type' is 'image'"},
      {R"([{"role":"user","content":[{"type":"document","source":{"type":"base64","data":""}}]}])", "{}",
       "'messages[0].content[0].source.type' is 'base64'"},
      {R"([{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"image"}]}]}])",
       "{}", "'messages[0].content[0].content[0].type' is 'image'"},
      {R"([{"role":"assistant","content":[{"type":"server_tool_use"}]}])", "{}",
       "'messages[0].content[0].type'"},
      {R"([{"role":"tool","content":"a"}])", "{}", "'messages[0].role' is 'tool'"},
      {R"([{"role":"user"}])", "{}", "'messages[0].content' is missing"},
      {R"([{"role":"user","content":[{"type":"text"}]}])", "{}", "'messages[0].content[0].text' is missing"},
      {R"([])", "{}", "'messages' is empty"},
      {kHi.c_str(), R"({"system":[{"type":"image"}]})", "'system[0].type'"},
      {kHi.c_str(), R"({"tools":[{"type":"web_search_20250305","name":"web_search"}]})",
       "'tools[0].type' is 'web_search_20250305'"},
      {kHi.c_str(), R"({"tools":[{"name":"f"}]})", "'tools[0].input_schema' is missing"},
      {kHi.c_str(), R"({"mcp_servers":[{"url":"x"}]})", "'mcp_servers'"},
  };
  for (const auto& test : cases)
    EXPECT_NE(refused(test.messages, test.more).find(test.named), std::string::npos)
        << refused(test.messages, test.more);
}

TEST_F(AnthropicTest, SaysWhyItStopped) {
  serve(testing::say("one two"));
  const json stopped = reply(json::parse(kHi), {{"stop_sequences", {"zzz", " two"}}});
  EXPECT_EQ(stopped["stop_reason"], "stop_sequence");
  EXPECT_EQ(stopped["stop_sequence"], " two");
  EXPECT_EQ(stopped["content"][0]["text"], "one");
  EXPECT_EQ(reply(json::parse(kHi), {{"max_tokens", 3}})["stop_reason"], "max_tokens");
  EXPECT_NE(refused(kHi, R"({"stop_sequences":[1]})").find("stop_sequences[0]"), std::string::npos);
}

TEST_F(AnthropicTest, CountsWhatTheUsageSays) {
  serve(testing::say("hello"));
  json body = kTools;
  body["system"] = "S";
  body["thinking"] = {{"type", "adaptive"}};
  body["messages"] = json::parse(kHi);
  const json count = json::parse(ask("POST", "/v1/messages/count_tokens?beta=true", body.dump()).body);
  const json usage = json::parse(messages(body).body)["usage"];
  EXPECT_EQ(count.size(), 1U);
  EXPECT_EQ(count["input_tokens"],
            usage["input_tokens"].get<int64_t>() + usage["cache_read_input_tokens"].get<int64_t>());
  EXPECT_EQ(ask("GET", "/v1/messages/count_tokens", "").status, 405);
}

TEST_F(AnthropicTest, StreamsPairedBlocks) {
  serve(testing::say(std::string("why</think>") + kCall));
  json more = kTools;
  more["thinking"] = {{"type", "adaptive"}};
  const std::vector<Event> events = stream(more);
  std::string order;
  int index = -1;
  bool open = false;
  json arguments;
  std::string text, thinking, input;
  for (const Event& event : events) {
    EXPECT_EQ(event.data["type"], event.name);
    if (event.name == "content_block_start") {
      EXPECT_FALSE(open);
      open = true;
      EXPECT_EQ(event.data["index"], ++index);
      order += event.data["content_block"]["type"].get<std::string>() + " ";
      input.clear();
    } else if (event.name == "content_block_delta") {
      EXPECT_TRUE(open);
      EXPECT_EQ(event.data["index"], index);
      const json& delta = event.data["delta"];
      if (delta["type"] == "text_delta") text += delta["text"];
      if (delta["type"] == "thinking_delta") thinking += delta["thinking"];
      if (delta["type"] == "input_json_delta") input += delta["partial_json"];
      if (delta["type"] == "signature_delta") order += "signature ";
    } else if (event.name == "content_block_stop") {
      EXPECT_TRUE(open);
      open = false;
      EXPECT_EQ(event.data["index"], index);
      if (!input.empty()) arguments.push_back(json::parse(input));
    } else {
      EXPECT_FALSE(open);
      order += event.name + " ";
    }
  }
  EXPECT_EQ(order, "message_start thinking signature text tool_use tool_use message_delta message_stop ");
  EXPECT_EQ(text, "I look.");
  EXPECT_EQ(thinking, "why");
  EXPECT_EQ(arguments, json::parse(R"([{"path":"a"},{}])"));
  const json& start = events.front().data["message"];
  const json& end = events[events.size() - 2].data;
  EXPECT_EQ(start["content"], json::array());
  EXPECT_EQ(start["stop_reason"], nullptr);
  EXPECT_EQ(end["delta"]["stop_reason"], "tool_use");
  EXPECT_EQ(start["usage"]["input_tokens"], end["usage"]["input_tokens"].get<int64_t>() +
                                                end["usage"]["cache_read_input_tokens"].get<int64_t>());
  EXPECT_GT(end["usage"]["output_tokens"], 0);

  more["thinking"]["display"] = "omitted";
  for (const Event& event : stream(more))
    EXPECT_NE(event.data.value("/delta/type"_json_pointer, ""), "thinking_delta");
}

TEST_F(AnthropicTest, EveryReplyHasABlock) {
  serve(testing::say(""));
  EXPECT_EQ(reply(json::parse(kHi))["content"], json::parse(R"([{"type":"text","text":""}])"));
  const std::vector<Event> events = stream();
  ASSERT_EQ(events.size(), 5U);
  EXPECT_EQ(events[1].name, "content_block_start");
  EXPECT_EQ(events[2].name, "content_block_stop");
}

TEST_F(AnthropicTest, ErrorsHaveItsShapeOnItsPaths) {
  serve(testing::say("hello"), 64);
  const std::string message = refused(R"([{"role":"user","content":")" + std::string(500, 'a') + "\"}]");
  EXPECT_TRUE(message.starts_with("prompt is too long: ")) << message;
  EXPECT_TRUE(message.ends_with(" tokens > 63 maximum")) << message;

  const json unknown = json::parse(ask("GET", "/v1/messages/batches", "").body);
  EXPECT_EQ(unknown["error"]["type"], "not_found_error");
  EXPECT_FALSE(json::parse(ask("GET", "/v1/messages2", "").body).contains("type"));
  EXPECT_FALSE(json::parse(ask("POST", "/v1/chat/completions", "{}").body).contains("type"));

  backend_->refuse_with({ErrorCode::kOverloaded, "the queue is full", ""});
  const HttpResponse full = ask("POST", "/v1/messages", R"({"messages":)" + kHi + "}");
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(json::parse(full.body)["error"]["type"], "rate_limit_error");
}

TEST_F(AnthropicTest, AStreamThatFailsEndsInAnError) {
  testing::Script script = testing::say("hello");
  script.reason = scheduler::FinishReason::kError;
  script.error = "no memory";
  serve(script);
  const std::vector<Event> events = stream();
  EXPECT_EQ(events.back().name, "error");
  EXPECT_EQ(events.back().data["error"]["type"], "api_error");
  EXPECT_EQ(events.back().data["error"]["message"], "no memory");
}

TEST_F(AnthropicTest, TellsItsClientsOfModelsAndIds) {
  serve(testing::say("hello"));
  const std::vector<Header> version = {{"anthropic-version", "2023-06-01"}};
  const json models = json::parse(ask("GET", "/v1/models?limit=5", "", version).body);
  EXPECT_EQ(models["first_id"], "fake-v4");
  EXPECT_EQ(models["last_id"], "alias");
  EXPECT_EQ(models["has_more"], false);
  EXPECT_EQ(models["data"][0]["type"], "model");
  EXPECT_EQ(models["data"][0]["display_name"], "fake-v4");
  EXPECT_EQ(models["data"][0]["created_at"], "2023-11-14T22:13:20Z");
  EXPECT_EQ(json::parse(ask("GET", "/v1/models/alias", "", version).body)["id"], "alias");
  EXPECT_EQ(json::parse(ask("GET", "/v1/models/none", "", version).body)["error"]["type"], "not_found_error");
  EXPECT_EQ(json::parse(ask("GET", "/v1/models", "").body)["object"], "list");

  const auto has_id = [&] {
    for (const auto& [name, value] : headers_)
      if (name == "request-id") return !value.empty();
    return false;
  };
  EXPECT_FALSE(has_id());
  messages({{"messages", json::parse(kHi)}});
  EXPECT_TRUE(has_id());
}

}  // namespace
}  // namespace ft::server
