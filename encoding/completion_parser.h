// The text of one assistant turn to reasoning, content and tool calls, as it streams.
//
// Source: encoding.md sections 10 and 10a. The text begins right after "<think>" (thinking) or "</think>"
// (chat). The parser acts on text, so that any way of cutting it gives the same result.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "encoding/assistant_message.h"
#include "encoding/dsml_tag.h"

namespace ft::encoding {

struct ParserOptions {
  // The turn starts inside reasoning.
  bool thinking = false;
  // False when the request offered no tools (or tool_choice is none): calls are read and not reported.
  bool tools_offered = true;
  // Whether the spelled-out EOS string ends the turn. A server that stops on the EOS id sets it to false, so
  // that a model can quote the string.
  bool eos_in_text = true;
};

// How the text ended.
enum class TextEnd {
  kEos,  // the model ended its turn (EOS token, which is not fed as text)
  kCut,  // a token limit, a stop string, a cancel
};

// Streaming reader of one completion that takes calls as models write them. It has no errors: markup that
// makes no call is left out, and arguments are always JSON.
//
// Where a call begins: at a block opener that a call or the block's end follows, or at a call's head that a
// parameter, a JSON body or the call's end follows. An opener that text follows on its line is quoted text and
// shown. In reasoning a call ends the reasoning. White space before it belongs to the markup: two newlines, or all
// of it where it does not end in two.
// What ends a value: the parameter's close tag. Other or misspelt markup does if more markup or the end of the
// text follows, or if it opens a parameter or call on a new line; then one newline before it is no part of the
// value.
// Values: text for string="true"; for "false" the JSON that stands there, or the same as text if it is none;
// without a readable attribute JSON other than a string, else text. A JSON object in place of parameters is
// the arguments. The value of a repeated parameter is written again, so that readers of JSON take the last.
// Calls end with their close tag, the next call, or the end of the block; at the end of a turn that the model
// ended itself also without one, if no parameter is torn. A torn call gets no kToolCallEnd.
// Text after a call is ignored, further calls are read. After a block without calls the text goes on.
// Stray closing tags are left out, unless they are quoted: after a space or quote, with text behind them.
// "<think>" repeated at the start of reasoning is dropped; a turn that ends in reasoning is all reasoning.
class CompletionParser {
 public:
  explicit CompletionParser(ParserOptions options);

  // Events that the next piece of text (complete UTF-8 characters) makes certain. Text that may still become
  // markup is held back.
  std::vector<ParserEvent> feed(std::string_view text);
  // No more text: releases what was held back and ends with kDone. Call once.
  std::vector<ParserEvent> finish(TextEnd end);

  // Reported calls that have ended so far (finish_reason is tool_calls if there is one, else stop).
  int complete_calls() const { return complete_calls_; }
  // Bytes of reasoning or content that are held back, for they may still become markup.
  size_t held_text() const { return state_ == State::kText || state_ == State::kStart ? buffer_.size() : 0; }
  // True once "</think>" or a reported call has been read; true from the start without thinking.
  bool reasoning_ended() const { return !reasoning_; }
  // Whether the text so far ends inside a reported call.
  bool in_call() const { return call_open_; }

 private:
  enum class State {
    kStart,      // thinking: a repeated "<think>" may come
    kText,       // reasoning, content, or the ignored text after calls
    kBlock,      // in a block, outside a call
    kHead,       // at the tag that opens a call
    kCall,       // in a call, between parameters
    kParameter,  // at the tag that opens a parameter
    kValue,      // in a parameter's value
    kBody,       // in a JSON object in place of parameters
    kDone,       // after EOS
  };
  // An opening tag with its attributes.
  struct Opening {
    DsmlTag tag;
    TagHead head;
    TagMatch match;  // of the attributes
  };
  // What a '<' in text turns out to be.
  enum class Found { kText, kMore, kThinkClose, kEos, kNothing, kCall, kBlock };
  using Kind = ParserEvent::Kind;

  std::string_view rest() const { return std::string_view(buffer_).substr(at_); }
  void run();
  bool step();
  bool read_start();
  bool read_text();
  bool read_block();
  bool read_head();
  bool read_call();
  bool read_parameter();
  bool read_value();
  bool read_body();
  // The tag at the beginning of what is left, which is known to be one.
  Opening read_opening() const;
  // For a reader whose tag or value is cut off: false, wait for more text; or, where none comes, true and done.
  bool leave_torn();

  // `before`: the byte in front of `text`; `length`: bytes to take with what was found.
  Found classify(std::string_view text, char before, size_t& length) const;
  Found classify_block(std::string_view text, const DsmlTag& tag, char before, size_t& length) const;
  Found classify_call(std::string_view text, const DsmlTag& tag, size_t& length) const;
  Found classify_stray(std::string_view text, const DsmlTag& tag, char before, size_t& length) const;
  Found torn_markup(std::string_view text, size_t& length) const;
  // Whether the '<' at the beginning of `text` ends the value; kFound sets the bytes to take with it and whether
  // it is other than the close tag.
  TagMatch ends_value(std::string_view text, bool new_line, size_t& length, bool& loose) const;
  TagMatch markup_follows(std::string_view text, size_t at) const;
  TagMatch at_eos(std::string_view text) const;

  void emit(Kind kind, std::string_view text);
  void emit_text(std::string_view text);
  void emit_before_markup(std::string_view text);
  void begin_argument(std::string_view key);
  void add_to_value(std::string_view text);
  void end_value();
  void end_body(std::string_view body);
  void open_call(std::string_view name);
  void close_call();
  void leave_call();
  void leave_markup(State state);
  void enter(State state, size_t taken);

  ParserOptions options_;
  State state_;
  bool reasoning_;
  std::string buffer_;
  size_t at_ = 0;       // the buffer before it is taken
  size_t scanned_ = 0;  // bytes after `at_` that hold nothing of interest to the state
  bool ended_ = false;  // no more text follows
  TextEnd end_ = TextEnd::kCut;
  char last_ = '\n';           // the last byte that was shown, a newline behind markup
  bool after_markup_ = false;  // markup was left out and only white space has followed

  std::vector<ParserEvent> events_;
  int calls_ = 0;  // reported, begun so far
  int complete_calls_ = 0;
  bool in_block_ = false;
  bool call_open_ = false;
  size_t members_ = 0;    // arguments of the open call
  bool whole_ = false;    // the arguments of the open call came as one object
  bool junk_ = false;     // the open call has had text that is no markup
  int depth_ = 0;         // of brackets in a JSON body
  bool quoted_ = false;   // in a string of a JSON body
  bool escaped_ = false;  // behind a backslash of such a string

  enum class ValueKind { kString, kJson, kGuess, kSkipped };
  ValueKind value_kind_ = ValueKind::kSkipped;
  bool plain_value_ = false;  // opened without bars
  std::string value_;         // what is known of a value that is not passed on as it comes
};

// Reads a whole turn, EOS text included.
AssistantMessage parse_completion(std::string_view text, const ParserOptions& options,
                                  TextEnd end = TextEnd::kCut);

}  // namespace ft::encoding
