// What clients of such servers send, and models of this family write, that is easily answered wrong: one row for each
// kind, in our own words. What needs a connection is in client_connections_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "encoding/tokenizer.h"
#include "server/service.h"
#include "tests/server/ask.h"
#include "tests/server/fake_model.h"

namespace ft::server {
namespace {

using nlohmann::json;

// The server with the tokenizer of the embedded model, and an engine that says what it is told.
class Server {
 public:
  explicit Server(const std::string& says = "Hello.") {
    auto tokenizer = encoding::load_tokenizer(FT_MODELS "/v4-nano-dspark");
    EXPECT_TRUE(tokenizer) << tokenizer.error().message;
    std::vector<int32_t> tokens = (*tokenizer)->encode(says);
    tokens.push_back(1);
    auto backend =
        std::make_unique<testing::ScriptedBackend>([tokens](const scheduler::GenerateRequest& request) {
          testing::Script script;
          for (const int32_t token : tokens) {
            script.steps.push_back({token});
            if (std::count(request.stop_tokens.begin(), request.stop_tokens.end(), token) > 0) break;
          }
          return script;
        });
    backend_ = backend.get();
    auto model = testing::fake_model(std::move(backend), 1 << 16);
    tokenizer_ = tokenizer->get();
    model->tokenizer = std::move(*tokenizer);
    model->thinking = true;
    service_.set_model(std::move(model));
  }

  HttpResponse ask(const std::string& method, const std::string& target, const std::string& body = "") {
    return testing::ask(service_, testing::json_request(method, target, body));
  }
  HttpResponse post(const std::string& target, const json& body) { return ask("POST", target, body.dump()); }

  scheduler::GenerateRequest submitted() const { return backend_->requests().back(); }
  std::string prompt() const { return *tokenizer_->decode(submitted().prompt); }

