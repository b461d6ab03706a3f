#include "server/generation/reply.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/api/openai_chat_writer.h"
#include "server/api/openai_completions_writer.h"
#include "server/generation/speculation_report.h"
#include "tests/server/fake_model.h"

namespace ft::server {
namespace {

using nlohmann::json;
using scheduler::FinishReason;
using testing::ByteTokenizer;
using testing::Script;

// The data of each event; "[DONE]" last.
std::vector<std::string> events_of(const std::string& text) {
  std::vector<std::string> events;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = text.find("\n\n", at);
    EXPECT_NE(end, std::string::npos) << "an event is not closed";
    if (end == std::string::npos) break;
    const std::string event = text.substr(at, end - at);
    EXPECT_TRUE(event.starts_with("data: ")) << event;
    events.push_back(event.substr(6));
    at = end + 2;
  }
  return events;
}

std::vector<json> chunks_of(const std::string& text) {
  std::vector<json> chunks;
  for (const std::string& event : events_of(text)) {
    if (event == "[DONE]") continue;
    chunks.push_back(json::parse(event, nullptr, false));
    EXPECT_FALSE(chunks.back().is_discarded()) << event;
  }
  return chunks;
}

// What a test says of a reply; a writer comes of it.
struct Wish {
  bool chat = true;
  bool stream = false;
  bool logprobs = false;
  bool steps = false;
  bool thinking = false;
  ReplyExtras extras;
};

// A reply whose streams the test fills by hand.
class ReplyTest : public ::testing::Test {
 protected:
  Reply& make(const Wish& wish, int choices = 1, ChoiceOptions choice = {}, const std::string& echo = "") {
    const ReplyHead head{"chatcmpl-1", 5, "m\"1"};
    ReplyOptions options;
    options.id = head.id;
    options.stream = wish.stream;
    options.shows_tokens = wish.logprobs || wish.steps;
    const encoding::Tokenizer& tokenizer = *model_->tokenizer;
    options.writer =
        wish.chat ? openai_chat_writer(head, wish.extras, tokenizer, wish.logprobs, wish.thinking)
                  : openai_completions_writer(
                        head, wish.extras, tokenizer, wish.logprobs,
                        std::vector<CompletionEcho>(static_cast<size_t>(choices), {echo, std::nullopt}));
    choice.chat = wish.chat;
    choice.tokenizer = model_->tokenizer.get();
    std::vector<ReplyPart> parts;
    for (int i = 0; i < choices; ++i) {
      streams_.push_back(std::make_shared<scheduler::TokenStream>(1000, std::function<void()>()));
      parts.push_back({streams_.back(), choice, 0, 10});
    }
    reply_ = std::make_unique<Reply>(std::move(options), std::move(parts), model_,
                                     [this](const ReplySummary& summary) { summaries_.push_back(summary); });
    return *reply_;
  }

  void push(size_t choice, const std::vector<int32_t>& tokens) {
    for (const int32_t token : tokens) {
      scheduler::TokenEvent event;
      event.token = token;
      event.logprob = -0.5F;
      event.top = {{ByteTokenizer::kFirstByte + 'a', -0.25F}};
      event.step = step_;
      streams_[choice]->push(event);
    }
    ++step_;
    pushed_ += static_cast<int64_t>(tokens.size());
  }
  // A step whose first tokens were drafted by a chain that held one token more, with one sibling that fell away.
  void push_drafted(size_t choice, const std::vector<int32_t>& tokens) {
    using draft::DraftSource;
    auto detail = std::make_shared<scheduler::StepDetail>(scheduler::StepDetail{step_, 0.5, 2.0, 0.25, {}});
    for (int32_t i = 0; i + 1 < std::ssize(tokens); ++i)
      detail->nodes.push_back(
          {tokens[static_cast<size_t>(i)], i - 1, i + 1, 0.5F, DraftSource::kModel, true});
    detail->nodes.push_back({ByteTokenizer::kFirstByte + 'z', -1, 1, 0.125F, DraftSource::kNgram, false});
    for (size_t i = 0; i < tokens.size(); ++i) {
      scheduler::TokenEvent event;
      event.token = tokens[i];
      event.step = step_;
      event.node = i + 1 < tokens.size() ? static_cast<int32_t>(i) : -1;
      event.detail = detail;
      streams_[choice]->push(event);
    }
    ++step_;
    pushed_ += static_cast<int64_t>(tokens.size());
  }
  void say(size_t choice, const std::string& text) { push(choice, ByteTokenizer::bytes(text)); }

