// A chat as every API's parser leaves it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/chat_messages.h"
#include "server/api/request_params.h"
#include "server/http/api_error.h"
#include "verify/grammar/grammar.h"

namespace ft::server {

struct ChatRequest {
  RequestParams params;
  std::vector<encoding::ChatMessage> messages;  // tools attached
  Prefill prefill = Prefill::kNone;
  bool thinking = true;
  std::optional<std::string> effort;  // "low", "high" or "max"
  bool drop_thinking = true;  // reasoning before the last user message is left out, unless there are tools
  bool tools_offered = false;
  // Of replies that may call tools; null: as params.format says.
  std::shared_ptr<const grammar::Grammar> calls;
  bool parallel_tool_calls = true;  // false: the turn ends after its first call
  bool logprobs = false;
  int top_logprobs = 0;
  std::string field = "messages";  // of the body, with the conversation
};

// Whether the reply begins inside reasoning: not behind a given beginning of the answer, nor for a task that is
// answered without.
bool begins_with_reasoning(const ChatRequest& request);

// "low", "high" or "max" for the level names of the APIs of DeepSeek, OpenAI and Anthropic (encoding.md section 11).
std::optional<std::string> canonical_effort(std::string_view effort);

// Reads thinking, enable_thinking, chat_template_kwargs, reasoning and reasoning_effort. Thinking is decided by, in
// this order, thinking.type, enable_thinking, chat_template_kwargs.thinking or .enable_thinking, reasoning.enabled,
// an effort of "none", and the server's default. Violations stay in `fields`.
void read_thinking(FieldReader& fields, const RequestDefaults& defaults, ChatRequest& request);

// Refuses an output format where it could not be kept to.
ApiResult<void> check_output_format(const ChatRequest& request);

}  // namespace ft::server
