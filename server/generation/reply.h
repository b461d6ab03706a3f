// A reply in progress: the choices of one job, from the engine's token streams to the job's writer.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/token_stream.h"
#include "server/generation/choice.h"
#include "server/generation/generation_job.h"
#include "server/generation/served_model.h"
#include "server/http/http_service.h"

namespace ft::server {

// What is known of a reply when it is over, for the log and the metrics.
struct ReplySummary {
  std::string id;
  std::string request_id;
  std::string outcome;  // "stop", "length", "tool_calls" (of the last choice), "cancelled" or "error"
  std::string error;
  Usage usage;
  scheduler::RequestReport report;            // all choices together
  std::optional<double> first_token_seconds;  // since the request arrived
  double total_seconds = 0.0;
};

// What a reply takes over from its job.
struct ReplyOptions {
  std::string id;
  std::string request_id;
  bool stream = false;
  bool shows_tokens = false;
  std::unique_ptr<ResponseWriter> writer;
  std::chrono::steady_clock::time_point arrived = std::chrono::steady_clock::now();
};

// One choice and where its tokens come from.
struct ReplyPart {
  std::shared_ptr<scheduler::TokenStream> stream;
  ChoiceOptions choice;
  int prompt = 0;  // parts of one prompt count its tokens once
  int64_t prompt_tokens = 0;
};

class Reply : public PendingResponse {
 public:
  // `model` is kept alive as long as the reply. `finished` is called once, when the reply is over.
  Reply(ReplyOptions options, std::vector<ReplyPart> parts, std::shared_ptr<const ServedModel> model,
        std::function<void(const ReplySummary&)> finished);
  // Cancels what still runs.
  ~Reply() override;
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;

  bool stream() const override { return options_.stream; }
  // Takes what the engine has produced, at most kTokensPerPump of each choice, so that an engine that is quicker
  // than the caller holds up neither the client nor others; a step's tokens are one event of each kind.
  bool pump(std::string& out) override;
  static constexpr int kTokensPerPump = 256;
  bool has_more() const override { return has_more_; }
  size_t size() const override;
  HttpResponse response() const override;
  // The engine drops the requests within one step.
  void cancel() override;

 private:
  struct Part {
    std::shared_ptr<scheduler::TokenStream> stream;
    Choice choice;
    int prompt = 0;
    int64_t prompt_tokens = 0;
    std::vector<ShownToken> prompt_shown = {};  // of a prompt whose logprobs are wanted
    std::vector<ShownToken> tokens = {};        // of a whole reply that shows them, after the end
    int32_t step = -1;
    int64_t steps = 0;
    bool begun = false;  // something has been sent
    bool done = false;
  };

  bool advance(Part& part, int index, std::string& out);
  void send_pieces(Part& part, int index, std::string& out);
  void send_opening(Part& part, int index, std::string& out);
  void end_part(Part& part, int index, std::string& out);
  void fail(ApiError error, std::string& out);
  void conclude(std::string outcome);
  std::vector<ShownToken> take_tokens(Part& part);
  static scheduler::RequestReport report_of(const Part& part);
  ReplyTotals totals() const;

  ReplyOptions options_;
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
