// Prompts as a server takes them: messages, not tokens.
#pragma once

#include <string>
#include <vector>

#include "core/error.h"
#include "eval/results/result_file.h"
#include "eval/session.h"

namespace ft::eval {

struct ChatPrompt {
  Json messages = Json::array();
  Json tools = Json();  // beside the messages, as OpenAI has them; null = none
  bool thinking = false;
  std::string domain;  // "domain" or "category"
};

// The file formats of read_domain_prompts, without {"tokens"} and {"prompt"}, which are no messages. Errors
// name the file and the line.
Result<std::vector<ChatPrompt>> read_chat_prompts(const std::string& path,
                                                  ThinkingMode mode = ThinkingMode::kAsIs);

// What a reply is asked for.
struct ChatWish {
  std::string model;
  int64_t max_tokens = 0;
  double temperature = 0.0;
  uint64_t seed = 0;
  bool stream = false;
  bool ignore_eos = false;
  // Which extensions the server knows (server_kind.h): fields that it would refuse are left out.
  bool acceptance_in_reply = false;  // "include_speculation" of ours
  bool sglang_details = false;       // "return_spec_tokens_details" of SGLang
  Json speculation;                  // "speculation" of ours; null = not named
};

// The body of POST /chat/completions.
std::string chat_body(const ChatPrompt& prompt, const ChatWish& wish);

}  // namespace ft::eval
