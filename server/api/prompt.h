// Requests to prompt tokens. A client's text never becomes a control token.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "encoding/encode_job.h"
#include "server/api/chat_request.h"
#include "server/api/openai_completions.h"
#include "server/generation/served_model.h"
#include "server/http/api_error.h"

namespace ft::server {

// The refusal of a prompt, given in `field`, that is known to have at least `tokens_at_least` tokens.
ApiError prompt_too_long(const ServedModel& model, size_t tokens_at_least, std::string field);

// Tokens of a text, `client` marking what may not become control tokens. It is tokenized in slices and only
// until it is known to have more tokens than the context, often before any work (encoding::EncodeJob, which
// can also be driven slice by slice on another thread). Errors: prompt_too_long on `field`.
ApiResult<std::vector<int32_t>> tokenize_prompt(const ServedModel& model, std::string_view text,
                                                std::span<const encoding::ByteRange> client,
                                                std::string field);

// Renders the messages with the model's profile. Effort levels that the profile lacks become its nearest one.
// Errors: 400 on `messages` where the encoder refuses them, or as tokenize_prompt.
ApiResult<std::vector<int32_t>> chat_prompt(const ServedModel& model, const ChatRequest& request);

// BOS and the tokens of a text, around a suffix where there is one, or the given ids. Errors: as tokenize_prompt, on
// `prompt`; 400 on `suffix` for a model without the tokens of fill-in-the-middle, or beside ids.
ApiResult<std::vector<int32_t>> completion_prompt(const ServedModel& model, const CompletionRequest& request,
                                                  const CompletionPrompt& prompt);

// Tokens that may follow a prompt of `prompt_tokens`: what the client asked for or the server's default, cut
// to what the context has left. Errors: 400 context_length_exceeded on `field` when nothing is left.
ApiResult<int64_t> completion_limit(const ServedModel& model, const RequestParams& params,
                                    int64_t prompt_tokens, std::string field);

}  // namespace ft::server