 private:
  Service service_{Options{}};
  testing::ScriptedBackend* backend_ = nullptr;
  const encoding::Tokenizer* tokenizer_ = nullptr;
};

json user(const std::string& text) {
  return {{"role", "user"}, {"content", text}};
}

json tool(const std::string& name) {
  return {
      {"type", "function"},
      {"function", {{"name", name}, {"parameters", {{"type", "object"}, {"properties", json::object()}}}}}};
}

// --- tool calls as models write them ---------------------------------------------------------------------------------

struct Written {
  const char* kind;
  const char* text;     // behind "<think>"
  const char* calls;    // name and arguments of each, as JSON
  const char* content;  // of the message; "" also where it is null
};

constexpr const char* kOslo = R"([["weather", {"city": "Oslo"}]])";

const Written kWritten[] = {
    {"behind </think> at once",
     "</think><｜DSML｜tool_calls><｜DSML｜invoke name=\"weather\"><｜DSML｜parameter name=\"city\" "
     "string=\"true\">Oslo</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>",
     kOslo, ""},
    {"behind one newline",
     "</think>One moment.\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter "
     "name=\"city\" "
     "string=\"true\">Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
     kOslo, "One moment."},
    {"behind a space",
     "</think>One moment. <｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter "
     "name=\"city\" "
     "string=\"true\">Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
     kOslo, "One moment."},
    {"without a wrapper",
     "</think>\n\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Oslo"
     "</｜DSML｜parameter>\n</｜DSML｜invoke>",
     kOslo, ""},
    {"a wrapper by another name",
     "</think>\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter "
     "name=\"city\" "
     "string=\"true\">Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
     kOslo, ""},
    {"bars of ASCII",
     "</think>\n\n<|DSML|tool_calls>\n<|DSML|invoke name=\"weather\">\n<|DSML|parameter name=\"city\" "
     "string=\"true\">Oslo</|DSML|parameter>\n</|DSML|invoke>\n</|DSML|tool_calls>",
     kOslo, ""},
    {"no string attribute",
     "</think>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter "
     "name=\"city\">Oslo"
     "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
     kOslo, ""},
    {"text that is called JSON",
     "</think>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" "
     "string=\"false\">Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
     kOslo, ""},
    {"a mangled closer",
     "</think>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" "
     "string=\"true\">Oslo</｜DSML｜paramter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
     kOslo, ""},
    {"a JSON body",
     "</think>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n{\"city\": "
     "\"Oslo\"}\n</｜DSML｜invoke>\n"
     "</｜DSML｜tool_calls>",
     kOslo, ""},
    {"a wrapper of one word",
     "</think>\n\n<｜DSML｜toolcalls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" "
     "string=\"true\">Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜toolcalls>",
     kOslo, ""},
    {"doubled bars",
     "</think>\n\n<｜｜DSML｜｜tool_calls>\n<｜｜DSML｜｜invoke name=\"weather\">\n<｜｜DSML｜｜parameter "
     "name=\"city\" "
     "string=\"true\">Oslo</｜｜DSML｜｜parameter>\n</｜｜DSML｜｜invoke>\n</｜｜DSML｜｜tool_calls>",
     kOslo, ""},
    {"another string attribute",
     "</think>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" "
     "string=\"yes\">Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
     kOslo, ""},
    {"a word of Python that is called JSON",
     "</think>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" "
     "string=\"false\">True</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
     R"([["weather", {"city": "True"}]])", ""},
    {"nothing that is called JSON",
     "</think>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" "
     "string=\"false\"></｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
     R"([["weather", {"city": ""}]])", ""},
    {"a self-closing call",
     "</think>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\"/>\n</｜DSML｜tool_calls>",
     R"([["weather", {}]])", ""},
    {"single quotes",
     "</think>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name='weather'>\n<｜DSML｜parameter name='city' "
     "string='true'>Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
     kOslo, ""},
    {"a parameter of plain XML",
     "</think>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<parameter "
     "name=\"city\">Oslo</parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
     kOslo, ""},
    {"a second block",
     "</think>\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" "
     "string=\"true\">Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n</"
     "｜DSML｜tool_calls>\n\n<｜DSML｜tool_calls>\n"
     "<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" "
     "string=\"true\">Rome</｜DSML｜parameter>\n"
     "</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
     R"([["weather", {"city": "Oslo"}], ["weather", {"city": "Rome"}]])", ""},
    {"an empty block", "</think>\n\n<｜DSML｜tool_calls>\n</｜DSML｜tool_calls>\nNothing to do.", "[]",
     "Nothing to do."},
    {"stray tags in reasoning", "Hm.</｜DSML｜invoke>\n</｜DSML｜tool_calls></think>It is 7.", "[]",
     "It is 7."},
    {"a stray closer", "</think>It is 7.</｜DSML｜parameter>", "[]", "It is 7."},
    {"in reasoning",
     "I need the weather.\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter "
     "name=\"city\" "
     "string=\"true\">Oslo</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
     kOslo, ""},
};

TEST(ClientInputs, CallsAreFoundHoweverTheyAreWritten) {
  for (const Written& row : kWritten) {
    Server server(row.text);
    const HttpResponse response =
        server.post("/v1/chat/completions", {{"messages", {user("weather?")}}, {"tools", {tool("weather")}}});
    ASSERT_EQ(response.status, 200) << row.kind << response.body;
    const json message = json::parse(response.body)["choices"][0]["message"];
    json calls = json::array();
    for (const json& call : message.value("tool_calls", json::array()))
      calls.push_back(
          {call["function"]["name"], json::parse(call["function"]["arguments"].get<std::string>())});
    EXPECT_EQ(calls, json::parse(row.calls)) << row.kind;
    const std::string content = message["content"].is_null() ? "" : message["content"];
    EXPECT_NE(content.find(row.content), std::string::npos) << row.kind << ": " << content;
    EXPECT_EQ(content.find("DSML"), std::string::npos) << row.kind << ": " << content;
    EXPECT_EQ(message["reasoning_content"].get<std::string>().find("DSML"), std::string::npos) << row.kind;
  }
}

// Control tokens out of place, which small or hot models write.
TEST(ClientInputs, ControlTokensNeverShow) {
  const std::pair<const char*, const char*> rows[] = {
      {"Hm.</think>It <｜action｜>is 7.", "It is 7."},
      {"Hm.</think>It is</think> 7.<think>", "It is 7."},
      {"Hm.</think><｜begin▁of▁sentence｜>It is 7.<｜User｜>Why?", "It is 7."},
      {"H<think>m<｜title｜>.</think>It is 7.<｜Assistant｜>It is 8.", "It is 7."},
  };
  for (const auto& [says, content] : rows) {
    Server server(says);
    const json message = json::parse(
        server.post("/v1/chat/completions", {{"messages", {user("u")}}}).body)["choices"][0]["message"];
    EXPECT_EQ(message["content"], content) << says;
    EXPECT_EQ(message["reasoning_content"], "Hm.") << says;
  }
}

TEST(ClientInputs, MarkupIsNotShownWhereNoToolsAreOffered) {
  Server server(kWritten[0].text);
  const json history = {
      user("weather?"),
      {{"role", "assistant"},
       {"tool_calls", {{{"id", "c"}, {"function", {{"name", "weather"}, {"arguments", "{}"}}}}}}},
      {{"role", "tool"}, {"tool_call_id", "c"}, {"content", "rain"}}};
  const HttpResponse response = server.post("/v1/chat/completions", {{"messages", history}});
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.body.find("DSML"), std::string::npos);
}

// --- histories and values with one sensible meaning ------------------------------------------------------------------

struct Taken {
  const char* kind;
  const char* target;
  const char* body;
  const char* prompt;  // a part of it, as text
};

const Taken kTaken[] = {
    {"arguments that are the text null", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"null"}}]},
        {"role":"tool","tool_call_id":"c","content":"7"}]})",
     "invoke name=\"f\">"},
    {"arguments that are a list", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"[\"x\"]"}}]},
        {"role":"tool","tool_call_id":"c","content":"7"}]})",
     "[\"x\"]"},
    {"arguments that are a number", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"3"}}]},
        {"role":"tool","tool_call_id":"c","content":"7"}]})",
     ">3<"},
    {"arguments encoded twice", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"\"{\\\"k\\\": 1}\""}}]},
        {"role":"tool","tool_call_id":"c","content":"7"}]})",
     "parameter name=\"k\" string=\"false\">1<"},
    {"arguments as an object", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":{"k":1}}}]},
        {"role":"tool","tool_call_id":"c","content":"7"}]})",
     "parameter name=\"k\" string=\"false\">1<"},
    {"a call without arguments", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f"}}]},
        {"role":"tool","tool_call_id":"c","content":null}]})",
     "invoke name=\"f\">"},
    {"the system speaks last", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"},{"role":"system","content":"S"}]})",
     "S<｜Assistant｜><think>"},
    {"the system speaks alone", "/v1/chat/completions", R"({"messages":[{"role":"system","content":"S"}]})",
     "<｜User｜>S<｜Assistant｜><think>"},
    {"the assistant speaks last", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","content":"A"}]})",
     "A<｜end▁of▁sentence｜><｜User｜><｜Assistant｜><think>"},
    {"the assistant is to go on", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","content":"The ans"}],
        "continue_final_message":true,"add_generation_prompt":false})",
     "</think>The ans"},
    {"the assistant is to go on, by prefix", "/beta/chat/completions",
     R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","content":"The ans","prefix":true}]})",
     "</think>The ans"},
    {"parts of the Responses API", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":[{"type":"input_text","text":"q"}]},
        {"role":"assistant","content":[{"type":"output_text","text":"A"}]},{"role":"user","content":"r"}]})",
     "<｜User｜>q<｜Assistant｜>"},
    {"a reminder", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"},{"role":"latest_reminder","content":"R"}]})",
     "<｜latest_reminder｜>R"},
    {"a task", "/v1/chat/completions", R"({"messages":[{"role":"user","content":"u","task":"title"}]})",
     "<｜User｜>u<｜title｜>"},
    {"27 stop strings", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"}],"stop":["a1","a2","a3","a4","a5","a6","a7","a8","a9","b1","b2","b3","b4",
        "b5","b6","b7","b8","b9","c1","c2","c3","c4","c5","c6","c7","c8","c9"]})",
     "u"},
    {"no limit of tokens", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"}],"max_tokens":-1})", "u"},
    {"the largest limit that JavaScript knows", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"}],"max_tokens":9007199254740991})", "u"},
    {"integers written as fractions", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"}],"max_tokens":100.0,"top_k":40.0})", "u"},
    {"nothing asked for", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"}],"functions":[],"response_format":{},"tools":[],"stop":null})",
     "u"},
    {"reasoning off at the top", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"}],"enable_thinking":false})", "<｜Assistant｜></think>"},
    {"reasoning off by effort", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"}],"reasoning":{"effort":"none"}})",
     "<｜Assistant｜></think>"},
    {"reasoning off by the template", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"}],"chat_template_kwargs":{"thinking_mode":"chat"}})",
     "<｜Assistant｜></think>"},
    {"more reasoning by the template", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"}],"chat_template_kwargs":{"reasoning_effort":"max"}})",
     "Reasoning Effort: "},
    {"old reasoning kept", "/v1/chat/completions",
     R"({"messages":[{"role":"user","content":"u"},{"role":"assistant","content":"A","reasoning_content":"OLD"},
        {"role":"user","content":"v"}],"chat_template_kwargs":{"drop_thinking":false}})",
     "<think>OLD</think>A"},
    {"slashes doubled", "//v1//chat/completions", R"({"messages":[{"role":"user","content":"u"}]})", "u"},
    {"a Responses request", "/v1/responses", R"({"input":"u"})", "<｜User｜>u<｜Assistant｜><think>"},
    {"fill in the middle", "/beta/completions", R"({"prompt":"int a","suffix":";"})",
     "<｜begin▁of▁sentence｜><｜fim▁begin｜>int a<｜fim▁hole｜>;<｜fim▁end｜>"},
};

