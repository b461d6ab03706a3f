// Replies of the nano model bound to generated schemas and tools: valid, and the same bytes with and without
// drafts, alone and beside others, streamed and whole.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/server/raw_client.h"
#include "tests/support/program.h"

namespace ft::server {
namespace {

using ft::testing::port_of;
using ft::testing::Program;
using nlohmann::json;
using testing::RawClient;
using testing::RawResponse;
using Random = std::mt19937;

int below(Random& random, int count) {
  return static_cast<int>(random() % static_cast<uint32_t>(count));
}

// A schema whose values are short.
json schema(Random& random, int depth) {
  switch (below(random, depth > 0 ? 8 : 6)) {
    case 0:
      return {{"type", "string"}, {"maxLength", 1 + below(random, 6)}};
    case 1:
      return {{"type", "integer"}, {"minimum", -below(random, 20)}, {"maximum", 1 + below(random, 900)}};
    case 2:
      return {{"enum", {"red", "green", "dark blue", below(random, 9), nullptr}}};
    case 3:
      return {{"type", {"boolean", "null"}}};
    case 4:
      return {{"const", {{"kind", "fixed \"text\""}, {"version", below(random, 100)}}}};
    case 5:
      return {{"type", "string"}, {"pattern", "^[A-Z][a-z]{1,5}$"}};
    case 6:
      return {{"type", "array"}, {"items", schema(random, depth - 1)}, {"maxItems", 1 + below(random, 2)}};
    default: {
      constexpr const char* kNames[] = {"name", "population", "capital_city", "tags", "is_open", "id"};
      json made = {{"type", "object"}, {"additionalProperties", false}, {"required", json::array()}};
      for (int i = 0; i <= below(random, 3); ++i) {
        const char* name = kNames[below(random, 6)];
        made["properties"][name] = schema(random, depth - 1);
        if (below(random, 3) > 0) made["required"].push_back(name);
      }
      return made;
    }
  }
}

// Of the keywords above alone.
bool valid(const json& schema, const json& value) {
  if (schema.contains("const")) return value == schema["const"];
  if (schema.contains("enum"))
    return std::find(schema["enum"].begin(), schema["enum"].end(), value) != schema["enum"].end();
  const json& type = schema["type"];
  if (type.is_array()) return value.is_boolean() || value.is_null();
  if (type == "integer")
    return value.is_number_integer() && value >= schema["minimum"] && value <= schema["maximum"];
  if (type == "array") {
    return value.is_array() && value.size() <= schema["maxItems"] &&
           std::all_of(value.begin(), value.end(),
                       [&](const json& item) { return valid(schema["items"], item); });
  }
  if (type == "object") {
    if (!value.is_object()) return false;
    for (const auto& [name, member] : value.items())
      if (!schema["properties"].contains(name) || !valid(schema["properties"][name], member)) return false;
    return std::all_of(schema["required"].begin(), schema["required"].end(),
                       [&](const json& name) { return value.contains(name); });
  }
  if (!value.is_string()) return false;
  const std::string text = value;
  if (!schema.contains("pattern"))
    return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }) <=
           schema["maxLength"];
  return text.size() >= 2 && text.size() <= 6 && std::isupper(text[0]) != 0 &&
         std::all_of(text.begin() + 1, text.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

struct Pair {
  json schema;
  bool call = false;  // it is what a tool takes
  json body;
};

std::vector<Pair> make_pairs(int count) {
  constexpr const char* kQuestions[] = {"What is the capital of Italy?", "Name a colour.",
                                        "How many days has a week?", "Describe a city.", "Who are you?"};
  Random random(17);
  std::vector<Pair> pairs;
  for (int i = 0; i < count; ++i) {
    Pair pair;
    pair.call = i % 4 == 3;
    do pair.schema = schema(random, 2);
    while (pair.call && (!pair.schema.contains("properties")));
    pair.body = {{"messages", {{{"role", "user"}, {"content", kQuestions[below(random, 5)]}}}},
                 {"temperature", 1},
                 {"seed", i},
                 {"max_tokens", 700},
                 {"thinking", {{"type", "disabled"}}}};
    if (pair.call) {
      pair.body["tools"] = {
          {{"type", "function"}, {"function", {{"name", "store_it"}, {"parameters", pair.schema}}}}};
      pair.body["tool_choice"] = "required";
      pair.body["parallel_tool_calls"] = false;
    } else {
      pair.body["response_format"] = {{"type", "json_schema"},
                                      {"json_schema", {{"name", "x"}, {"schema", pair.schema}}}};
    }
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

struct Read {
  std::string text;  // the answer, or the arguments of the call
  std::string finish_reason;
  int64_t forced = 0;
};

void add_message(const json& message, Read& read) {
  if (message.contains("content") && message["content"].is_string()) read.text += message["content"];
  if (message.contains("tool_calls") && !message["tool_calls"].is_null())
    for (const json& call : message["tool_calls"])
      if (call["function"].contains("arguments")) read.text += call["function"]["arguments"];
}

Read read_reply(const RawResponse& response, bool stream) {
  Read read;
  std::istringstream lines(response.body);
  std::vector<json> events;
  if (!stream) events.push_back(json::parse(response.body, nullptr, false));
  for (std::string line; stream && std::getline(lines, line);)
    if (line.starts_with("data: {")) events.push_back(json::parse(line.substr(6), nullptr, false));
  for (const json& event : events) {
    if (event.is_discarded() || !event.contains("choices")) return {response.body, "", 0};
    for (const json& choice : event["choices"]) {
      add_message(choice[stream ? "delta" : "message"], read);
      if (choice["finish_reason"].is_string()) read.finish_reason = choice["finish_reason"];
    }
    if (event.contains("metrics"))
      read.forced = event["metrics"]["speculative_decoding"]["num_forced_tokens"].get<int64_t>();
  }
  return read;
}

// All replies, `concurrency` at a time.
std::vector<Read> ask_all(uint16_t port, const std::vector<Pair>& pairs, bool drafts, int concurrency,
                          bool stream) {
  std::vector<Read> replies(pairs.size());
  std::atomic<size_t> next{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < concurrency; ++c)
    clients.emplace_back([&] {
      for (size_t i = next++; i < pairs.size(); i = next++) {
        json body = pairs[i].body;
        body["stream"] = stream;
        body["include_speculation"] = true;
        body["speculation"] = {{"enabled", drafts}};
        RawClient client(port);
        client.post("/v1/chat/completions", body.dump());
        replies[i] = read_reply(client.read_response(300'000), stream);
      }
    });
  for (std::thread& client : clients) client.join();
  return replies;
}

// It says that it is ready a moment before it answers.
bool answers(uint16_t port) {
  for (int i = 0; i < 600; ++i) {
    RawClient client(port);
    if (client.get("/health") && client.read_response().status == 200) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

void check(int count) {
  Program server(FT_SERVER_PROGRAM,
                 {"--model", FT_MODELS "/v4-nano-dspark", "--port", "0", "--threads", "2", "--state-dir", "",
                  "--max-sequences", "8", "--tree-nodes", "8", "--context", "2048"});
  ASSERT_TRUE(server.wait_for("ready in")) << server.errors();
  ASSERT_TRUE(answers(port_of(server)));
  const std::vector<Pair> pairs = make_pairs(count);
  const std::vector<Read> expected = ask_all(port_of(server), pairs, false, 1, false);
  for (size_t i = 0; i < pairs.size(); ++i) {
    EXPECT_EQ(expected[i].finish_reason, pairs[i].call ? "tool_calls" : "stop")
        << pairs[i].schema << expected[i].text;
    EXPECT_TRUE(valid(pairs[i].schema, json::parse(expected[i].text, nullptr, false)))
        << expected[i].text << " of " << pairs[i].schema;
  }
  int64_t forced = 0;
  for (const bool drafts : {false, true})
    for (const int concurrency : {1, 8})
      for (const bool stream : {false, true}) {
        if (!drafts && concurrency == 1 && !stream) continue;
        const std::vector<Read> replies = ask_all(port_of(server), pairs, drafts, concurrency, stream);
        for (size_t i = 0; i < pairs.size(); ++i) {
          EXPECT_EQ(replies[i].text, expected[i].text)
              << pairs[i].schema << (drafts ? " with drafts, " : ", ") << concurrency
              << (stream ? " streamed" : "");
          EXPECT_EQ(replies[i].finish_reason, expected[i].finish_reason);
          EXPECT_TRUE(drafts || replies[i].forced == 0);
          forced += replies[i].forced;
        }
      }
  EXPECT_GT(forced, count);
}

TEST(StructuredIdentity, OfSomePairs) {
  check(8);
}

TEST(FullStructuredIdentity, OfManyPairs) {
  check(500);
}

}  // namespace
}  // namespace ft::server
