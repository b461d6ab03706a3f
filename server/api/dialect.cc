#include "server/api/dialect.h"

#include "server/api/anthropic_json.h"
#include "server/api/anthropic_messages.h"
#include "server/api/openai_chat.h"
#include "server/api/openai_completions.h"
#include "server/api/openai_json.h"
#include "server/api/openai_models.h"
#include "server/api/openai_responses.h"
#include "server/api/router.h"

namespace ft::server {
namespace {

std::string openai_refusal(const ApiError& error, std::string_view /*request_id*/) {
  return openai_error_json(error);
}

}  // namespace

std::span<const Dialect> dialects() {
  static const Dialect kDialects[] = {
      {"Chat completions", "/chat/completions", openai_chat_fields(), openai_chat_job, openai_refusal,
       openai_models, openai_model},
      {"Completions", "/completions", openai_completions_fields(), openai_completions_job, openai_refusal,
       openai_models, openai_model},
      {.name = "Responses",
       .path = "/responses",
       .fields = openai_responses_fields(),
       .parse = openai_responses_job,
       .error = openai_refusal,
       .models = openai_models,
       .model = openai_model,
       .count_path = "/responses/input_tokens",
       .count = openai_responses_count},
      {"Messages", "/messages", anthropic_messages_fields(), anthropic_messages_job, anthropic_error_json,
       anthropic_models, anthropic_model, "/messages/count_tokens", anthropic_count, "request-id",
       "anthropic-version"},
  };
  return kDialects;
}

const Dialect& dialect_of(const HttpRequest& request) {
  const std::string path = api_path(request.target);
  for (const Dialect& dialect : dialects()) {
    if (!path.starts_with(dialect.path)) continue;
    if (path.size() == dialect.path.size() || path[dialect.path.size()] == '/') return dialect;
  }
  for (const Dialect& dialect : dialects())
    if (!dialect.sent_header.empty() && !request.header(dialect.sent_header).empty()) return dialect;
  return dialects().front();
}

}  // namespace ft::server
