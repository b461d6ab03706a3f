// The text of one assistant turn to reasoning, content and tool calls, as it streams.
//
// Source: encoding.md sections 10 and 10a. The text begins right after "<think>" (thinking) or
// "</think>" (chat). The parser acts on text, so that any way of cutting it gives the same result: the
// concatenated deltas of the events are equal whether fed at once, per token or per byte of complete
// characters.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "encoding/error.h"
#include "encoding/ordered_json.h"

namespace ft::encoding {

struct ParserOptions {
  // The turn starts inside reasoning.
  bool thinking = false;
  // Reproduce section 10 exactly: anything the reference refuses is an error. Otherwise (serving) the
  // tolerance rules below apply and there are no errors.
  bool strict = false;
  // Tolerant only: false when the request offered no tools (or tool_choice is none); tool markup is then
  // ordinary text.
  bool tools_offered = true;
  // Tolerant only: whether the spelled-out EOS string ends the turn. A server that stops on the EOS id sets
  // it to false, so that a model can quote the string.
  bool eos_in_text = true;
};

// What became known. Text fields are never empty for the delta kinds.
struct ParserEvent {
  enum class Kind {
    kReasoning,      // text: more reasoning
    kContent,        // text: more content
    kToolCallBegin,  // index, text: the function's name (may be empty)
    kToolArguments,  // index, text: more of the JSON text of the arguments
    kToolCallEnd,    // index: the arguments are complete
    kDone,           // the turn is over; the last event, from finish()
  };
  Kind kind;
  std::string text;
  int index = -1;  // of the tool call, from 0

  bool operator==(const ParserEvent&) const = default;
};

// How the text ended.
enum class TextEnd {
  kEos,  // the model ended its turn (EOS token, which is not fed as text), or EOS already came as text
  kCut,  // a token limit, a stop string, a cancel
};

// Streaming reader of one completion.
//
// Tolerant mode: (1) a tool block that opens inside reasoning ends the reasoning; (2) a turn that ends inside
// reasoning is all reasoning; (3) a call that is torn by the end of the text gets no kToolCallEnd and raw
// markup is never shown (after kEos a call whose parameters are all closed counts as complete); (4) a missing
// block end is accepted; (5) without offered tools markup is text; (6) text after the block is ignored; (7)
// "<think>" repeated at the start of reasoning is dropped; (8) a turn that stops right after the block is
// accepted. Within a block, text between tags is skipped, a parameter without a readable head is skipped, a
// repeated parameter is ignored, and a call without a readable name is skipped.
class CompletionParser {
 public:
  explicit CompletionParser(ParserOptions options);

  // Events that the next piece of text (complete UTF-8 characters) makes certain. Text that may still become
  // a marker is held back. After an error or the end of the turn: nothing.
  std::vector<ParserEvent> feed(std::string_view text);
  // No more text: releases what was held back and ends with kDone. Call once. With kEos in strict mode it is
  // as if the EOS string had been fed.
  std::vector<ParserEvent> finish(TextEnd end);

  // Strict mode: the first violation, if any (complete only after finish()).
  const std::optional<EncodingError>& error() const { return error_; }
  // Calls that have ended so far (finish_reason is tool_calls if there is one, else stop).
  int complete_calls() const { return complete_calls_; }
  // True once "</think>" (or what ends the reasoning) has been read; true from the start without thinking.
  bool reasoning_ended() const { return state_ != State::kReasoning && state_ != State::kStart; }

 private:
  enum class State {
    kStart,       // tolerant thinking: a repeated "<think>" may come
    kReasoning,   //
    kContent,     //
    kBetween,     // in the block, outside a call
    kHead,        // after an invoke opener, up to the first parameter or the invoke close
    kParamHead,   // after a parameter opener, up to the end of its attributes
    kValue,       // in a parameter's value
    kAfterParam,  // after a parameter's close, up to the next parameter or the invoke close
    kAfterBlock,  // after the block's end
    kDone,        // after EOS
  };
  enum class Marker;
  using Kind = ParserEvent::Kind;

  // One step of the state; false when it needs more text. Each looks for the markers of its state in
  // `buffer_`.
  bool step();
  bool read_start();
  bool read_text(Kind kind);
  bool read_between();
  bool read_head();
  bool read_param_head();
  bool read_value();
  bool read_after_param();
  bool read_rest();

  std::optional<Marker> take_until(std::span<const Marker> markers, std::string& before);
  void emit(Kind kind, std::string_view text);
  void open_call(std::string_view name);
  void argument(std::string_view key, bool string);
  void close_call();
  void enter(State state);
  void after_call_marker(Marker marker);
  void end_torn_call(TextEnd end);
  bool refuse(ErrorKind kind, std::string message);
  void check_end(TextEnd end);
  void check_specials();

  ParserOptions options_;
  State state_;
  std::string buffer_;   // text not yet consumed
  size_t searched_ = 0;  // bytes of the buffer in which no marker of the state begins
  std::vector<ParserEvent> events_;
  std::optional<EncodingError> error_;
  int calls_ = 0;  // begun so far
  int complete_calls_ = 0;
  bool call_open_ = false;  // begun and not ended; false while a call without a readable name is skipped
  std::unordered_set<std::string> keys_;  // parameters of the open call
  bool value_is_string_ = false;
  bool value_skipped_ = false;
  std::string reasoning_, content_;  // strict mode only, to be checked at the end
};

struct ToolCall {
  std::string name;
  std::string arguments;  // JSON text as the model wrote it
  bool operator==(const ToolCall&) const = default;
};

// A whole assistant turn.
struct AssistantMessage {
  std::string content;
  std::string reasoning_content;
  std::vector<ToolCall> tool_calls;
  bool operator==(const AssistantMessage&) const = default;

  // {"role": "assistant", "content", "reasoning_content", "tool_calls": [{"type": "function", "function":
  // {"name", "arguments"}}]}; no ids, the server invents them.
  Json to_json() const;
};

// Puts events together again. Calls without an end are left out.
class MessageBuilder {
 public:
  void add(const ParserEvent& event);
  const AssistantMessage& message() const { return message_; }

 private:
  AssistantMessage message_;
  ToolCall open_;
};

// Reads a whole turn, EOS text included. Strict mode reports the kind of the reference's exception; tolerant
// mode never fails.
EncodingResult<AssistantMessage> parse_completion(std::string_view text, const ParserOptions& options,
                                                  TextEnd end = TextEnd::kCut);

}  // namespace ft::encoding
