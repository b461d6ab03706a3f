// Replies of POST /v1/chat/completions.
#pragma once

#include <memory>

#include "encoding/tokenizer.h"
#include "server/api/openai_json.h"

namespace ft::server {

// `tokenizer` must outlive the writer. `thinking`: whole replies have a reasoning_content. Logprobs are
// {"content": [...], "reasoning_content": [...]}, the second one ours.
std::unique_ptr<ResponseWriter> openai_chat_writer(const ReplyHead& head, const ReplyExtras& extras,
                                                   const encoding::Tokenizer& tokenizer, bool logprobs,
                                                   bool thinking);

}  // namespace ft::server
