// One completion as it grows: engine tokens in, text, reasoning, tool calls and logprobs out.
//
// Tokens are fed one by one, so that the text does not depend on how many a step gave. The concatenated
// pieces are the same however often take() is called.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "draft/predicted_text.h"
#include "encoding/completion_parser.h"
#include "encoding/detokenizer.h"
#include "encoding/stop_matcher.h"
#include "encoding/tokenizer.h"
#include "scheduler/request.h"
#include "scheduler/token_stream.h"

namespace ft::server {

struct ChoiceOptions {
  const encoding::Tokenizer* tokenizer = nullptr;  // must outlive the choice
  bool chat = true;                                // false: all text is content, nothing is parsed
  encoding::ParserOptions parser;                  // chat only
  bool skip_special = false;                       // control tokens do not show; chat needs false
  std::vector<int32_t> eos = {1};                  // end the turn, and are never shown
  std::vector<int32_t> stop_tokens;                // end the request, and are not shown
  std::vector<std::string> stop;                   // end the content, and are not shown
  bool silent = false;                             // nothing of the completion is wanted, only its prompt
  bool single_call = false;                        // the turn ends after its first tool call
  std::optional<draft::PredictedText> prediction;  // the client's
};

// More of a completion. Pieces are never empty, except a kToolBegin's name.
struct Piece {
  enum class Kind { kReasoning, kContent, kToolBegin, kToolArguments };
  Kind kind;
  std::string text;  // kToolBegin: the function's name
  int index = -1;    // of the tool call
};

// A token with its probabilities, once its text has been shown.
struct ShownToken {
  scheduler::TokenEvent event;
  bool reasoning = false;
  bool opens_step = false;  // the first of its step that is shown
  int64_t text_offset = 0;  // code points of content before it
};

// Why a completion ended.
enum class EndReason {
  kStop,        // the model ended its turn, or a stop token did
  kStopString,  // one of the stop strings
  kLength,
  kToolCalls,  // the turn ended with at least one whole call
};

// In OpenAI's words, which logs and metrics share: "stop" (also for a stop string), "length" or "tool_calls".
std::string_view end_reason_name(EndReason reason);

struct ToolCallState {
  std::string name;
  std::string arguments;
  bool complete = false;
};

class Choice {
 public:
  explicit Choice(ChoiceOptions options);

  // The next token of the engine. Ignored once stopped().
  void feed(scheduler::TokenEvent event);
  // True when the completion is over before the engine says so (a stop string, the one tool call): the
  // request is then to be cancelled.
  bool stopped() const { return stopped_; }
  // The engine is done. Releases what was held back and decides the finish reason.
  void finish(const scheduler::RequestReport& report);

  // Pieces since the last call; neighbours of one kind are one piece.
  std::vector<Piece> take();
  // Tokens whose text has been given out since the last call (all of them after finish()).
  std::vector<ShownToken> take_shown();

  // After finish().
  EndReason end_reason() const { return end_reason_; }
  // The stop string that ended it; null if none did.
  const std::string* stop_string() const {
    return stop_matcher_.match() ? &options_.stop[stop_matcher_.match()->stop] : nullptr;
  }
  // Tokens that belong to the completion, the ending token included; those after a stop string are not.
  int64_t completion_tokens() const { return completion_tokens_; }
  // Of these, the ones up to and including "</think>".
  int64_t reasoning_tokens() const { return reasoning_tokens_; }

  // Where the reply is in the client's prediction; null without one.
  const draft::PredictedText* prediction() const {
    return options_.prediction ? &*options_.prediction : nullptr;
  }

  // Everything so far. Incomplete calls are those that were torn.
  const std::string& content() const { return content_; }
  const std::string& reasoning() const { return reasoning_; }
  const std::vector<ToolCallState>& tool_calls() const { return tool_calls_; }

 private:
  struct Pending {
    ShownToken token;
    size_t content_begin = 0;  // content bytes that were known before it
  };

  bool ends_the_turn(int32_t token) const;
  bool is_stray(int32_t token) const;
  void add_text(const std::string& text);
  void add_events(const std::vector<encoding::ParserEvent>& events);
  void add_content(const std::string& text);
  void show_content(const std::string& text);
  void add_piece(Piece::Kind kind, const std::string& text, int index = -1);

  ChoiceOptions options_;
  encoding::Detokenizer detokenizer_;
  encoding::CompletionParser parser_;
  encoding::StopMatcher stop_matcher_;
  std::vector<Piece> pieces_;
  std::vector<Pending> pending_;
  std::string content_;
  std::string reasoning_;
  std::vector<ToolCallState> tool_calls_;
  EndReason end_reason_ = EndReason::kStop;
  size_t content_known_ = 0;      // bytes of content given to the stop matcher, which may hold some
  int64_t known_characters_ = 0;  // code points of these
  int64_t completion_tokens_ = 0;
  int64_t reasoning_tokens_ = 0;
  int32_t step_ = -1;  // of the last token that is to be shown
  bool stopped_ = false;
  bool finished_ = false;
};

}  // namespace ft::server
