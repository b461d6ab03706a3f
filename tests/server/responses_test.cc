#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "tests/server/responses_fixture.h"

namespace ft::server {
namespace {

using namespace testing;

TEST_F(ResponsesTest, AnswersText) {
  serve("hello");
  const json response = respond({{"input", "hi"}, {"instructions", "Be brief."}, {"metadata", {{"a", "b"}}}});
  EXPECT_TRUE(response["id"].get<std::string>().starts_with("resp_"));
  EXPECT_EQ(response["object"], "response");
  EXPECT_EQ(response["status"], "completed");
  EXPECT_EQ(response["model"], "fake-v4");
  EXPECT_EQ(response["metadata"], json({{"a", "b"}}));
  EXPECT_EQ(response["instructions"], "Be brief.");
  ASSERT_EQ(response["output"].size(), 1U);
  const json& message = response["output"][0];
  EXPECT_EQ(message["type"], "message");
  EXPECT_EQ(message["status"], "completed");
  EXPECT_EQ(message["content"],
            json::parse(R"([{"type":"output_text","text":"hello","annotations":[],"logprobs":[]}])"));
  const json& usage = response["usage"];
  EXPECT_EQ(usage["output_tokens"], 6);
  EXPECT_EQ(usage["input_tokens_details"]["cached_tokens"], usage["input_tokens"].get<int>() / 2);
  EXPECT_EQ(usage["total_tokens"], usage["input_tokens"].get<int>() + 6);
  EXPECT_EQ(prompt(), "<｜begin▁of▁sentence｜>Be brief.<｜User｜>hi<｜Assistant｜></think>");
}

// What the SDKs' types require.
TEST_F(ResponsesTest, HasEveryMemberOfAResponse) {
  serve("hello");
  const json response = respond({{"input", "hi"}});
  for (const char* name : {"id",
                           "object",
                           "created_at",
                           "status",
                           "error",
                           "incomplete_details",
                           "instructions",
                           "metadata",
                           "model",
                           "output",
                           "parallel_tool_calls",
                           "temperature",
                           "tool_choice",
                           "tools",
                           "top_p",
                           "background",
                           "max_output_tokens",
                           "previous_response_id",
                           "reasoning",
                           "service_tier",
                           "store",
                           "text",
                           "top_logprobs",
                           "truncation",
                           "usage",
                           "user",
                           "completed_at"})
    EXPECT_TRUE(response.contains(name)) << name;
  EXPECT_EQ(response["text"]["format"]["type"], "text");
  EXPECT_EQ(response["tools"], json::array());
}

TEST_F(ResponsesTest, StreamsTheSameItemsThatAWholeReplyHas) {
  const json body = {{"input", "hi"}, {"reasoning", kThinking}, {"tools", {function("weather")}}};
  serve("Let me see.</think>Looking." + call_of("weather"));
  json whole = respond(body);
  const std::vector<Event> events = stream(body);
  json streamed = events.back().data["response"];
  ASSERT_EQ(whole["output"].size(), 3U);
  ASSERT_EQ(streamed["output"].size(), 3U);
  for (json* response : {&whole, &streamed})
    for (json& item : (*response)["output"]) {
      item.erase("id");
      item.erase("call_id");
    }
  EXPECT_EQ(whole["output"], streamed["output"]);
  EXPECT_EQ(whole["output"][0]["content"][0]["text"], "Let me see.");
  EXPECT_EQ(whole["output"][1]["content"][0]["text"], "Looking.");
  EXPECT_EQ(whole["output"][2]["arguments"], R"({"city": "Oslo"})");
  EXPECT_EQ(whole["usage"], streamed["usage"]);
}

TEST_F(ResponsesTest, EventsAreNumberedAndItemsNeverOverlap) {
  serve("Let me see.</think>Looking." + call_of("weather"));
  const std::vector<Event> events =
      stream({{"input", "hi"}, {"reasoning", kThinking}, {"tools", {function("weather")}}});
  ASSERT_GT(events.size(), 10U);
  EXPECT_EQ(events[0].name, "response.created");
  EXPECT_EQ(events[1].name, "response.in_progress");
  EXPECT_EQ(events.back().name, "response.completed");
  int open = -1;
  int64_t items = 0;
  std::string text;
  std::string arguments;
  std::string item_id;
  for (size_t i = 0; i < events.size(); ++i) {
    const auto& [name, data] = events[i];
    EXPECT_EQ(data["type"], name);
    EXPECT_EQ(data["sequence_number"], i);
    if (name == "response.output_item.added") {
      EXPECT_EQ(open, -1);
      open = data["output_index"];
      EXPECT_EQ(open, items++);
      item_id = data["item"]["id"];
    } else if (name == "response.output_item.done") {
      EXPECT_EQ(data["output_index"], open);
      EXPECT_EQ(data["item"]["id"], item_id);
      open = -1;
    } else if (data.contains("item_id")) {
      EXPECT_EQ(data["item_id"], item_id) << name;
      EXPECT_EQ(data["output_index"], open) << name;
    }
    if (name == "response.output_text.delta") text += data["delta"];
    if (name == "response.function_call_arguments.delta") arguments += data["delta"];
    if (name == "response.function_call_arguments.done") {
      EXPECT_EQ(data["arguments"], arguments);
    }
    if (name == "response.output_text.done") {
      EXPECT_EQ(data["text"], text);
    }
  }
  EXPECT_EQ(items, 3);
  EXPECT_EQ(text, "Looking.");
}

// Clients find a part by its index when they are told more of it.
TEST_F(ResponsesTest, PartsAreAddedBeforeTheyGrow) {
  serve("Let me see.</think>Looking.");
  std::set<std::string> added;
  json reasoning = kThinking;
  reasoning["summary"] = "auto";
  for (const Event& event : stream({{"input", "hi"}, {"reasoning", reasoning}})) {
    const std::string& name = event.name;
    const std::string id = event.data.value("item_id", "");
    if (name == "response.content_part.added") added.insert(id + " content");
    if (name == "response.reasoning_summary_part.added") added.insert(id + " summary");
    if (name == "response.output_text.delta" || name == "response.reasoning_text.delta") {
      EXPECT_TRUE(added.contains(id + " content")) << name;
    }
    if (name == "response.reasoning_summary_text.delta") {
      EXPECT_TRUE(added.contains(id + " summary"));
    }
  }
  EXPECT_EQ(added.size(), 3U);
}

TEST_F(ResponsesTest, ShowsReasoningAsASummaryWhereItIsAskedFor) {
  serve("Hm.</think>Yes.");
  EXPECT_EQ(respond({{"input", "hi"}, {"reasoning", kThinking}})["output"][0]["summary"], json::array());
  const json shown = respond({{"input", "hi"},
                              {"reasoning", {{"enabled", true}, {"summary", "auto"}}},
                              {"include", {"reasoning.encrypted_content"}}});
  EXPECT_EQ(shown["output"][0]["summary"], json::parse(R"([{"type":"summary_text","text":"Hm."}])"));
  EXPECT_EQ(shown["output"][0]["encrypted_content"], "Hm.");
  EXPECT_EQ(shown["usage"]["output_tokens_details"]["reasoning_tokens"], 11);  // bytes of "Hm.</think>"
}

TEST_F(ResponsesTest, SaysWhatTheTokenLimitCut) {
  const std::string call = call_of("weather");
  serve("Looking." + call.substr(0, call.find("lo<")), true);
  const json body = {{"input", "hi"}, {"tools", {function("weather")}}};
  const json response = respond(body);
  EXPECT_EQ(response["status"], "incomplete");
  EXPECT_EQ(response["incomplete_details"]["reason"], "max_output_tokens");
  ASSERT_EQ(response["output"].size(), 2U);
  EXPECT_EQ(response["output"][0]["status"], "completed");
  EXPECT_EQ(response["output"][1]["status"], "incomplete");
  EXPECT_EQ(stream(body).back().name, "response.incomplete");
}

TEST_F(ResponsesTest, TellsOfFailures) {
  service_ = std::make_unique<Service>(Options{});
  service_->set_model(
      testing::fake_model(std::make_unique<testing::ScriptedBackend>([](const scheduler::GenerateRequest&) {
        Script script = testing::say("half");
        script.reason = scheduler::FinishReason::kError;
        script.error = "the device is gone";
        return script;
      })));
  const std::vector<Event> events = stream({{"input", "hi"}});
  EXPECT_EQ(events.front().name, "response.created");
  EXPECT_EQ(events.back().name, "response.failed");
  EXPECT_EQ(events.back().data["response"]["status"], "failed");
  EXPECT_EQ(events.back().data["response"]["error"]["code"], "server_error");
  EXPECT_EQ(send("POST", "/v1/responses", R"({"input":"hi"})").status, 500);
}

TEST_F(ResponsesTest, AFullContextHasItsCode) {
  serve("hello");
  const json error = refuse({{"input", std::string(1 << 17, 'x')}});
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_EQ(error["param"], "input");
  EXPECT_NE(error["message"].get<std::string>().find("maximum context length is 65536 tokens"),
            std::string::npos);
}

// --- input -----------------------------------------------------------------------------------------------------------

// A tool loop as agents send it back: with and without types, ids and statuses.
TEST_F(ResponsesTest, ReadsItems) {
  serve("hello");
  respond({{"tools", {function("weather")}}, {"reasoning", kThinking}, {"input", json::parse(R"([
    {"type":"message","id":"msg_1","role":"developer","content":[{"type":"input_text","text":"D"}]},
    {"role":"user","content":[{"type":"input_text","text":"u"}]},
    {"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"R"}],"encrypted_content":"x"},
    {"type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"A","annotations":[]}]},
    {"type":"function_call","id":"fc_1","call_id":"c1","name":"weather","arguments":"{\"city\":\"Oslo\"}","status":"completed"},
    {"type":"function_call","call_id":"c2","name":"weather","arguments":"{}"},
    {"type":"function_call_output","id":"fco_1","call_id":"c2","output":[{"type":"input_text","text":"none"}]},
    {"type":"function_call_output","call_id":"c1","output":"rain","status":"completed"}])")}});
  const std::string text = prompt();
  EXPECT_NE(text.find("<｜begin▁of▁sentence｜>D"), std::string::npos);
  EXPECT_NE(text.find("<｜User｜>u<｜Assistant｜><think>R</think>A\n\n<｜DSML｜tool_calls>"),
            std::string::npos)
      << text;
  // Results stand in the order of their calls.
  EXPECT_NE(
      text.find("<tool_result>rain</tool_result>\n\n<tool_result>none</tool_result><｜Assistant｜><think>"),
      std::string::npos)
      << text;
}

TEST_F(ResponsesTest, TakesReasoningThatClientsSendBackHidden) {
  serve("hello");
  for (const char* item : {R"({"type":"reasoning","summary":[{"type":"summary_text","text":"R"}]})",
                           R"({"type":"reasoning","summary":[],"encrypted_content":"R"})"}) {
    json call = json::parse(R"({"type":"function_call","call_id":"c","name":"f","arguments":"{}"})");
    json output = json::parse(R"({"type":"function_call_output","call_id":"c","output":"7"})");
    respond({{"input", {{{"role", "user"}, {"content", "u"}}, json::parse(item), call, output}},
             {"tools", {function("f")}},
             {"reasoning", kThinking}});
    EXPECT_NE(prompt().find("<think>R</think>"), std::string::npos) << item;
  }
}

TEST_F(ResponsesTest, RefusesItemsThatItCannotRead) {
  serve("hello");
  const std::pair<const char*, const char*> cases[] = {
      {R"([{"role":"user","content":[{"type":"input_image","image_url":"x"}]}])", "input[0].content[0].type"},
      {R"([{"role":"user","content":[{"type":"input_file","file_id":"x"}]}])", "input[0].content[0].type"},
      {R"([{"type":"computer_call_output"}])", "input[0].type"},
      {R"([{"role":"narrator","content":"x"}])", "input[0].role"},
      {R"([{"role":"user"}])", "input[0].content"},
      {R"([{"type":"function_call","name":"f","arguments":"{}"}])", "input[0].call_id"},
      {R"([{"type":"function_call_output","call_id":"c","output":7}])", "input[0].output"},
      {R"([{"role":"user","content":"u"},{"type":"item_reference","id":"rs_none"}])", "input[1].id"},
      {R"([7])", "input[0]"},
      {"7", "input"},
      {"[]", "input"},
  };
  for (const auto& [input, param] : cases) EXPECT_EQ(refuse({{"input", json::parse(input)}})["param"], param);
}

// --- tools -----------------------------------------------------------------------------------------------------------

TEST_F(ResponsesTest, CallsToolsOfNamespacesByBothNames) {
  const json body = {{"input", "hi"},
                     {"tools",
                      {{{"type", "namespace"}, {"name", "agents"}, {"tools", {function("close")}}},
                       {{"type", "web_search"}, {"external_web_access", false}},
                       {{"type", "tool_search"}}}}};
  for (const char* called : {"agents.close", "close"}) {
    serve(call_of(called));
    const json call = respond(body)["output"][0];
    EXPECT_EQ(call["type"], "function_call");
    EXPECT_EQ(call["name"], "close");
    EXPECT_EQ(call["namespace"], "agents");
    EXPECT_NE(call["id"], call["call_id"]);
    EXPECT_NE(prompt().find(R"({"name": "agents.close")"), std::string::npos);
    EXPECT_EQ(prompt().find("search"), std::string::npos);
  }
  serve("ok");
  json items = json::parse(R"([{"role":"user","content":"u"},
      {"type":"function_call","call_id":"c","name":"close","namespace":"agents","arguments":"{}"},
      {"type":"function_call_output","call_id":"c","output":"closed"}])");
  respond({{"input", items}, {"tools", body["tools"]}});
  EXPECT_NE(prompt().find(R"(invoke name="agents.close")"), std::string::npos);
}

TEST_F(ResponsesTest, CustomToolsHaveText) {
  const json tool = {{"type", "custom"},
                     {"name", "patch"},
                     {"format", {{"type", "grammar"}, {"syntax", "lark"}, {"definition", "start: LINE"}}}};
  serve(
      "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"patch\">\n"
      "<｜DSML｜parameter name=\"input\" string=\"true\">*** Begin</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
      "</｜DSML｜tool_calls>");
  const json body = {{"input", "hi"}, {"tools", {tool}}};
  const json call = respond(body)["output"][0];
  EXPECT_EQ(call["type"], "custom_tool_call");
  EXPECT_EQ(call["input"], "*** Begin");
  EXPECT_TRUE(call["id"].get<std::string>().starts_with("ctc_"));
  EXPECT_NE(prompt().find("start: LINE"), std::string::npos);
  std::string input;
  for (const Event& event : stream(body))
    if (event.name == "response.custom_tool_call_input.delta") input += event.data["delta"];
  EXPECT_EQ(input, "*** Begin");

  serve("ok");
  respond({{"input",
            {{{"role", "user"}, {"content", "u"}},
             call,
             {{"type", "custom_tool_call_output"}, {"call_id", call["call_id"]}, {"output", "done"}}}},
           {"tools", {tool}}});
  EXPECT_NE(prompt().find("string=\"true\">*** Begin<"), std::string::npos);
  EXPECT_NE(prompt().find("<tool_result>done</tool_result>"), std::string::npos);
}

TEST_F(ResponsesTest, ToolsMayComeAsAnItem) {
  serve("ok");
  respond({{"input",
            {{{"type", "additional_tools"}, {"role", "developer"}, {"tools", {function("weather")}}},
             {{"role", "user"}, {"content", "u"}}}}});
  EXPECT_NE(prompt().find(R"({"name": "weather")"), std::string::npos);
}

TEST_F(ResponsesTest, RefusesToolsThatItDoesNotHave) {
  serve("ok");
  for (const char* type : {"file_search", "code_interpreter", "image_generation", "mcp",
                           "computer_use_preview", "local_shell", "something_new"}) {
    const json error = refuse({{"input", "hi"}, {"tools", {function("f"), {{"type", type}}}}});
    EXPECT_EQ(error["param"], "tools[1].type") << type;
    EXPECT_NE(error["message"].get<std::string>().find(type), std::string::npos);
  }
  EXPECT_EQ(refuse({{"input", "hi"}, {"tools", {{{"type", "function"}}}}})["param"], "tools[0].name");
}

// --- requests of real programs ---------------------------------------------------------------------------------------

json read_request(const std::string& name) {
  std::ifstream file(FT_TEST_DATA "/requests/" + name + ".json");
  EXPECT_TRUE(file) << name;
  return json::parse(file);
}

// Long lists are cut short in the files, with words that say so.
json without_cuts(json body) {
  json tools = json::array();
  for (json& tool : body["tools"])
    if (tool.is_object()) tools.push_back(std::move(tool));
  body["tools"] = std::move(tools);
  return body;
}

TEST_F(ResponsesTest, TakesTheRequestsOfRealPrograms) {
  serve("Hm.</think>Done.");
  for (const char* name : {"codex-0.171.0-turn1", "copilot-1.0.102-responses", "opencode-1.18.33-responses",
                           "pi-0.73.1-responses", "langchain-openai-1.5.13-responses-turn2",
                           "openai-agents-0.20.0-responses-turn2"}) {
    const json body = without_cuts(read_request(name)["body"]);
    const HttpResponse response = send("POST", "/v1/responses", body.dump());
    EXPECT_EQ(response.status, 200) << name << ": " << response.body;
    EXPECT_NE(prompt().find("<｜Assistant｜>"), std::string::npos) << name;
  }
  json codex = without_cuts(read_request("codex-0.171.0-turn1")["body"]);
  codex["input"] = read_request("codex-0.171.0-turn3-input-after-two-calls");
  EXPECT_EQ(stream(codex).back().name, "response.completed");
  EXPECT_NE(prompt().find(R"(invoke name="multi_agent_v1.close_agent")"), std::string::npos);
}

TEST_F(ResponsesTest, TakesTheToolsOfOtherModelsAgents) {
  serve("Done.");
  const json requests = read_request("codex-0.171.0-other-model-names");
  json custom = without_cuts(requests["gpt-5.5"]);
  custom["input"] = "hi";
  respond(custom);
  EXPECT_NE(prompt().find(R"({"name": "apply_patch")"), std::string::npos);
  json added = requests["gpt-6.2-sol"];
  added["input"] = json::array({added["input0"], {{"role", "user"}, {"content", "hi"}}});
  respond(added);
  EXPECT_NE(prompt().find(R"({"name": "functions.exec")"), std::string::npos);
}

// Its second turn refers to the reasoning of its first.
TEST_F(ResponsesTest, FollowsTheAiSdksToolLoop) {
  serve("I need the stock.</think>" + call_of("get_stock"));
  json second = read_request("ai-sdk-6-openai-responses-turn2")["body"];
  json first = second;
  first["input"] = json::array({second["input"][0]});
  first["reasoning"] = kThinking;
  const json reply = respond(first);
  second["input"][1]["id"] = reply["output"][0]["id"];
  second["reasoning"] = kThinking;
  respond(second);
  EXPECT_NE(prompt().find("<think>I need the stock.</think>"), std::string::npos);
}

// --- the rest --------------------------------------------------------------------------------------------------------

TEST_F(ResponsesTest, CountsTheInput) {
  serve("hello");
  const json body = {{"input", "hi"}, {"instructions", "S"}, {"tools", {function("weather")}}};
  const HttpResponse count = send("POST", "/v1/responses/input_tokens", body.dump());
  ASSERT_EQ(count.status, 200) << count.body;
  EXPECT_EQ(json::parse(count.body)["object"], "response.input_tokens");
  EXPECT_EQ(json::parse(count.body)["input_tokens"], respond(body)["usage"]["input_tokens"]);
}

TEST_F(ResponsesTest, GivesLogprobs) {
  serve("hi");
  const json body = {{"input", "x"}, {"include", {"message.output_text.logprobs"}}, {"top_logprobs", 2}};
  const json whole = respond(body)["output"][0]["content"][0]["logprobs"];
  ASSERT_EQ(whole.size(), 2U);
  EXPECT_EQ(whole[0]["token"], "h");
  EXPECT_EQ(whole[0]["top_logprobs"].size(), 2U);
  json deltas = json::array();
  for (const Event& event : stream(body))
    if (event.name == "response.output_text.delta")
      for (const json& entry : event.data["logprobs"]) deltas.push_back(entry);
  EXPECT_EQ(deltas, whole);
}

}  // namespace
}  // namespace ft::server
