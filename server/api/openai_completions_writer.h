// Replies of POST /v1/completions.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "encoding/tokenizer.h"
#include "server/api/openai_json.h"

namespace ft::server {

// `tokenizer` must outlive the writer. `echoes[i]` is the text that choice i begins with. Logprobs are OpenAI's
// older lists.
std::unique_ptr<ResponseWriter> openai_completions_writer(const ReplyHead& head, const ReplyExtras& extras,
                                                          const encoding::Tokenizer& tokenizer, bool logprobs,
                                                          std::vector<std::string> echoes);

}  // namespace ft::server
