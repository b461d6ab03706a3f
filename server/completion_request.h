// POST /v1/completions: the body as a value.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "encoding/ordered_json.h"
#include "server/api_error.h"
#include "server/request_params.h"

namespace ft::server {

inline constexpr size_t kPromptsMax = 64;  // prompts of one request

// Client text, to be tokenised after a BOS token; or token ids, taken as they are.
using CompletionPrompt = std::variant<std::string, std::vector<int32_t>>;

struct CompletionRequest {
  RequestParams params;
  std::vector<CompletionPrompt> prompts;  // choices of prompt p have the indices p*n .. p*n + n-1
  bool echo = false;                      // the text begins with the prompt's
  bool add_special_tokens = true;         // BOS before text prompts
  bool skip_special_tokens = true;        // control tokens do not show in the text
  bool logprobs = false;
  int top_logprobs = 0;
};

// Reads a body, which must be an object. Refused, not ignored: suffix, best_of other than n, and echo with
// logprobs (the prompt's own logprobs are not computed).
ApiResult<CompletionRequest> parse_completion_request(const encoding::Json& body,
                                                      const RequestDefaults& defaults);

}  // namespace ft::server