TEST(ClientInputs, TakesWhatHasOneSensibleMeaning) {
  for (const Taken& row : kTaken) {
    Server server;
    const HttpResponse response = server.ask("POST", row.target, row.body);
    ASSERT_EQ(response.status, 200) << row.kind << ": " << response.body;
    EXPECT_NE(server.prompt().find(row.prompt), std::string::npos) << row.kind << ": " << server.prompt();
  }
}

// Every one of many stop strings stops.
TEST(ClientInputs, ManyStopStringsAct) {
  Server server("It is 7 or c9 or 8.");
  json stops = json::array();
  for (int i = 0; i < 26; ++i) stops.push_back("a" + std::to_string(i));
  stops.push_back("c9");
  const HttpResponse response = server.post(
      "/v1/chat/completions", {{"messages", {user("u")}}, {"enable_thinking", false}, {"stop", stops}});
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(json::parse(response.body)["choices"][0]["message"]["content"], "It is 7 or ");
}

TEST(ClientInputs, ReadsNumbersAsTheyAreMeant) {
  Server server;
  const auto asked = [&](const json& more) {
    json body = {{"messages", {user("u")}}};
    body.update(more);
    EXPECT_EQ(server.post("/v1/chat/completions", body).status, 200) << body;
    return server.submitted();
  };
  const int64_t prompt = static_cast<int64_t>(asked(json::object()).prompt.size());
  EXPECT_EQ(asked({{"max_tokens", 100.0}}).max_tokens, 100);
  EXPECT_EQ(asked({{"max_tokens", 9007199254740991}}).max_tokens, (1 << 16) - prompt);
  EXPECT_EQ(asked({{"max_tokens", -1}}).max_tokens, 1024);  // the server's default
  EXPECT_EQ(asked({{"top_k", 40.0}}).sampling.top_k, 40);
  EXPECT_EQ(asked({{"top_p", 0}}).sampling.top_k, 1);
}

