// An assistant turn that has been read, and the events that it is read as.
#pragma once

#include <string>
#include <vector>

#include "encoding/ordered_json.h"

namespace ft::encoding {

struct ToolCall {
  std::string name;
  std::string arguments;  // JSON text
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

// What became known. Text fields are never empty for the delta kinds.
struct ParserEvent {
  enum class Kind {
    kReasoning,      // text: more reasoning
    kContent,        // text: more content
    kToolCallBegin,  // index, text: the function's name (may be empty)
    kToolArguments,  // index, text: more of the JSON text of the arguments
    kToolCallEnd,    // index: the arguments are complete
    kDone,           // the turn is over; the last event
  };
  Kind kind;
  std::string text;
  int index = -1;  // of the tool call, from 0

  bool operator==(const ParserEvent&) const = default;
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

}  // namespace ft::encoding
