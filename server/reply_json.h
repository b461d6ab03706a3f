// The JSON of replies, whole and in chunks: written directly, because a chunk is sent for every step.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "encoding/tokenizer.h"
#include "server/api_error.h"
#include "server/choice.h"

namespace ft::server {

enum class ReplyKind { kChat, kCompletion };

struct ReplyHead {
  ReplyKind kind = ReplyKind::kChat;
  std::string id;  // "chatcmpl-..." or "cmpl-..."
  int64_t created = 0;
  std::string model;
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt
  int64_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;  // of the completion
};

std::string usage_json(const Usage& usage);

// `logprobs` of a choice: {"content": [...], "reasoning_content": [...]} for chat, OpenAI's older lists for
// completions. Impossible tokens have -9999, since JSON has no infinity.
std::string logprobs_json(ReplyKind kind, std::span<const ShownToken> tokens,
                          const encoding::Tokenizer& tokenizer);

// Appends server-sent events ("data: {...}\n\n") to a text.
class ChunkWriter {
 public:
  // `usage_null`: chunks before the usage carry "usage":null, as the client asked for usage.
  ChunkWriter(const ReplyHead& head, bool usage_null);

  // Chat: the chunk that opens choice `index`.
  void role(std::string& out, int index) const;
  // Chat: a piece; `call_id` for kToolBegin. `logprobs` is JSON or "".
  void piece(std::string& out, int index, const Piece& piece, std::string_view call_id,
             std::string_view logprobs) const;
  // Completion: more text.
  void text(std::string& out, int index, std::string_view text, std::string_view logprobs) const;
  // The last chunk of a choice.
  void finish(std::string& out, int index, std::string_view reason, std::string_view logprobs) const;
  // The chunk without choices; `metrics` is JSON or "".
  void usage(std::string& out, const Usage& usage, std::string_view metrics) const;

 private:
  void open(std::string& out, int index) const;
  void close(std::string& out, std::string_view logprobs, std::string_view reason) const;

  ReplyKind kind_;
  std::string prefix_;  // up to the choices
  std::string suffix_;  // after the choice
};

// data: {"error": ...}
void append_error_event(std::string& out, const ApiError& error);

inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";
inline constexpr std::string_view kKeepAliveComment = ": keepalive\n\n";

// One finished choice of a whole reply.
std::string chat_choice_json(int index, const Choice& choice, bool thinking,
                             std::span<const std::string> call_ids, std::string_view logprobs);
std::string completion_choice_json(int index, const Choice& choice, std::string_view echo,
                                   std::string_view logprobs);

// The whole reply from its choices' JSON; `metrics` is JSON or "".
std::string reply_json(const ReplyHead& head, std::span<const std::string> choices, const Usage& usage,
                       std::string_view metrics);

}  // namespace ft::server
