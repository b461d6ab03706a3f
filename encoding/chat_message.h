// Chat messages as the prompt encoder takes them: read and checked once, by whoever received them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "encoding/ordered_json.h"

namespace ft::encoding {

enum class ChatRole {
  kSystem,
  kDeveloper,  // the model's own role of that name, not the one of OpenAI's API, which means system
  kUser,
  kAssistant,
  kTool,  // the result of a call
  kReminder,
  kOther,  // known to nobody: refused where it would be rendered
};

// The role with this name, kOther if there is none.
ChatRole chat_role(std::string_view name);

// Short answers for a program (a title, a search query) instead of a reply. kOther is refused where its token
// would be rendered.
enum class QuickTask { kAction, kQuery, kAuthority, kDomain, kTitle, kReadUrl, kOther };
QuickTask quick_task(std::string_view name);

struct FunctionCall {
  std::string id;  // "" if it has none
  std::string name;
  Json::Object arguments;
};

struct ChatMessage {
  ChatRole role = ChatRole::kUser;
  std::string content;
  std::string reasoning_content;         // of an assistant
  std::vector<FunctionCall> tool_calls;  // of an assistant
  std::string tool_call_id;              // of a tool's result
  std::vector<Json> functions;  // the function of each offered tool; of a system or developer message
  Json response_format;         // null if there is none; of a system or developer message
  std::optional<QuickTask> task;
  bool open_end = false;  // an assistant's text that goes on: no end-of-sentence token
};

// The messages of the reference encoder's interface: an array of objects {role, content, tools, tool_calls,
// tool_call_id, reasoning_content, response_format, task, wo_eos}. Errors have the kind of the reference's
// exception (TypeError, KeyError, AttributeError; TypeError also where it would print a Python container), or
// kUnpairedSurrogate for arguments that hold one, and name the field. Source: encoding.md sections 3, 6 and 7.
EncodingResult<std::vector<ChatMessage>> read_chat_messages(const Json& messages);

// Arguments of a call in a client's history, as clients write them: an object, its JSON text, or the JSON text
// of that text. Every other value, and text that is not JSON, becomes the one argument "arguments", so that no
// history is lost; null has no arguments. kUnpairedSurrogate for text that holds one.
EncodingResult<Json::Object> read_call_arguments(const Json& given);

}  // namespace ft::encoding