  void finish(size_t choice, FinishReason reason, std::string error = "") {
    scheduler::RequestReport report;
    report.finish_reason = reason;
    report.error = std::move(error);
    report.stop_token = reason == FinishReason::kStop ? ByteTokenizer::kEosId : -1;
    report.prompt_tokens = 10;
    report.cached_tokens = 4 + static_cast<int64_t>(choice);  // those after the first fork the first
    report.completion_tokens = pushed_;
    report.steps = 4;
    report.drafted = 12;
    report.accepted = 6;
    report.accepted_histogram = {1, 1, 1, 1};
    report.drafted_at_depth = {4, 4, 4, 1};
    report.accepted_at_depth = {3, 2, 1};
    report.fallbacks = {0, 3, 2, 1};
    report.preemptions = 2;
    report.drafter = "dspark";
    report.draft_ms = 1.5;
    streams_[choice]->finish(report);
    pushed_ = 0;
  }

  static Wish streaming() {
    Wish wish;
    wish.stream = true;
    return wish;
  }

  std::shared_ptr<ServedModel> model_ = testing::fake_model(nullptr);
  std::vector<std::shared_ptr<scheduler::TokenStream>> streams_;
  std::vector<ReplySummary> summaries_;
  std::unique_ptr<Reply> reply_;
  int32_t step_ = 0;
  int64_t pushed_ = 0;
};

// An engine that is quicker than its reader does not keep the reader from sending.
TEST_F(ReplyTest, TakesABoundedNumberOfTokensAtATime) {
  for (const bool stream : {true, false}) {
    streams_.clear();
    Wish options;
    options.stream = stream;
    Reply& reply = make(options);
    constexpr int kTokens = 2 * Reply::kTokensPerPump + 10;
    for (int i = 0; i < kTokens; ++i) say(0, "x");
    finish(0, FinishReason::kLength);
    std::string out;
    std::string content;
    for (const bool more : {true, true, false}) {
      out.clear();
      EXPECT_EQ(reply.pump(out), !more);
      EXPECT_EQ(reply.has_more(), more);
      EXPECT_EQ(out.empty(), !stream);
      for (const json& chunk : chunks_of(out)) content += chunk["choices"][0]["delta"].value("content", "");
    }
    if (!stream) content = json::parse(reply.response().body)["choices"][0]["message"]["content"];
    EXPECT_EQ(content, std::string(kTokens, 'x'));
  }
}

TEST_F(ReplyTest, StreamsOneEventPerStep) {
  Reply& reply = make(streaming());
  std::string out;
  EXPECT_FALSE(reply.pump(out));
  EXPECT_EQ(out, "");  // nothing before the first token
  say(0, "Hel");
  EXPECT_FALSE(reply.pump(out));
  say(0, "lo ");
  say(0, "you");
  EXPECT_FALSE(reply.pump(out));  // two steps at once are still two events
  push(0, {ByteTokenizer::kEosId});
  finish(0, FinishReason::kStop);
  EXPECT_TRUE(reply.pump(out));
  const std::vector<json> chunks = chunks_of(out);
  ASSERT_EQ(chunks.size(), 5U);
  EXPECT_EQ(chunks[0]["choices"][0]["delta"], json::parse(R"({"role":"assistant","content":""})"));
  EXPECT_EQ(chunks[1]["choices"][0]["delta"], json::parse(R"({"content":"Hel"})"));
  EXPECT_EQ(chunks[2]["choices"][0]["delta"], json::parse(R"({"content":"lo"})"));
  EXPECT_EQ(chunks[3]["choices"][0]["delta"], json::parse(R"({"content":" you"})"));
  EXPECT_EQ(chunks[4]["choices"][0]["delta"], json::object());
  EXPECT_EQ(chunks[4]["choices"][0]["finish_reason"], "stop");
  for (const json& chunk : chunks) {
    EXPECT_EQ(chunk["id"], "chatcmpl-1");
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_EQ(chunk["created"], 5);
    EXPECT_EQ(chunk["model"], "m\"1");
    EXPECT_FALSE(chunk.contains("usage"));
  }
  EXPECT_EQ(events_of(out).back(), "[DONE]");
  ASSERT_EQ(summaries_.size(), 1U);
  EXPECT_EQ(summaries_[0].outcome, "stop");
  EXPECT_EQ(summaries_[0].usage.completion_tokens, 10);
}

TEST_F(ReplyTest, NeverTearsACharacter) {
  Reply& reply = make(streaming());
  std::string out;
  const std::string text = "世界🙂";
  for (const char c : text) {
    say(0, std::string(1, c));
    reply.pump(out);
  }
  finish(0, FinishReason::kLength);
  reply.pump(out);
  std::string shown;
  for (const json& chunk : chunks_of(out)) {
    shown += chunk["choices"][0]["delta"].value("content", "");
  }
  EXPECT_EQ(shown, text);
  EXPECT_EQ(chunks_of(out).size(), 1U + 3U + 1U);  // role, one per character, finish
}

TEST_F(ReplyTest, SendsUsageAndSpeculationWhenAsked) {
  Wish options = streaming();
  options.extras.usage = true;
  options.extras.speculation = true;
  options.extras.draft_rows = 7;
  Reply& reply = make(options);
  std::string out;
  say(0, "abc");
  finish(0, FinishReason::kLength);
  EXPECT_TRUE(reply.pump(out));
  const std::vector<json> chunks = chunks_of(out);
  EXPECT_TRUE(chunks[0]["usage"].is_null());
  const json& last = chunks.back();
  EXPECT_EQ(last["choices"], json::array());
  EXPECT_EQ(last["usage"]["prompt_tokens"], 10);
  EXPECT_EQ(last["usage"]["completion_tokens"], 3);
  EXPECT_EQ(last["usage"]["total_tokens"], 13);
  EXPECT_EQ(last["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
  EXPECT_EQ(last["usage"]["prompt_cache_hit_tokens"], 4);
  EXPECT_EQ(last["usage"]["prompt_cache_miss_tokens"], 6);
  EXPECT_EQ(last["usage"]["completion_tokens_details"]["reasoning_tokens"], 0);
  const json& report = last["metrics"]["speculative_decoding"];
  EXPECT_EQ(report["mean_acceptance_length"], 2.5);
  EXPECT_EQ(report["draft_acceptance_rate"], 0.5);
  EXPECT_EQ(report["acceptance_histogram"], json::parse("[1,1,1,1]"));
  EXPECT_EQ(report["num_spec_steps"], 4);
  EXPECT_EQ(report["num_accepted_draft_tokens"], 6);
  EXPECT_EQ(report["num_draft_tokens"], 12);
  EXPECT_EQ(report["num_spec_tokens"], 7);
  EXPECT_EQ(report["num_drafts"], 4);
  EXPECT_EQ(report["drafted_per_position"], json::parse("[4,4,4,1]"));
  EXPECT_EQ(report["accepted_per_position"], json::parse("[3,2,1,0]"));
  EXPECT_EQ(report["fallbacks"], json::parse(R"({"disabled":0,"not_worth":3,"no_draft":2,"no_room":1})"));
  EXPECT_EQ(report["num_preemptions"], 2);
  EXPECT_EQ(report["drafter"], "dspark");
  EXPECT_EQ(report["draft_ms"], 1.5);
}

TEST_F(ReplyTest, WholeChatReply) {
  Wish options;
  options.thinking = true;
  options.extras.speculation = true;
  ChoiceOptions choice;
  choice.parser.thinking = true;
  Reply& reply = make(options, 1, choice);
  std::string out;
  say(0, "why</think>because");
  push(0, {ByteTokenizer::kEosId});
  EXPECT_FALSE(reply.pump(out));
  finish(0, FinishReason::kStop);
  EXPECT_TRUE(reply.pump(out));
  EXPECT_EQ(out, "");
  const HttpResponse response = reply.response();
  EXPECT_EQ(response.status, 200);
  const json body = json::parse(response.body);
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["choices"][0]["message"],
            json::parse(R"({"role":"assistant","content":"because","reasoning_content":"why"})"));
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_TRUE(body["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(body["usage"]["completion_tokens"], 19);
  EXPECT_EQ(body["usage"]["completion_tokens_details"]["reasoning_tokens"],
            11);  // byte by byte: "why</think>"
  EXPECT_TRUE(body["metrics"]["speculative_decoding"].is_object());
}

const std::string kCall =
    "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"get\">\n<｜DSML｜parameter name=\"q\" "
    "string=\"true\">a\"b"
    "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>";

TEST_F(ReplyTest, StreamsToolCalls) {
  ChoiceOptions choice;
  choice.parser.tools_offered = true;
  Reply& reply = make(streaming(), 1, choice);
  std::string out;
  say(0, "Wait.");
  for (size_t at = 0; at < kCall.size(); at += 7) say(0, kCall.substr(at, 7));
  push(0, {ByteTokenizer::kEosId});
  finish(0, FinishReason::kStop);
  EXPECT_TRUE(reply.pump(out));
  std::string content;
  std::string arguments;
  int begun = 0;
  for (const json& chunk : chunks_of(out)) {
    const json& delta = chunk["choices"][0]["delta"];
    EXPECT_LE(delta.size(), delta.contains("role") ? 2U : 1U);  // never two kinds in one chunk
    content += delta.value("content", "");
    if (!delta.contains("tool_calls")) continue;
    const json& call = delta["tool_calls"][0];
    EXPECT_EQ(call["index"], 0);
    if (call.contains("id")) {
      ++begun;
      EXPECT_EQ(call["type"], "function");
      EXPECT_EQ(call["function"]["name"], "get");
      EXPECT_EQ(call["function"]["arguments"], "");
    } else {
      EXPECT_FALSE(call["function"].contains("name"));  // the name comes once
      arguments += call["function"]["arguments"].get<std::string>();
    }
  }
  EXPECT_EQ(begun, 1);
  EXPECT_EQ(content, "Wait.");
  EXPECT_EQ(arguments, R"({"q": "a\"b"})");
  EXPECT_EQ(chunks_of(out).back()["choices"][0]["finish_reason"], "tool_calls");
}

TEST_F(ReplyTest, WholeReplyWithToolCallsOnly) {
  ChoiceOptions choice;
  choice.parser.tools_offered = true;
  Reply& reply = make({}, 1, choice);
  std::string out;
  say(0, kCall);
  push(0, {ByteTokenizer::kEosId});
  finish(0, FinishReason::kStop);
  EXPECT_TRUE(reply.pump(out));
  const json choice_json = json::parse(reply.response().body)["choices"][0];
  EXPECT_TRUE(choice_json["message"]["content"].is_null());
  EXPECT_EQ(choice_json["message"]["tool_calls"][0]["function"]["arguments"], R"({"q": "a\"b"})");
  EXPECT_TRUE(choice_json["message"]["tool_calls"][0]["id"].get<std::string>().starts_with("call_"));
  EXPECT_EQ(choice_json["finish_reason"], "tool_calls");
}

TEST_F(ReplyTest, StopStringCancelsTheEngine) {
  ChoiceOptions choice;
  choice.stop = {"lo w"};
  Reply& reply = make(streaming(), 1, choice);
  std::string out;
  say(0, "hel");
  say(0, "lo worl");
  EXPECT_FALSE(reply.pump(out));
  EXPECT_TRUE(streams_[0]->cancelled());
  say(0, "more");
  finish(0, FinishReason::kCancelled);
  EXPECT_TRUE(reply.pump(out));
  std::string content;
  for (const json& chunk : chunks_of(out)) content += chunk["choices"][0]["delta"].value("content", "");
  EXPECT_EQ(content, "hel");
  EXPECT_EQ(chunks_of(out).back()["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(summaries_.at(0).usage.completion_tokens, 7);
}

TEST_F(ReplyTest, ChoicesEndOneByOne) {
  Reply& reply = make(streaming(), 2);
  std::string out;
  say(1, "b");
  finish(1, FinishReason::kLength);
  EXPECT_FALSE(reply.pump(out));
  say(0, "a");
  finish(0, FinishReason::kLength);
  EXPECT_TRUE(reply.pump(out));
  std::vector<std::string> texts(2);
  std::vector<int> finished(2);
  for (const json& chunk : chunks_of(out)) {
    const json& choice = chunk["choices"][0];
    texts[choice["index"].get<size_t>()] += choice["delta"].value("content", "");
    if (!choice["finish_reason"].is_null()) ++finished[choice["index"].get<size_t>()];
  }
  EXPECT_EQ(texts, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(finished, (std::vector<int>{1, 1}));
  EXPECT_EQ(summaries_.at(0).usage.prompt_tokens, 10);  // one prompt
  EXPECT_EQ(summaries_.at(0).usage.cached_tokens, 4);   // as the first choice found it
}

TEST_F(ReplyTest, EngineErrorEndsAllChoices) {
  Reply& reply = make(streaming(), 2);
  std::string out;
  say(0, "a");
  finish(0, FinishReason::kError, "the device is gone");
  EXPECT_TRUE(reply.pump(out));
  EXPECT_TRUE(streams_[1]->cancelled());
  const std::vector<std::string> events = events_of(out);
  EXPECT_EQ(json::parse(events[events.size() - 2])["error"]["message"], "the device is gone");
  EXPECT_EQ(json::parse(events[events.size() - 2])["error"]["type"], "server_error");
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_EQ(summaries_.at(0).outcome, "error");
  EXPECT_TRUE(reply.pump(out));  // stays over
}

TEST_F(ReplyTest, WholeReplyWithAnEngineError) {
  Reply& reply = make({});
  std::string out;
  finish(0, FinishReason::kError, "boom");
  EXPECT_TRUE(reply.pump(out));
  const HttpResponse response = reply.response();
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(json::parse(response.body)["error"]["message"], "boom");
  EXPECT_EQ(response.headers, (std::vector<Header>{{"x-should-retry", "false"}}));
}

TEST_F(ReplyTest, ServerStopIsA503) {
  Reply& reply = make({});
  std::string out;
  reply.cancel();
  EXPECT_TRUE(streams_[0]->cancelled());
  finish(0, FinishReason::kCancelled);
  EXPECT_TRUE(reply.pump(out));
  EXPECT_EQ(reply.response().status, 503);
  EXPECT_EQ(summaries_.at(0).outcome, "cancelled");
}

TEST_F(ReplyTest, DestructionCancels) {
  make(streaming());
  reply_.reset();
  EXPECT_TRUE(streams_[0]->cancelled());
  ASSERT_EQ(summaries_.size(), 1U);
  EXPECT_EQ(summaries_[0].outcome, "cancelled");
}

// What was done for a client that has left is work, too.
TEST_F(ReplyTest, CancelledWorkIsCounted) {
  Reply& reply = make(streaming());
  std::string out;
  say(0, "ab");
  say(0, "cde");
  EXPECT_FALSE(reply.pump(out));
  reply_.reset();
  ASSERT_EQ(summaries_.size(), 1U);
  const ReplySummary& summary = summaries_[0];
  EXPECT_EQ(summary.outcome, "cancelled");
  EXPECT_EQ(summary.usage.prompt_tokens, 10);
  EXPECT_EQ(summary.usage.completion_tokens, 5);
  EXPECT_EQ(summary.report.steps, 2);
  EXPECT_TRUE(summary.first_token_seconds);
}

TEST_F(ReplyTest, StepsOfAStream) {
  Wish options = streaming();
  options.steps = true;
  ChoiceOptions choice;
  choice.parser.thinking = true;
  Reply& reply = make(options, 1, choice);
  std::string out;
  push_drafted(0, ByteTokenizer::bytes("r"));
  push_drafted(0, {ByteTokenizer::kThinkCloseId, ByteTokenizer::kFirstByte + 'a'});
  push_drafted(0, {ByteTokenizer::kEosId});
  finish(0, FinishReason::kStop);
  while (!reply.pump(out)) {
  }
  json tokens = json::array();
  json steps = json::array();
  for (const json& chunk : chunks_of(out)) {
    if (chunk["choices"].empty() || !chunk["choices"][0].contains("speculation")) continue;
    const json& member = chunk["choices"][0]["speculation"];
    tokens.insert(tokens.end(), member["tokens"].begin(), member["tokens"].end());
    steps.insert(steps.end(), member["steps"].begin(), member["steps"].end());
    EXPECT_TRUE(chunk["choices"][0]["logprobs"].is_null());
  }
  ASSERT_EQ(tokens.size(), 3U);
  EXPECT_EQ(tokens[0], json::parse(R"({"token":"r","reasoning":true,"step":0,"depth":0,"source":"target",
                                       "probability":null})"));
  EXPECT_EQ(tokens[1],
            json::parse(R"({"token":"</think>","reasoning":true,"step":1,"depth":1,"source":"model",
                                       "probability":0.5})"));
  EXPECT_EQ(tokens[2]["token"], "a");
  EXPECT_EQ(tokens[2]["reasoning"], false);
  ASSERT_EQ(steps.size(), 2U);  // the last one shows no token
  EXPECT_EQ(steps[1], json::parse(R"({"step":1,"draft_ms":0.5,"verify_ms":2.0,"commit_ms":0.25,"tree":[
      {"token":"</think>","parent":-1,"depth":1,"probability":0.5,"source":"model","accepted":true},
      {"token":"z","parent":-1,"depth":1,"probability":0.125,"source":"ngram","accepted":false}]})"));
}

// Also where a stop string takes tokens back that had been held.
TEST_F(ReplyTest, StepsOfWholeReplies) {
  for (const bool chat : {true, false}) {
    streams_.clear();
    step_ = 0;
    Wish options;
    options.chat = chat;
    options.steps = true;
    ChoiceOptions choice;
    choice.stop = {"END"};
    Reply& reply = make(options, 1, choice);
    std::string out;
    push_drafted(0, ByteTokenizer::bytes("abE"));
    push_drafted(0, ByteTokenizer::bytes("ND"));
    push_drafted(0, ByteTokenizer::bytes("cd"));
    finish(0, FinishReason::kLength);
    while (!reply.pump(out)) {
    }
    const json member = json::parse(reply.response().body)["choices"][0]["speculation"];
    ASSERT_EQ(member["tokens"].size(), 2U) << member;
    EXPECT_EQ(member["tokens"][1]["token"], "b");
    EXPECT_EQ(member["tokens"][1]["depth"], 2);
    EXPECT_EQ(member["steps"].size(), 1U);
  }
}

TEST_F(ReplyTest, ChatLogprobs) {
  Wish options;
  options.logprobs = true;
  ChoiceOptions choice;
  choice.parser.thinking = true;
  Reply& reply = make(options, 1, choice);
  std::string out;
  say(0, "r");
  push(0, {ByteTokenizer::kThinkCloseId});
  say(0, "\xC3\xBC");
  push(0, {ByteTokenizer::kEosId});
  finish(0, FinishReason::kStop);
  reply.pump(out);
  const json logprobs = json::parse(reply.response().body)["choices"][0]["logprobs"];
  ASSERT_EQ(logprobs["content"].size(), 2U);  // two bytes of one character
  EXPECT_EQ(logprobs["content"][0]["bytes"], json::parse("[195]"));
  EXPECT_EQ(logprobs["content"][0]["token"], "\xEF\xBF\xBD");
  EXPECT_EQ(logprobs["content"][0]["logprob"], -0.5);
  EXPECT_EQ(logprobs["content"][0]["top_logprobs"][0]["token"], "a");
  EXPECT_EQ(logprobs["content"][0]["top_logprobs"][0]["logprob"], -0.25);
  EXPECT_EQ(logprobs["reasoning_content"].size(), 2U);  // r and </think>
}

TEST_F(ReplyTest, StreamedLogprobsAreComplete) {
  Wish options = streaming();
  options.logprobs = true;
  ChoiceOptions choice;
  choice.stop = {"zzz"};
  Reply& reply = make(options, 1, choice);
  std::string out;
  for (const char* text : {"ab", "cz", "z", "d"}) {
    say(0, text);
    reply.pump(out);
  }
  finish(0, FinishReason::kLength);
  reply.pump(out);
  std::string content;
  std::string tokens;
  for (const json& chunk : chunks_of(out)) {
    const json& one = chunk["choices"][0];
    content += one["delta"].value("content", "");
    if (one["logprobs"].is_null()) continue;
    for (const json& token : one["logprobs"]["content"]) tokens += token["token"].get<std::string>();
    EXPECT_LE(tokens.size(), content.size());
  }
  EXPECT_EQ(content, "abczzd");
  EXPECT_EQ(tokens, content);
}

TEST_F(ReplyTest, CompletionWithEchoAndLogprobs) {
  Wish options;
  options.chat = false;
  options.logprobs = true;
  Reply& reply = make(options, 1, {}, "Say: ");
  std::string out;
  say(0, "hi\xC3\xBCx");
  finish(0, FinishReason::kLength);
  reply.pump(out);
  const json body = json::parse(reply.response().body);
  EXPECT_EQ(body["object"], "text_completion");
  EXPECT_EQ(body["choices"][0]["text"], "Say: hiüx");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  const json& logprobs = body["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"].size(), 5U);
  EXPECT_EQ(logprobs["token_logprobs"][0], -0.5);
  EXPECT_EQ(logprobs["top_logprobs"][0], json::parse(R"({"a":-0.25,"h":-0.5})"));
  EXPECT_EQ(logprobs["text_offset"], json::parse("[5,6,7,7,8]"));  // in characters, behind the echo
}

TEST_F(ReplyTest, StreamedCompletionEchoesFirst) {
  Wish options = streaming();
  options.chat = false;
  Reply& reply = make(options, 1, {}, "Say: ");
  std::string out;
  say(0, "hi");
  finish(0, FinishReason::kLength);
  reply.pump(out);
  std::string text;
  for (const json& chunk : chunks_of(out)) text += chunk["choices"][0]["text"].get<std::string>();
  EXPECT_EQ(text, "Say: hi");
}

TEST_F(ReplyTest, EmptyReplyHasAnOpening) {
  Reply& reply = make(streaming());
  std::string out;
  push(0, {ByteTokenizer::kEosId});
  finish(0, FinishReason::kStop);
  EXPECT_TRUE(reply.pump(out));
  const std::vector<json> chunks = chunks_of(out);
  ASSERT_EQ(chunks.size(), 2U);
  EXPECT_EQ(chunks[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(chunks[1]["choices"][0]["finish_reason"], "stop");
}

TEST(SpeculationReport, MergesChoices) {
  scheduler::RequestReport a;
  a.steps = 2;
  a.accepted = 2;
  a.drafted = 6;
  a.queue_ms = 5.0;
  a.accepted_histogram = {0, 2};
  a.fallbacks = {1, 2, 3, 4};
  a.preemptions = 5;
  scheduler::RequestReport b = a;
  b.queue_ms = 7.0;
  scheduler::RequestReport merged;
  merge_report(merged, a);
  merge_report(merged, b);
  EXPECT_EQ(merged.steps, 4);
  EXPECT_EQ(merged.queue_ms, 7.0);
  EXPECT_EQ(merged.accepted_histogram[1], 4);
  EXPECT_EQ(merged.fallbacks, (std::array<int64_t, scheduler::kFallbacks>{2, 4, 6, 8}));
  EXPECT_EQ(merged.preemptions, 10);
  EXPECT_EQ(mean_acceptance_length(merged), 2.0);
  EXPECT_EQ(mean_acceptance_length(scheduler::RequestReport{}), 0.0);
}

TEST(OpenAiJson, ImpossibleTokensStayJson) {
  std::string out;
  append_logprob(out, -std::numeric_limits<float>::infinity());
  EXPECT_EQ(json::parse(out), -9999.0);
}

}  // namespace
}  // namespace ft::server
