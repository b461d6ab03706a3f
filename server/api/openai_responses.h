// POST /v1/responses: the body as a value and as a job, and what is kept of replies.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "encoding/ordered_json.h"
#include "server/api/chat_request.h"
#include "server/api/dialect.h"
#include "server/api/response_store.h"
#include "server/api/responses_tools.h"

namespace ft::server {

std::span<const RequestField> openai_responses_fields();

struct ResponsesRequest {
  ChatRequest chat;
  ResponsesTools tools;
  bool store = true;
  bool summary = false;    // reasoning.summary is set
  bool encrypted = false;  // include has reasoning.encrypted_content
  ResponseHistory history;
  std::vector<ResponseItem> input;  // the request's own items
};

// Reads a body, which must be an object. `store` may be null: then nothing can be referred to.
ApiResult<ResponsesRequest> parse_responses_request(const encoding::Json& body,
                                                    const RequestDefaults& defaults,
                                                    const ResponseStore* store);

ApiResult<GenerationJob> openai_responses_job(const ApiCall& call);
// {"object":"response.input_tokens","input_tokens":N}: what the usage of the same request will say.
ApiResult<encoding::Json> openai_responses_count(const ApiCall& call);

}  // namespace ft::server
