// POST /v1/completions: the body as a value and as a job.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "encoding/ordered_json.h"
#include "server/api/dialect.h"
#include "server/api/openai_fields.h"
#include "server/api/request_params.h"
#include "server/http/api_error.h"

namespace ft::server {

inline constexpr size_t kPromptsMax = 64;  // prompts of one request

// Client text, to be tokenised after a BOS token; or token ids, taken as they are.
using CompletionPrompt = std::variant<std::string, std::vector<int32_t>>;

struct CompletionRequest {
  RequestParams params;
  std::vector<CompletionPrompt> prompts;  // choices of prompt p have the indices p*n .. p*n + n-1
  bool echo = false;                      // the text begins with the prompt's, its logprobs with the prompt's
  bool echo_only = false;                 // max_tokens is 0
  bool add_special_tokens = true;         // BOS before text prompts
  bool skip_special_tokens = true;        // control tokens do not show in the text
  bool parse_special = false;             // control tokens that a text prompt spells out are such
  std::optional<std::string> suffix;      // what is to come after the completion; "" is none
  bool logprobs = false;
  int top_logprobs = 0;
};

// Reads a body, which must be an object (openai_completions_fields() says what its members do). Refused besides:
// best_of other than n.
ApiResult<CompletionRequest> parse_completion_request(const encoding::Json& body,
                                                      const RequestDefaults& defaults);

ApiResult<GenerationJob> openai_completions_job(const ApiCall& call);

}  // namespace ft::server
