// The messages of a chat request, checked and reduced to what the prompt encoder reads.
//
// Source: encoding.md section 11. A client's members that mean something to the encoder but are not
// part of the API (task, wo_eos, content_blocks, ...) are dropped here.
#pragma once

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
  encoding::Json messages = encoding::Json::array();
  Prefill prefill = Prefill::kNone;
};

// Roles system, developer (becomes system), user, assistant, tool. Content is a string or an array of text
// parts; parts are joined by a newline, those of a tool result are passed on. The last message must be from
// user or tool, or an assistant's with prefix: true: anything else leaves the model no turn to take.
ApiResult<ChatMessages> read_messages(const encoding::Json& messages);

// Checks `tools` ([{type: "function", function: {name, description, parameters}}]).
ApiResult<void> check_tools(const encoding::Json& tools);

// Puts the tools on the first system message, or on an empty one inserted at the front.
void attach_tools(encoding::Json& messages, const encoding::Json& tools);

}  // namespace ft::server
