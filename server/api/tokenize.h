// POST /tokenize and /detokenize and GET /tokenizer_info, in vLLM's shape.
#pragma once

#include "encoding/ordered_json.h"
#include "server/api/request_params.h"
#include "server/generation/served_model.h"
#include "server/http/api_error.h"
#include "server/http/http_message.h"

namespace ft::server {

// {"prompt": text, "add_special_tokens": true, "parse_special": false, "return_token_strs": false} or the members
// of a chat request ("messages", "tools", "thinking", ...) -> {"count", "max_model_len", "tokens", "token_strs"}.
// Text with more tokens than the context is refused as it is for generation.
ApiResult<HttpResponse> tokenize(const ServedModel& model, const encoding::Json& body,
                                 const RequestDefaults& defaults);

// {"tokens": [...]} -> {"prompt": text}
ApiResult<HttpResponse> detokenize(const ServedModel& model, const encoding::Json& body);

// GET /tokenizer_info: names of tokens and limits, with the names of tokenizer_config.json. There is no chat template:
// the format is not one.
HttpResponse tokenizer_info(const ServedModel& model);

}  // namespace ft::server
