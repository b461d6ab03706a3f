// The messages of a chat request, checked and reduced to what the prompt encoder reads.
//
// Source: encoding.md section 11. A client's members that mean something to the encoder but are not
// part of the API (task, wo_eos, content_blocks, ...) are dropped here.
#pragma once

#include <vector>

#include "encoding/chat_message.h"
#include "encoding/ordered_json.h"
#include "server/http/api_error.h"

namespace ft::server {

inline constexpr size_t kMessagesMax = 16384;
inline constexpr size_t kToolsMax = 1024;

// A last assistant message with prefix: true is continued rather than answered.
enum class Prefill {
  kNone,
  kContent,    // its content (after its reasoning, which is closed)
  kReasoning,  // its reasoning_content, for there is no content yet
};

struct ChatMessages {
  std::vector<encoding::ChatMessage> messages;
  Prefill prefill = Prefill::kNone;
};

// Roles system, developer (becomes system), user, assistant, tool. Content is a string or an array of text
// parts; parts are joined by a newline, those of a tool result by two. Arguments of calls are taken in every
// form that encoding::read_call_arguments knows. The last message must be from
// user or tool, or an assistant's with prefix: true: anything else leaves the model no turn to take.
ApiResult<ChatMessages> read_messages(const encoding::Json& messages);

// Checks `tools` ([{type: "function", function: {name, description, parameters}}]).
ApiResult<void> check_tools(const encoding::Json& tools);

// Puts the tools, which check_tools has accepted, on the system message that begins the conversation, or on an
// empty one inserted there.
void attach_tools(std::vector<encoding::ChatMessage>& messages, const encoding::Json& tools);

}  // namespace ft::server
