// The messages, system prompt and tools of an Anthropic request, as chat messages.
#pragma once

#include "encoding/ordered_json.h"
#include "server/api/chat_messages.h"
#include "server/http/api_error.h"

namespace ft::server {

// `system` is null or the body's, text or text blocks. A system block that begins with
// "x-anthropic-billing-header:" is left out: it differs from request to request, and no cached prefix would fit.
//
// Neighbours of one role are one turn. Blocks of a user: text, document (of plain text), tool_result; of an
// assistant: text, thinking, redacted_thinking (left out), tool_use. A tool_result with is_error begins with
// "Error: ". Messages with the role system before all others belong to the system prompt; elsewhere their text
// stands where they do, in the user's turn, since the format has no place for a system prompt within a
// conversation. A last assistant message is continued.
ApiResult<ChatMessages> read_anthropic_messages(const encoding::Json* system, const encoding::Json& messages);

// Checks `tools` ([{name, description, input_schema}]) and gives them the form of OpenAI's, for attach_tools.
ApiResult<encoding::Json> read_anthropic_tools(const encoding::Json& tools);

}  // namespace ft::server
