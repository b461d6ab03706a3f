// The grammar of replies that may call tools.
#pragma once

#include "encoding/ordered_json.h"
#include "server/api/chat_request.h"
#include "server/api/tool_choice.h"

namespace ft::server {

// Fills request.calls from `tools`, in the form of chat completions, null for none; request.tools_offered,
// .params and .parallel_tool_calls are read already. What a tool's arguments are is what its `parameters`
// say, if it is `strict` (in the tool or its function) or if calls are required; else any. A reply without
// calls has the form of params.format, if that is one.
//
// Refused: a name that no tool has, calls that are required without tools or with ignore_eos, a strict tool
// whose schema cannot be enforced.
ApiResult<void> bind_tools(const encoding::Json* tools, const ToolChoice& choice, ChatRequest& request);

}  // namespace ft::server
