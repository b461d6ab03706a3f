// The input of a Responses request as chat messages.
#pragma once

#include <string>
#include <vector>

#include "encoding/ordered_json.h"
#include "server/api/chat_messages.h"
#include "server/api/response_store.h"
#include "server/api/responses_tools.h"
#include "server/http/api_error.h"

namespace ft::server {

struct ResponsesInput {
  ChatMessages chat;
  std::vector<ResponseItem>
      own_items;  // the request's, references replaced by what they refer to; all have ids
};

// `input` is text or an array of items: messages (of system, developer, user, assistant), reasoning,
// function_call and custom_tool_call with their outputs, item_reference (an item that `store` keeps; it may be
// null) and additional_tools, whose tools are added to `tools`. An item without a type is a message. Reasoning,
// messages and calls of the assistant that follow each other are one turn, until reasoning comes behind a
// message or a call. Reasoning is taken from its content, its summary, or the encrypted_content that this
// server gave. Everything else is refused with its path. `history` comes before the input, `instructions`
// before all.
ApiResult<ResponsesInput> read_responses_input(const encoding::Json& input, const std::string& instructions,
                                               const ResponseHistory& history, const ResponseStore* store,
                                               ResponsesTools& tools);

}  // namespace ft::server