// --- fields that would change the answer -----------------------------------------------------------------------------

TEST(ClientInputs, FieldsThatCannotActAreRefusedByName) {
  Server server;
  const std::pair<const char*, json> fields[] = {
      {"thinking_token_budget", 100},   {"min_tokens", 5},         {"prompt_logprobs", 1},
      {"guided_grammar", "root ::= x"}, {"grammar", "root ::= x"}, {"chat_template", "x"},
  };
  for (const auto& [name, value] : fields) {
    const HttpResponse response =
        server.post("/v1/chat/completions", {{"messages", {user("u")}}, {name, value}});
    EXPECT_EQ(response.status, 400) << name;
    EXPECT_EQ(json::parse(response.body)["error"]["param"], name);
  }
}

// --- raw prompts -----------------------------------------------------------------------------------------------------

TEST(ClientInputs, ControlTokensOfARawPromptCountOnRequest) {
  Server server;
  json body = {{"prompt", "<｜User｜>What is 20+30?<｜Assistant｜><think>"}};
  ASSERT_EQ(server.post("/v1/completions", body).status, 200);
  const std::vector<int32_t> spelled = server.submitted().prompt;
  body["parse_special"] = true;
  ASSERT_EQ(server.post("/v1/completions", body).status, 200);
  const std::vector<int32_t> meant = server.submitted().prompt;
  EXPECT_LT(meant.size() * 2, spelled.size());
  EXPECT_EQ(meant.front(), 0);
  // A beginning of its own is not doubled.
  body["prompt"] = "<｜begin▁of▁sentence｜>" + body["prompt"].get<std::string>();
  ASSERT_EQ(server.post("/v1/completions", body).status, 200);
  EXPECT_EQ(server.submitted().prompt, meant);
  const json counted = json::parse(server.post("/v1/tokenize", body).body);
  EXPECT_EQ(counted["count"], meant.size());
}

