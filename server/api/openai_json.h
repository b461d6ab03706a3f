// What the replies of OpenAI's chat and text completions have in common, as JSON.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "encoding/tokenizer.h"
#include "server/generation/choice.h"
#include "server/generation/response_writer.h"
#include "server/http/api_error.h"

namespace ft::server {

inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

struct ReplyHead {
  std::string id;  // "chatcmpl-..." or "cmpl-..."
  int64_t created = 0;
  std::string model;
};

// What a client wants to be told besides the text.
struct ReplyExtras {
  bool usage = false;        // in a last chunk of a stream; whole replies always tell
  bool speculation = false;  // `metrics`
  int draft_rows = 0;        // per step, for the speculation report
};

// {"error":{"message","type","param","code"}}
std::string openai_error_json(const ApiError& error);

std::string openai_usage_json(const Usage& usage);

// A token's text, with what is no UTF-8 replaced.
std::string token_text(const encoding::Tokenizer& tokenizer, int32_t token);
// JSON has no infinity, so impossible tokens have -9999.
void append_logprob(std::string& out, float logprob);
void append_integer(std::string& out, int64_t value);
// {"token","logprob","bytes","top_logprobs"} as chats and responses have it.
void append_token_logprobs(std::string& out, const ShownToken& token, const encoding::Tokenizer& tokenizer);

// Streamed and whole replies around their choices.
class OpenAiEnvelope {
 public:
  // `object` of a chunk and of a whole reply, "chat.completion.chunk" and "chat.completion".
  OpenAiEnvelope(const ReplyHead& head, const ReplyExtras& extras, std::string_view chunk_object,
                 std::string_view whole_object);

  // One chunk with one choice: `body` is its members between the index and the logprobs, as `,"delta":{...}`.
  // `logprobs` is JSON or "", `reason` the finish reason or "".
  void chunk(std::string& out, int index, std::string_view body, std::string_view logprobs,
             std::string_view reason) const;
  // The chunk without choices, where it is wanted, and the end.
  void finish(std::string& out, const ReplyTotals& totals) const;
  void error(std::string& out, const ApiError& error) const;
  // The whole reply from its choices' JSON.
  std::string whole(std::span<const std::string> choices, const ReplyTotals& totals) const;

 private:
  std::string metrics(const ReplyTotals& totals) const;

  ReplyExtras extras_;
  std::string chunk_prefix_;  // up to the choices
  std::string chunk_suffix_;  // after the choice
  std::string whole_prefix_;
};

}  // namespace ft::server
