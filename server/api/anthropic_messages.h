// POST /v1/messages and /v1/messages/count_tokens: Anthropic's API.
#pragma once

#include <span>

#include "encoding/ordered_json.h"
#include "server/api/chat_request.h"
#include "server/api/dialect.h"
#include "server/http/api_error.h"

namespace ft::server {

inline constexpr int64_t kThinkingBudgetMin = 1024;

std::span<const RequestField> anthropic_messages_fields();

struct AnthropicRequest {
  ChatRequest chat;
  bool show_thinking = true;  // false: thinking.display is omitted
};

// Reads a body, which must be an object. Without `thinking` there is none, whatever the server's default, since
// clients that do not ask for it read the first block as text.
ApiResult<AnthropicRequest> parse_anthropic_request(const encoding::Json& body,
                                                    const RequestDefaults& defaults);

ApiResult<GenerationJob> anthropic_messages_job(const ApiCall& call);
// {"input_tokens": N}: what the usage of the same request will say, cached tokens included.
ApiResult<encoding::Json> anthropic_count(const ApiCall& call);

}  // namespace ft::server
