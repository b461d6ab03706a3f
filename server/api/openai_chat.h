// POST /v1/chat/completions: the body as a value and as a job.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "encoding/ordered_json.h"
#include "server/api/chat_messages.h"
#include "server/api/dialect.h"
#include "server/api/openai_fields.h"
#include "server/api/request_params.h"
#include "server/http/api_error.h"

namespace ft::server {

struct ChatRequest {
  RequestParams params;
  std::vector<encoding::ChatMessage> messages;  // tools attached
  Prefill prefill = Prefill::kNone;
  bool thinking = true;
  std::optional<std::string> effort;  // "low", "high" or "max"
  bool tools_offered = false;
  bool parallel_tool_calls = true;  // false: the turn ends after its first call
  bool logprobs = false;
  int top_logprobs = 0;
};

// Reads a body, which must be an object. Every field's type is checked (openai_chat_fields() says what each does).
// Thinking is decided by, in this order, thinking.type, enable_thinking, chat_template_kwargs.thinking or
// .enable_thinking, reasoning.enabled, an effort of "none", and the server's default.
ApiResult<ChatRequest> parse_chat_request(const encoding::Json& body, const RequestDefaults& defaults);

ApiResult<GenerationJob> openai_chat_job(const ApiCall& call);

}  // namespace ft::server
