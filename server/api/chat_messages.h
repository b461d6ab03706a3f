// The messages of a chat request, checked and reduced to what the prompt encoder reads.
//
// Source: encoding.md section 11.
#pragma once

#include <span>
#include <vector>

#include "encoding/chat_message.h"
#include "encoding/ordered_json.h"
#include "server/api/request_fields.h"
#include "server/http/api_error.h"

namespace ft::server {

inline constexpr size_t kMessagesMax = 16384;
inline constexpr size_t kToolsMax = 1024;

// A last assistant message that is continued rather than answered.
enum class Prefill {
  kNone,
  kContent,    // its content (after its reasoning, which is closed)
  kReasoning,  // its reasoning_content, for there is no content yet
};

struct ChatMessages {
  std::vector<encoding::ChatMessage> messages;
  Prefill prefill = Prefill::kNone;
};

// What the members of one message do.
std::span<const RequestField> chat_message_fields();

// Roles system, developer (becomes system), user, assistant, tool, function (becomes tool) and latest_reminder. Content
// is a string or an array of text parts; parts are joined by a newline, those of a tool result by two. Arguments of
// calls are taken in every form that encoding::read_call_arguments knows. `continue_last`: the last message, which must
// be an assistant's, is continued, as it is with prefix: true; any other last message is answered.
ApiResult<ChatMessages> read_messages(const encoding::Json& messages, bool continue_last = false);

// Sees that the model has a turn to take, whoever speaks last. The format opens a reply behind the user alone, so a
// system message at the end, or between a user and an assistant, becomes part of the user's turn, and behind an
// assistant's message (unless it is continued) the user says nothing.
void open_reply(ChatMessages& chat);

// Checks `tools` ([{type: "function", function: {name, description, parameters}}]).
ApiResult<void> check_tools(const encoding::Json& tools);

// Puts the tools, which check_tools has accepted, on the system message that begins the conversation, or on an
// empty one inserted there.
void attach_tools(std::vector<encoding::ChatMessage>& messages, const encoding::Json& tools);

}  // namespace ft::server
