// The parts of a job that all APIs, or those of chats, share.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "server/api/chat_request.h"
#include "server/api/dialect.h"
#include "server/api/openai_json.h"
#include "server/api/request_params.h"
#include "verify/grammar/grammar.h"

namespace ft::server {

// The job of `params` but for its prompts, its writer and what of the choice is the endpoint's. `top_logprobs` < 0
// means none.
GenerationJob job_of(const ApiCall& call, const RequestParams& params, std::string_view id_prefix,
                     int top_logprobs);

// Binds the job's answers to a format, if there is one: from their first token on, or behind the end of reasoning.
void bind_format(const ApiCall& call, const OutputFormat& format, bool reasoning, GenerationJob& job);
// The same to a grammar of tool calls. In reasoning there is no markup of calls then.
void bind_calls(const ApiCall& call, std::shared_ptr<const grammar::Grammar> calls, bool reasoning,
                GenerationJob& job);

// Gives the job the client's prediction of its answers, if there is one. Errors: as tokenize_prompt, on `prediction`.
ApiResult<void> predict(const ApiCall& call, const RequestParams& params, bool reasoning, GenerationJob& job);

// The job of a chat but for its writer. Errors: as chat_prompt and completion_limit, and more choices than the server
// takes at a time.
ApiResult<GenerationJob> chat_job(const ApiCall& call, const ChatRequest& request,
                                  std::string_view id_prefix);

// What the replies to `call` carry. The model's name is the one asked for where it is one of the served ones, else
// the first of these: any name is answered, so that applications with a fixed one work unchanged.
ReplyHead head_of(const ApiCall& call, const RequestParams& params, const GenerationJob& job);
ReplyExtras extras_of(const ApiCall& call, const RequestParams& params);

}  // namespace ft::server
