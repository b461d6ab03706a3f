// The parts of a load experiment that need no server.
#include <gtest/gtest.h>

#include <cmath>

#include "eval/load/acceptance_report.h"
#include "eval/load/arrivals.h"
#include "eval/load/chat_prompts.h"
#include "eval/load/event_parser.h"
#include "eval/load/load_figures.h"
#include "eval/load/url.h"
#include "tests/support/temp_dir.h"

namespace ft::eval {
namespace {

TEST(LoadUrl, SaysWhereAndRefusesWhatItCannotReach) {
  const auto url = parse_url("http://127.0.0.1:8000");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->host + " " + url->port + " " + url->base, "127.0.0.1 8000 /v1");
  const auto other = parse_url("http://[::1]:9/api/");
  ASSERT_TRUE(other);
  EXPECT_EQ(other->host + " " + other->port + " " + other->base, "::1 9 /api");
  EXPECT_EQ(parse_url("http://example")->port, "80");
  EXPECT_EQ(parse_url("https://example").error().message,
            "https://example: TLS is not supported; measure behind the proxy");
  for (const char* bad : {"", "example:80", "http://", "http://a:b", "http://:80"})
    EXPECT_FALSE(parse_url(bad)) << bad;
}

TEST(LoadEvents, AreFoundHoweverTheBytesAreCut) {
  const std::string bytes =
      "data: one\n\n: comment\r\nevent: x\r\ndata:two\r\ndata: lines\r\n\r\ndata: [DONE]\n\n";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    EventParser parser;
    std::vector<std::string> events;
    for (size_t at = 0; at < bytes.size(); at += piece)
      for (std::string& event : parser.add(std::string_view(bytes).substr(at, piece)))
        events.push_back(std::move(event));
    EXPECT_EQ(events, (std::vector<std::string>{"one", "two\nlines", "[DONE]"})) << piece;
  }
}

TEST(LoadPrompts, AreReadAsServersTakeThem) {
  const TempDir directory;
  const std::string file = directory.write(
      "p",
      R"({"messages": [{"role": "user", "content": "a", "tools": [{"type": "function"}]}], "thinking": true})"
      "\n"
      R"({"turns": ["b", "c"], "category": "chat"})"
      "\n");
  const auto prompts = read_chat_prompts(file);
  ASSERT_TRUE(prompts) << prompts.error().message;
  ChatWish wish;
  wish.model = "m";
  wish.max_tokens = 5;
  wish.stream = true;
  const Json body = Json::parse(chat_body((*prompts)[0], wish));
  EXPECT_EQ(body["tools"].size(), 1u);
  EXPECT_FALSE(body["messages"][0].contains("tools"));
  EXPECT_EQ(body["chat_template_kwargs"]["thinking"], true);
  EXPECT_EQ(body["stream_options"]["include_usage"], true);
  EXPECT_FALSE(body.contains("speculation"));
  const Json turn = Json::parse(chat_body((*prompts)[1], wish));
  EXPECT_EQ(turn["messages"][0]["content"], "b");
  EXPECT_FALSE(turn.contains("tools"));
  EXPECT_EQ((*prompts)[1].domain, "chat");
  const std::string tokens = directory.write("t", "{\"tokens\": [1]}\n");
  EXPECT_EQ(read_chat_prompts(tokens).error().message,
            tokens + ":1: has neither messages nor turns, which a server needs");
}

