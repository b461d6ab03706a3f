// A reply in progress: the choices of one request, from the engine's token streams to JSON or server-sent
// events.
//
// Knows no network: a session pumps it when the engine notifies, and sends what came out. One thread at a
// time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/choice.h"
#include "server/http_message.h"
#include "server/reply_json.h"
#include "server/served_model.h"

namespace ft::server {

// What is known of a reply when it is over, for the log and the metrics.
struct ReplySummary {
  std::string id;
  std::string request_id;
  ReplyKind kind = ReplyKind::kChat;
  std::string outcome;  // "stop", "length", "tool_calls" (of the last choice), "cancelled" or "error"
  std::string error;
  Usage usage;
  scheduler::RequestReport report;            // all choices together
  std::optional<double> first_token_seconds;  // since the request arrived
  double total_seconds = 0.0;
};

struct ReplyOptions {
  ReplyHead head;
  std::string request_id;
  bool stream = false;
  bool include_usage = false;
  bool include_speculation = false;
  bool logprobs = false;
  int top_logprobs = 0;   // alternatives of each token
  bool thinking = false;  // chat: whole replies have a reasoning_content
  int draft_rows = 0;     // draft rows per step, for the speculation report
  std::chrono::steady_clock::time_point arrived = std::chrono::steady_clock::now();
};

// One choice and where its tokens come from.
struct ReplyPart {
  std::shared_ptr<scheduler::TokenStream> stream;
  ChoiceOptions choice;
  int prompt = 0;    // parts of one prompt count its tokens once
  std::string echo;  // completions: the prompt's text, shown first
};

class Reply {
 public:
  // `model` is kept alive as long as the reply. `finished` is called once, when the reply is over.
  Reply(ReplyOptions options, std::vector<ReplyPart> parts, std::shared_ptr<const ServedModel> model,
        std::function<void(const ReplySummary&)> finished);
  // Cancels what still runs.
  ~Reply();
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;

  bool stream() const { return options_.stream; }

  // Takes what the engine has produced, at most kTokensPerPump of each choice, so that an engine that is
  // quicker than the caller holds up neither the client nor others; a streaming reply appends its events to
  // `out`, a step's tokens as one event of each kind. True when the reply is over.
  bool pump(std::string& out);
  static constexpr int kTokensPerPump = 256;
  // Whether pump() left tokens behind, so that it is to be called again without waiting for the engine.
  bool has_more() const { return has_more_; }

  // About how many bytes response() has to write.
  size_t size() const;
  // The whole reply, or the error that ended it; not for streaming. After pump() was true.
  HttpResponse response() const;

  // The client has gone, or the server wants to stop: the engine drops the requests within one step. Pumping
  // on leads to an end with an error.
  void cancel();

 private:
  struct Part {
    std::shared_ptr<scheduler::TokenStream> stream;
    Choice choice;
    int prompt = 0;
    std::string echo;
    std::vector<std::string> call_ids;  // by tool call
    std::string logprobs;               // whole replies, after the end
    int32_t step = -1;
    bool begun = false;  // something has been sent
    bool done = false;
    scheduler::RequestReport report;
  };

  bool advance(Part& part, int index, std::string& out);
  void send_pieces(Part& part, int index, std::string& out);
  void send_opening(Part& part, int index, std::string& out);
  void end_part(Part& part, int index, std::string& out);
  void fail(ApiError error, std::string& out);
  void conclude(std::string outcome);
  std::string take_logprobs(Part& part);
  Usage usage() const;
  scheduler::RequestReport merged_report() const;
  std::string metrics_json() const;

  ReplyOptions options_;
  ChunkWriter writer_;
  std::vector<Part> parts_;
  std::shared_ptr<const ServedModel> model_;
  std::function<void(const ReplySummary&)> finished_;
  std::optional<std::chrono::steady_clock::time_point> first_token_;
  std::optional<ApiError> error_;
  bool cancelled_ = false;
  bool has_more_ = false;
  bool over_ = false;
  bool concluded_ = false;
};

}  // namespace ft::server
