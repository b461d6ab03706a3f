// POST /v1/chat/completions: the body as a value and as a job.
#pragma once

#include "encoding/ordered_json.h"
#include "server/api/chat_request.h"
#include "server/api/dialect.h"
#include "server/api/openai_fields.h"
#include "server/http/api_error.h"

namespace ft::server {

// Reads a body, which must be an object. Every field's type is checked (openai_chat_fields() says what each does).
ApiResult<ChatRequest> parse_chat_request(const encoding::Json& body, const RequestDefaults& defaults);

ApiResult<GenerationJob> openai_chat_job(const ApiCall& call);

}  // namespace ft::server
