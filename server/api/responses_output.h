// The output items of a Responses reply as they grow, and the events that tell of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "encoding/tokenizer.h"
#include "server/api/response_store.h"
#include "server/api/responses_tools.h"
#include "server/generation/choice.h"

namespace ft::server {

struct ResponsesStyle {
  ResponsesTools tools;
  bool summary = false;    // reasoning is shown as its summary too
  bool encrypted = false;  // reasoning items carry what clients without a store send back
  bool logprobs = false;
  const encoding::Tokenizer* tokenizer = nullptr;  // of the logprobs
};

// Numbers the events of one stream.
class ResponsesEvents {
 public:
  // `members` is JSON, each with a comma in front.
  void send(std::string& out, std::string_view type, std::string_view members);

 private:
  int64_t next_ = 0;
};

// Items come one after another, never two at a time: reasoning, a message, calls.
class ResponsesOutput {
 public:
  explicit ResponsesOutput(ResponsesStyle style) : style_(std::move(style)) {}

  // Appends the events of more of the reply.
  void add(std::string& out, ResponsesEvents& events, const Piece& piece, std::span<const ShownToken> tokens);
  // The reply has ended; `state` says whether the last item is whole. `tokens` are those that are left.
  void end(std::string& out, ResponsesEvents& events, const Choice& state,
           std::span<const ShownToken> tokens);

  // Those that have ended.
  const std::vector<ResponseItem>& items() const { return items_; }
  // As a JSON array.
  std::string items_json() const;

 private:
  struct Open {
    Open(Piece::Kind kind_, int call_) : kind(kind_), call(call_) {}

    Piece::Kind kind;  // a call's is kToolArguments
    int call;          // index of the call
    std::string id;
    std::string text;  // of reasoning, a message or arguments
    std::string logprobs;
    std::string call_id;
    ResponsesTool tool;
  };

  void open(std::string& out, ResponsesEvents& events, const Piece& piece);
  std::string add_logprobs(std::span<const ShownToken> tokens);
  void close(std::string& out, ResponsesEvents& events, bool whole);
  std::string close_reasoning(std::string& out, ResponsesEvents& events, std::string_view status);
  std::string close_message(std::string& out, ResponsesEvents& events, std::string_view status);
  std::string close_call(std::string& out, ResponsesEvents& events, std::string_view status);
  std::string place() const;  // item_id and output_index of the open item, as members
  std::string reasoning_item(std::string_view status, bool begun) const;
  std::string message_item(std::string_view status, std::string_view content) const;
  std::string call_item(std::string_view status, std::string_view written) const;
  std::string text_part() const;

  const ResponsesStyle style_;
  std::optional<Open> open_;
  std::vector<ResponseItem> items_;
};

}  // namespace ft::server
