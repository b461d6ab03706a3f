// Replies of POST /v1/completions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "encoding/tokenizer.h"
#include "server/api/openai_json.h"

namespace ft::server {

// `tokenizer` must outlive the writer. `echoes[i]` is the text that choice i begins with. Logprobs are OpenAI's
// older lists.
// What a choice begins with: the prompt's text, and its first token, which has no probability.
struct CompletionEcho {
  std::string text;
  std::optional<int32_t> first_token;
};

std::unique_ptr<ResponseWriter> openai_completions_writer(const ReplyHead& head, const ReplyExtras& extras,
                                                          const encoding::Tokenizer& tokenizer, bool logprobs,
                                                          std::vector<CompletionEcho> echoes);

}  // namespace ft::server
