#include "encoding/assistant_message.h"

#include <utility>

namespace ft::encoding {

Json AssistantMessage::to_json() const {
  Json calls = Json::array();
  for (const ToolCall& call : tool_calls) {
    calls.push_back(
        Json::Object{{"type", "function"},
                     {"function", Json::Object{{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return Json::Object{{"role", "assistant"},
                      {"content", content},
                      {"reasoning_content", reasoning_content},
                      {"tool_calls", std::move(calls)}};
}

void MessageBuilder::add(const ParserEvent& event) {
  switch (event.kind) {
    case ParserEvent::Kind::kReasoning:
      message_.reasoning_content += event.text;
      break;
    case ParserEvent::Kind::kContent:
      message_.content += event.text;
      break;
    case ParserEvent::Kind::kToolCallBegin:
      open_ = {event.text, ""};
      break;
    case ParserEvent::Kind::kToolArguments:
      open_.arguments += event.text;
      break;
    case ParserEvent::Kind::kToolCallEnd:
      message_.tool_calls.push_back(std::move(open_));
      break;
    case ParserEvent::Kind::kDone:
      break;
  }
}

}  // namespace ft::encoding
