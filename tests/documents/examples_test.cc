// Every question of the documents, asked of the server on every instruction set that this CPU has: the reply
// is the one that is printed, and no token of it was close to another one.
#include "tests/documents/examples.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/cpu/target.h"
#include "tests/server/raw_client.h"
#include "tests/support/program.h"

namespace ft::documents {
namespace {

using nlohmann::json;
using server::testing::RawClient;
using server::testing::RawResponse;
using testing::Program;

// Logits of a CPU and of a CUDA device differ by up to some tenths. Every token of an example has to be ahead
// of the second best by this much, in nats.
constexpr double kMargin = 2.0;

std::vector<Example> all_examples() {
  std::vector<Example> all;
  for (const char* document : {"README.md", "models/README.md"}) {
    std::ifstream file(std::filesystem::path(FT_SOURCE) / document);
    std::stringstream text;
    text << file.rdbuf();
    const std::vector<Example> found = examples(document, text.str());
    all.insert(all.end(), found.begin(), found.end());
  }
  return all;
}

RawResponse ask(uint16_t port, const json& request) {
  RawClient client(port);
  client.post("/v1/chat/completions", request.dump());
  return client.read_response(60000);
}

// Waits until the server answers.
bool has_model(uint16_t port) {
  for (int i = 0; i < 600; ++i) {
    RawClient client(port);
    client.get("/health");
    if (client.read_response().status == 200) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return false;
}

// The content of a stream of events, put together.
std::string streamed_content(const std::string& events) {
  std::istringstream lines(events);
  std::string content;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("data: {")) continue;
    const json chunk = json::parse(line.substr(6));
    for (const json& choice : chunk["choices"])
      if (choice["delta"].contains("content") && choice["delta"]["content"].is_string())
        content += choice["delta"]["content"];
  }
  return content;
}

// The smallest distance between a token's log probability and the next best one's.
double smallest_margin(const json& logprobs) {
  double smallest = 1e9;
  for (const char* part : {"reasoning_content", "content"}) {
    if (!logprobs.contains(part) || !logprobs[part].is_array()) continue;
    for (const json& token : logprobs[part]) {
      const json& best = token["top_logprobs"];
      smallest = std::min(smallest, best[0]["logprob"].get<double>() - best[1]["logprob"].get<double>());
    }
  }
  return smallest;
}

class DocumentExamples : public ::testing::TestWithParam<std::string_view> {};

TEST_P(DocumentExamples, GetTheRepliesThatArePrinted) {
  // With drafts, whether they pay on this machine or not.
  const std::string target(GetParam());
  Program server(FT_SERVER_PROGRAM, {"--backend", "cpu", "--cpu-target", target, "--port", "0", "--threads",
                                     "1", "--tree-nodes", "6", "--state-dir", ""});
  ASSERT_TRUE(server.wait_for("listening on")) << server.errors();
  const uint16_t port = testing::port_of(server);
  ASSERT_TRUE(has_model(port));
  EXPECT_NE(server.errors().find(target + ", 1 thread"), std::string::npos) << server.errors();
  const std::vector<Example> asked = all_examples();
  EXPECT_GE(asked.size(), 15u);
  for (const Example& example : asked) {
    ASSERT_NE(example.reply, "") << example.where << ": no reply follows this request";
    EXPECT_EQ(example.request.value("temperature", 1.0), 0.0) << example.where;
    json request = example.request;
    if (request.value("stream", false)) {
      EXPECT_EQ(one_line(streamed_content(ask(port, request).body)), example.reply) << example.where;
      request["stream"] = false;
    }
    request["logprobs"] = true;
    request["top_logprobs"] = 2;
    const RawResponse response = ask(port, request);
    ASSERT_EQ(response.status, 200) << example.where << ": " << response.body;
    const json choice = json::parse(response.body)["choices"][0];
    EXPECT_EQ(reply_text(choice["message"]), example.reply) << example.where;
    EXPECT_GE(smallest_margin(choice["logprobs"]), kMargin) << example.where;
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string_view>& test) {
  std::string name(test.param);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// The best is what the documents are read on; the others are slower.
INSTANTIATE_TEST_SUITE_P(ThisCpu, DocumentExamples, ::testing::Values(cpu::available_targets().front()),
                         test_name);

std::vector<std::string_view> other_targets() {
  std::vector<std::string_view> targets = cpu::available_targets();
  targets.erase(targets.begin());
  return targets;
}

INSTANTIATE_TEST_SUITE_P(FullOtherCpu, DocumentExamples, ::testing::ValuesIn(other_targets()), test_name);

TEST(Examples, AreReadFromTablesAndBlocks) {
  const auto found =
      examples("A.md",
               "| kind | question | reply |\n|---|---|---|\n| sums | What is 1+1? | ``` `2` ``` |\n"
               "| more (thinking off) | a \\| b | `c` d |\n\n| kind | n |\n|---|---|\n| e | f |\n"
               "```sh\ncurl URL -d '{\"stream\": true,\n \"messages\": [1]}'\n```\n\n> g\n> `h`\n"
               "```json\n{\"messages\": [2]}\n```\nNo quotation.\n```sh\nls\n```\n");
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[0].where, "A.md:3");
  EXPECT_EQ(found[0].request["messages"][0]["content"], "What is 1+1?");
  EXPECT_FALSE(found[0].request.contains("thinking"));
  EXPECT_EQ(found[0].reply, "`2`");
  EXPECT_EQ(found[1].request["messages"][0]["content"], "a | b");
  EXPECT_EQ(found[1].request["thinking"]["type"], "disabled");
  EXPECT_EQ(found[1].reply, "c d");
  EXPECT_EQ(found[2].request["messages"][0], 1);
  EXPECT_EQ(found[2].reply, "g h");
  EXPECT_EQ(found[3].request["messages"][0], 2);
  EXPECT_EQ(found[3].reply, "");
}

TEST(Examples, CallsAreSpelledOut) {
  EXPECT_EQ(reply_text(json::parse(R"({"content": " a\n b"})")), "a b");
  EXPECT_EQ(
      reply_text(json::parse(
          R"({"content": null, "tool_calls": [{"function": {"name": "f", "arguments": "{\"x\": 1}"}}]})")),
      "calls f with {\"x\": 1}");
}

}  // namespace
}  // namespace ft::documents