TEST(LoadArrivals, HaveTheRateThatIsAskedFor) {
  const std::vector<double> constant = make_arrivals("constant", 4.0, 5, 1).value();
  EXPECT_EQ(constant, (std::vector<double>{0.0, 0.25, 0.5, 0.75, 1.0}));
  const std::vector<double> poisson = make_arrivals("poisson", 10.0, 20'000, 1).value();
  EXPECT_NEAR(poisson.back(), 2000.0, 4.0 * 10.0 * std::sqrt(2.0));
  // Gaps that forget: their standard deviation is their mean.
  double squares = 0.0;
  for (size_t i = 1; i < poisson.size(); ++i) squares += std::pow(poisson[i] - poisson[i - 1] - 0.1, 2);
  EXPECT_NEAR(std::sqrt(squares / 20'000.0), 0.1, 0.004);
  EXPECT_EQ(poisson, make_arrivals("poisson", 10.0, 20'000, 1).value());
  EXPECT_FALSE(make_arrivals("poisson", 0.0, 1, 1));
  EXPECT_FALSE(make_arrivals("burst", 1.0, 1, 1));
}

TEST(LoadArrivals, AreReadFromATrace) {
  const TempDir directory;
  const std::string trace = directory.write(
      "t", "{\"timestamp\": 5}\n\n{\"timestamp\": 6.5, \"prompt_tokens\": 3, \"completion_tokens\": 9}\n");
  const auto read = read_trace(trace, 0);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ((*read)[0].at, 0.0);
  EXPECT_EQ((*read)[1].at, 1.5);
  EXPECT_EQ((*read)[1].completion_tokens, 9);
  const std::string falling = directory.write("f", "{\"timestamp\": 5}\n{\"timestamp\": 4}\n");
  EXPECT_EQ(read_trace(falling, 0).error().message, falling + ":2: timestamp 4 is before the one above");
  const std::string bad = directory.write("b", "{\"at\": 5}\n");
  EXPECT_EQ(read_trace(bad, 0).error().message, bad + ":1: has no timestamp in seconds");
}

TEST(LoadFigures, AreThoseOfTheRequests) {
  // Two good requests of 1 s, one of them slow to begin, and one that failed.
  std::vector<LoadRequest> requests(3);
  requests[0] = {0.0, "", {0.1, 0.2, 0.3}, 1.0, 4, 5, std::nullopt};
  requests[1] = {1.0, "", {1.5, 1.6}, 2.0, 4, 3, std::nullopt};
  requests[2] = {1.0, "timeout", {}, 4.0, 0, 0, std::nullopt};
  AcceptCounts counts;
  counts.steps = 2;
  counts.emitted = 5;
  requests[0].acceptance = counts;
  const Json figures = load_figures_json(requests, {.ttft_seconds = 0.2, .tpot_seconds = 0.0});
  EXPECT_EQ(figures["errors"]["timeout"], 1);
  EXPECT_DOUBLE_EQ(figures["seconds"], 4.0);
  EXPECT_DOUBLE_EQ(figures["tokens_per_s"], 2.0);
  EXPECT_DOUBLE_EQ(figures["requests_per_s"], 0.5);
  EXPECT_DOUBLE_EQ(figures["goodput_per_s"], 0.25);  // the second one's first token came too late
  EXPECT_NEAR(figures["ttft_ms"]["mean"].get<double>(), 300.0, 1e-9);
  EXPECT_NEAR(figures["tpot_ms"]["mean"].get<double>(), 50.0, 1e-9);  // 0.2 s for 4 tokens, 0.1 s for 2
  EXPECT_NEAR(figures["gap_ms"]["p99"].get<double>(), 100.0, 1e-9);
  EXPECT_DOUBLE_EQ(figures["accepted_length"], 2.5);
}

TEST(LoadAcceptance, ComparesWhatWasSaidWithoutIds) {
  const auto reply = [](const char* id, const char* city) {
    return Json::parse(fmt::format(
        R"({{"choices": [{{"message": {{"content": null, "tool_calls": [{{"id": "{}", "type": "function",
        "function": {{"name": "get_time", "arguments": "{}"}}}}]}}}}]}})",
        id, city));
  };
  EXPECT_EQ(said_in(reply("call_1", "Rome")), said_in(reply("call_2", "Rome")));
  EXPECT_NE(said_in(reply("call_1", "Rome")), said_in(reply("call_1", "Oslo")));
  EXPECT_EQ(said_in(Json()), "");
  EXPECT_EQ(said_in(Json::parse(R"({"choices": ["no choice", null]})")), "");
}

TEST(LoadAcceptance, IsReadFromEveryShape) {
  const Json ours =
      Json::parse(R"({"choices": [], "metrics": {"speculative_decoding": {"acceptance_histogram": [1, 0, 2],
    "num_spec_steps": 3, "num_draft_tokens": 9, "drafted_per_position": [3, 3, 3], "accepted_per_position": [2, 2]}}})");
  const auto counts = reported_acceptance(ours);
  ASSERT_TRUE(counts);
  EXPECT_EQ(counts->steps, 3);
  EXPECT_EQ(counts->emitted, 3 + 4);
  EXPECT_EQ(counts->accepted_at_depth[0], 2);
  EXPECT_EQ(counts->accepted_at_depth[1], 2);
  EXPECT_EQ(counts->accepted_at_depth[2], 0);
  EXPECT_EQ(counts->drafted_at_depth[2], 3);
  // The figures of sgl-project/sglang pull request 33518: 43 steps, 106 tokens.
  const Json sglang =
      Json::parse(R"({"choices": [{"sglext": {"spec_verify_ct": 43, "spec_num_correct_drafts": 63,
    "spec_num_proposed_drafts": 215, "spec_correct_drafts_histogram": [11, 14, 11, 4, 0, 3]}}]})");
  const auto theirs = reported_acceptance(sglang);
  ASSERT_TRUE(theirs);
  EXPECT_EQ(theirs->emitted, 106);
  EXPECT_EQ(theirs->drafted, 215);
  EXPECT_EQ(theirs->accepted_at_depth[0], 32);
  EXPECT_EQ(theirs->accepted_at_depth[4], 3);
  EXPECT_FALSE(reported_acceptance(Json::parse(R"({"choices": [], "usage": {"completion_tokens": 3}})")));
}

}  // namespace
}  // namespace ft::eval
