#include "server/generation/choice.h"

#include <gtest/gtest.h>

#include "server/api/openai_json.h"
#include "tests/server/fake_model.h"

namespace ft::server {
namespace {

using scheduler::FinishReason;
using testing::ByteTokenizer;

scheduler::RequestReport ended(FinishReason reason, int64_t tokens) {
  scheduler::RequestReport report;
  report.finish_reason = reason;
  report.stop_token = reason == FinishReason::kStop ? ByteTokenizer::kEosId : -1;
  report.completion_tokens = tokens;
  return report;
}

struct Result {
  std::string content;
  std::string reasoning;
  std::string calls;  // "name(arguments);..." of the streamed pieces
  std::string finish_reason;
  int64_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;
  bool operator==(const Result&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Result& r) {
  return out << "content=" << r.content << " reasoning=" << r.reasoning << " calls=" << r.calls << " "
             << r.finish_reason << " " << r.completion_tokens << "/" << r.reasoning_tokens;
}

void add_pieces(Choice& choice, Result& result) {
  for (const Piece& piece : choice.take()) {
    if (piece.kind != Piece::Kind::kToolBegin) {
      EXPECT_FALSE(piece.text.empty());
    }
    switch (piece.kind) {
      case Piece::Kind::kContent:
        result.content += piece.text;
        break;
      case Piece::Kind::kReasoning:
        result.reasoning += piece.text;
        break;
      case Piece::Kind::kToolBegin:
        result.calls += ";" + piece.text + ":";
        break;
      case Piece::Kind::kToolArguments:
        result.calls += piece.text;
        break;
    }
  }
}

// Feeds `tokens`, taking the pieces after each; EOS last unless the choice stopped by itself.
Result run(const ChoiceOptions& options, const std::vector<int32_t>& tokens,
           FinishReason reason = FinishReason::kStop) {
  Choice choice(options);
  Result result;
  int64_t fed = 0;
  for (const int32_t token : tokens) {
    if (choice.stopped()) break;
    scheduler::TokenEvent event;
    event.token = token;
    choice.feed(event);
    ++fed;
    add_pieces(choice, result);
  }
  choice.finish(ended(choice.stopped() ? FinishReason::kCancelled : reason, fed));
  add_pieces(choice, result);
  EXPECT_EQ(result.content, choice.content());
  EXPECT_EQ(result.reasoning, choice.reasoning());
  result.finish_reason = end_reason_name(choice.end_reason());
  result.completion_tokens = choice.completion_tokens();
  result.reasoning_tokens = choice.reasoning_tokens();
  return result;
}

// The text as one token, as bytes, and cut into two tokens at every point: the same text must come out.
void check_every_cut(ChoiceOptions options, const std::string& text, Result expected) {
  ByteTokenizer tokenizer;
  options.tokenizer = &tokenizer;
  expected.completion_tokens = 0;
  expected.reasoning_tokens = 0;
  const auto check = [&](const std::vector<int32_t>& tokens, const std::string& how) {
    std::vector<int32_t> all = tokens;
    all.push_back(ByteTokenizer::kEosId);
    Result result = run(options, all);
    result.completion_tokens = 0;  // depends on the cut
    result.reasoning_tokens = 0;
    EXPECT_EQ(result, expected) << how;
  };
  check({tokenizer.add(text)}, "whole");
  check(ByteTokenizer::bytes(text), "bytes");
  for (size_t cut = 1; cut < text.size(); ++cut) {
    check({tokenizer.add(text.substr(0, cut)), tokenizer.add(text.substr(cut))},
          "cut at " + std::to_string(cut));
  }
}

ChoiceOptions chat_options(bool thinking, bool tools = false) {
  ChoiceOptions options;
  options.parser.thinking = thinking;
  options.parser.tools_offered = tools;
  options.parser.eos_in_text = false;
  return options;
}

const std::string kCalls =
    "\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"get\">\n<｜DSML｜parameter name=\"city\" "
    "string=\"true\">Zürich"
    "</｜DSML｜parameter>\n<｜DSML｜parameter name=\"n\" "
    "string=\"false\">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
    "<｜DSML｜invoke name=\"now\">\n\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>";
const std::string kCallsRead = ";get:{\"city\": \"Zürich\", \"n\": 3};now:{}";

TEST(Choice, PlainContentAtEveryCut) {
  check_every_cut(chat_options(false), "Grüße, 世界! 🙂", {"Grüße, 世界! 🙂", "", "", "stop"});
}

TEST(Choice, ReasoningAtEveryCut) {
  check_every_cut(chat_options(true), "Höchst\n\n<x </think>Antwort <b>",
                  {"Antwort <b>", "Höchst\n\n<x ", "", "stop"});
}

TEST(Choice, UnfinishedReasoningIsReasoning) {
  check_every_cut(chat_options(true), "thinking </thi", {"", "thinking </thi", "", "stop"});
}

TEST(Choice, ToolCallsAtEveryCut) {
  check_every_cut(chat_options(false, true), "Let me look." + kCalls,
                  {"Let me look.", "", kCallsRead, "tool_calls"});
  check_every_cut(chat_options(true, true), "hm</think>" + kCalls, {"", "hm", kCallsRead, "tool_calls"});
}

TEST(Choice, MarkupWithoutToolsIsNotShown) {
  check_every_cut(chat_options(false, false), "a" + kCalls, {"a", "", "", "stop"});
}

TEST(Choice, StopStringAtEveryCut) {
  ChoiceOptions options = chat_options(false);
  options.stop = {"END", "ENX"};
  check_every_cut(options, "one ENE two END three", {"one ENE two ", "", "", "stop"});
  options.stop = {"ü世"};
  check_every_cut(options, "aü界ü世b", {"aü界", "", "", "stop"});
}

TEST(Choice, StopStringsActOnContentOnly) {
  ChoiceOptions options = chat_options(true, true);
  options.stop = {"a", "city"};
  check_every_cut(options, "a city</think>bc" + kCalls, {"bc", "a city", kCallsRead, "tool_calls"});
}

TEST(Choice, StopStringInPlainText) {
  ChoiceOptions options;
  options.chat = false;
  options.stop = {"\n\n"};
  check_every_cut(options, "Q\nA\n\nB", {"Q\nA", "", "", "stop"});
}

TEST(Choice, HoldsBackOnlyWhatMayBecomeAStop) {
  ByteTokenizer tokenizer;
  ChoiceOptions options = chat_options(false);
  options.tokenizer = &tokenizer;
  options.stop = {"xyz"};
  Choice choice(options);
  Result result;
  scheduler::TokenEvent event;
  event.token = tokenizer.add("abxy");
  choice.feed(event);
  add_pieces(choice, result);
  EXPECT_EQ(result.content, "ab");
  event.token = tokenizer.add("!");
  choice.feed(event);
  add_pieces(choice, result);
  EXPECT_EQ(result.content, "abxy!");
}

TEST(Choice, CountsTokensUpToTheStop) {
  ByteTokenizer tokenizer;
  ChoiceOptions options = chat_options(false);
  options.tokenizer = &tokenizer;
  options.stop = {"c"};
  const Result result = run(options, ByteTokenizer::bytes("abcdef"));
  EXPECT_EQ(result.content, "ab");
  EXPECT_EQ(result.completion_tokens, 3);  // c is generated, not shown; d is not the client's
}

TEST(Choice, CountsReasoningTokens) {
  ByteTokenizer tokenizer;
  ChoiceOptions options = chat_options(true);
  options.tokenizer = &tokenizer;
  std::vector<int32_t> tokens = ByteTokenizer::bytes("abc");
  tokens.push_back(ByteTokenizer::kThinkCloseId);
  for (const int32_t token : ByteTokenizer::bytes("de")) tokens.push_back(token);
  tokens.push_back(ByteTokenizer::kEosId);
  const Result result = run(options, tokens);
  EXPECT_EQ(result.reasoning, "abc");
  EXPECT_EQ(result.content, "de");
  EXPECT_EQ(result.reasoning_tokens, 4);  // </think> included
  EXPECT_EQ(result.completion_tokens, 7);
}

TEST(Choice, TokenLimitTearsTheLastCall) {
  ByteTokenizer tokenizer;
  ChoiceOptions options = chat_options(false, true);
  options.tokenizer = &tokenizer;
  const std::string torn = kCalls.substr(0, kCalls.find("name=\"n\""));
  Choice choice(options);
  for (const int32_t token : ByteTokenizer::bytes(torn)) {
    scheduler::TokenEvent event;
    event.token = token;
    choice.feed(event);
  }
  choice.finish(ended(FinishReason::kLength, 100));
  EXPECT_EQ(choice.end_reason(), EndReason::kLength);
  ASSERT_EQ(choice.tool_calls().size(), 1U);
  EXPECT_FALSE(choice.tool_calls()[0].complete);
  EXPECT_EQ(choice.content(), "");
}

TEST(Choice, SingleCallEndsTheTurn) {
  ByteTokenizer tokenizer;
  ChoiceOptions options = chat_options(false, true);
  options.tokenizer = &tokenizer;
  options.single_call = true;
  const Result result = run(options, ByteTokenizer::bytes(kCalls));
  EXPECT_EQ(result.calls, ";get:{\"city\": \"Zürich\", \"n\": 3}");
  EXPECT_EQ(result.finish_reason, "tool_calls");
}

TEST(Choice, EndTokensNeverShow) {
  ByteTokenizer tokenizer;
  ChoiceOptions options = chat_options(false);
  options.tokenizer = &tokenizer;
  options.eos = {ByteTokenizer::kEosId, ByteTokenizer::kFirstByte + '!'};
  options.stop_tokens = {ByteTokenizer::kFirstByte + '#'};
  const std::vector<int32_t> tokens{ByteTokenizer::kFirstByte + 'a', ByteTokenizer::kEosId,
                                    ByteTokenizer::kFirstByte + '!', ByteTokenizer::kFirstByte + 'b',
                                    ByteTokenizer::kFirstByte + '#'};
  EXPECT_EQ(run(options, tokens).content, "ab");  // as with ignore_eos
}

TEST(Choice, LogprobsWaitForTheirText) {
  ByteTokenizer tokenizer;
  ChoiceOptions options = chat_options(false);
  options.tokenizer = &tokenizer;
  options.stop = {"xyz"};
  Choice choice(options);
  const auto feed = [&](const std::string& text) {
    scheduler::TokenEvent event;
    event.token = tokenizer.add(text);
    choice.feed(event);
  };
  feed("ab");
  feed("x");
  EXPECT_EQ(choice.take_shown().size(), 1U);
  feed("y");
  EXPECT_EQ(choice.take_shown().size(), 0U);
  feed("z");
  EXPECT_TRUE(choice.stopped());
  choice.finish(ended(FinishReason::kCancelled, 4));
  EXPECT_EQ(choice.take_shown().size(), 0U);  // the stop string's tokens are not part of the reply
}

TEST(Choice, TornCharacterAtTheEndIsReplaced) {
  ByteTokenizer tokenizer;
  ChoiceOptions options = chat_options(false);
  options.tokenizer = &tokenizer;
  EXPECT_EQ(run(options, ByteTokenizer::bytes("a\xE4\xB8"), FinishReason::kLength).content, "a\xEF\xBF\xBD");
}

// A token's offset counts the text before it, shown or held back for a stop string that may be coming.
TEST(Choice, OffsetsCountHeldText) {
  ByteTokenizer tokenizer;
  ChoiceOptions options;
  options.tokenizer = &tokenizer;
  options.chat = false;
  options.stop = {"50"};
  Choice choice(options);
  for (const int32_t token : ByteTokenizer::bytes("a5,\xC3\xA9"
                                                  "b")) {
    scheduler::TokenEvent event;
    event.token = token;
    choice.feed(event);
  }
  choice.finish(ended(FinishReason::kLength, 6));
  std::vector<int64_t> offsets;
  for (const ShownToken& token : choice.take_shown()) offsets.push_back(token.text_offset);
  EXPECT_EQ(offsets, (std::vector<int64_t>{0, 1, 2, 3, 3, 4}));
}

}  // namespace
}  // namespace ft::server
