// How a reply looks in one API: its events or its JSON. Each API has its own.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "scheduler/request.h"
#include "server/generation/choice.h"
#include "server/http/api_error.h"
#include "server/http/http_message.h"

namespace ft::server {

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt
  int64_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;  // of the completion
  bool predicted = false;        // whether the client has predicted the answer
  // Tokens of the prediction that are in the completion, and that are not.
  int64_t accepted_prediction_tokens = 0;
  int64_t rejected_prediction_tokens = 0;
};

// Of all choices together.
struct ReplyTotals {
  Usage usage;
  scheduler::RequestReport report;
};

struct FinishedChoice {
  const Choice* choice = nullptr;
  std::vector<ShownToken> tokens;  // empty unless the job shows them
  std::vector<ShownToken> prompt;  // of the prompt, all but its first; empty unless the job wants these, too
};

// A reply calls either the first five, in the order begin, delta*, end for each choice, then finish; or whole();
// and error() or refused() instead of what is left, when it fails.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;

  // Streamed: each appends server-sent events to `out`. `tokens` are those whose text was shown since the last call,
  // `prompt` as in FinishedChoice.
  virtual void begin(std::string& out, int choice, std::span<const ShownToken> prompt) = 0;
  virtual void delta(std::string& out, int choice, const Piece& piece,
                     std::span<const ShownToken> tokens) = 0;
  virtual void end(std::string& out, int choice, const Choice& state, std::span<const ShownToken> tokens) = 0;
  virtual void finish(std::string& out, const ReplyTotals& totals) = 0;
  virtual void error(std::string& out, const ApiError& error) = 0;

  // Whole.
  virtual std::string whole(std::span<const FinishedChoice> choices, const ReplyTotals& totals) const = 0;
  virtual std::string refused(const ApiError& error) const = 0;
};

}  // namespace ft::server
