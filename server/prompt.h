// Requests to prompt tokens. A client's text never becomes a control token.
#pragma once

#include <cstdint>
#include <vector>

#include "server/api_error.h"
#include "server/chat_request.h"
#include "server/completion_request.h"
#include "server/served_model.h"

namespace ft::server {

// Renders the messages with the model's profile. Effort levels that the profile lacks become its nearest one.
// Errors: 400 on `messages` where the encoder refuses them.
ApiResult<std::vector<int32_t>> chat_prompt(const ServedModel& model, const ChatRequest& request);

// BOS and the tokens of a text, or the given ids.
std::vector<int32_t> completion_prompt(const ServedModel& model, const CompletionRequest& request,
                                       const CompletionPrompt& prompt);

// Tokens that may follow a prompt of `prompt_tokens`: what the client asked for or the server's default, cut
// to what the context has left. Errors: 400 context_length_exceeded on `field` when nothing is left.
ApiResult<int64_t> completion_limit(const ServedModel& model, const RequestParams& params,
                                    int64_t prompt_tokens, std::string field);

}  // namespace ft::server
