#include "server/api/dialect.h"

#include "server/api/openai_chat.h"
#include "server/api/openai_completions.h"
#include "server/api/openai_json.h"

namespace ft::server {

std::span<const Dialect> dialects() {
  static const Dialect kDialects[] = {
      {"Chat completions", "/chat/completions", openai_chat_fields(), openai_chat_job, openai_error_json},
      {"Completions", "/completions", openai_completions_fields(), openai_completions_job, openai_error_json},
  };
  return kDialects;
}

}  // namespace ft::server