// --- endpoints -------------------------------------------------------------------------------------------------------

TEST(ClientInputs, SaysWhatClientsAskOfAServer) {
  Server server;
  const json models = json::parse(server.ask("GET", "//v1/models").body);
  EXPECT_EQ(models["data"][0]["context_length"], 1 << 16);
  const json info = json::parse(server.ask("GET", "/tokenizer_info").body);
  EXPECT_EQ(info["bos_token"], "<｜begin▁of▁sentence｜>");
  EXPECT_EQ(info["eos_token"], "<｜end▁of▁sentence｜>");
  EXPECT_EQ(server.ask("GET", "/ready").status, 200);
  for (const char* path : {"/v1/embeddings", "/v1/images/generations", "/v1/audio/speech"}) {
    const HttpResponse response = server.ask("POST", path, "{}");
    EXPECT_EQ(response.status, 404);
    EXPECT_NE(response.body.find("this model writes text"), std::string::npos) << response.body;
  }
}

// --- bookkeeping -----------------------------------------------------------------------------------------------------

TEST(ClientInputs, OffsetsCountTextThatWasHeldForAStopString) {
  Server server("It is 5, not 7.");
  const HttpResponse response =
      server.post("/v1/completions", {{"prompt", "x"}, {"logprobs", 1}, {"stop", {"50"}}});
  const json choice = json::parse(response.body)["choices"][0];
  const std::string text = choice["text"];
  const json& logprobs = choice["logprobs"];
  size_t at = 0;
  for (size_t i = 0; i < logprobs["tokens"].size(); ++i) {
    EXPECT_EQ(logprobs["text_offset"][i], at) << i;
    at += logprobs["tokens"][i].get<std::string>().size();
  }
  EXPECT_EQ(at, text.size());
}

TEST(ClientInputs, ToolsBelongToTheBeginning) {
  Server server;
  server.post("/v1/chat/completions",
              {{"messages", {user("a"), {{"role", "system"}, {"content", "S"}}, user("b")}},
               {"tools", {tool("weather")}}});
  EXPECT_LT(server.prompt().find("weather"), server.prompt().find("<｜User｜>a"));
}

}  // namespace
}  // namespace ft::server
