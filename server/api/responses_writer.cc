#include "server/api/responses_writer.h"

#include <chrono>
#include <utility>

#include "encoding/ordered_json.h"
#include "server/generation/speculation_report.h"

namespace ft::server {
namespace {

using encoding::append_json_string;

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

std::string usage_json(const Usage& usage) {
  return fmt::format(
      R"({{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{},"cache_write_tokens":0}},)"
      R"("output_tokens":{},"output_tokens_details":{{"reasoning_tokens":{}}},"total_tokens":{}}})",
      usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, usage.reasoning_tokens,
      usage.prompt_tokens + usage.completion_tokens);
}

int64_t now_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

// What changes in a response from event to event, as JSON.
struct State {
  std::string_view status = "in_progress";
  std::string completed_at = "null";
  std::string error = "null";
  std::string incomplete = "null";
  std::string output = "[]";
  std::string usage = "null";
  std::string metrics;  // a member behind another one, or ""
};

class ResponsesWriter : public ResponseWriter {
 public:
  ResponsesWriter(const ReplyHead& head, const ReplyExtras& extras, ResponsesStyle style, std::string echo,
                  ResponsesKeeping keeping)
      : head_(head),
        extras_(extras),
        style_(std::move(style)),
        echo_(std::move(echo)),
        keeping_(std::move(keeping)),
        output_(style_) {}

  void begin(std::string& out, int /*choice*/, std::span<const ShownToken> /*prompt*/) override {
    begun_ = true;
    const std::string response = R"(,"response":)" + json({});
    events_.send(out, "response.created", response);
    events_.send(out, "response.in_progress", response);
  }

  void delta(std::string& out, int /*choice*/, const Piece& piece,
             std::span<const ShownToken> tokens) override {
    output_.add(out, events_, piece, tokens);
  }

  void end(std::string& out, int /*choice*/, const Choice& state,
           std::span<const ShownToken> tokens) override {
    output_.end(out, events_, state, tokens);
    reason_ = state.end_reason();
  }

  void finish(std::string& out, const ReplyTotals& totals) override {
    const State state = ended(reason_, output_, totals);
    std::string response = json(state);
    events_.send(out, fmt::format("response.{}", state.status), R"(,"response":)" + response);
    keep(std::move(response), output_);
  }

  void error(std::string& out, const ApiError& error) override {
    if (!begun_) begin(out, 0, {});
    State state;
    state.status = "failed";
    state.error = fmt::format(R"({{"code":{},"message":{}}})",
                              quoted(error.status == 500 || error.code.empty() ? "server_error" : error.code),
                              quoted(error.message));
    state.output = output_.items_json();
    events_.send(out, "response.failed", R"(,"response":)" + json(state));
  }

  // The same items as a stream's, whose events nobody sees.
  std::string whole(std::span<const FinishedChoice> choices, const ReplyTotals& totals) const override {
    const Choice& choice = *choices.front().choice;
    ResponsesOutput output(style_);
    ResponsesEvents events;
    std::string unseen;
    const auto add = [&](Piece::Kind kind, const std::string& text, int call = -1) {
      if (text.empty() && kind != Piece::Kind::kToolBegin) return;
      output.add(unseen, events, {kind, text, call}, choices.front().tokens);
      unseen.clear();
    };
    add(Piece::Kind::kReasoning, choice.reasoning());
    add(Piece::Kind::kContent, choice.content());
    int index = 0;
    for (const ToolCallState& call : choice.tool_calls()) {
      add(Piece::Kind::kToolBegin, call.name, index);
      add(Piece::Kind::kToolArguments, call.arguments, index++);
    }
    output.end(unseen, events, choice, {});
    std::string response = json(ended(choice.end_reason(), output, totals));
    keep(response, output);
    return response;
  }
  std::string refused(const ApiError& error) const override { return openai_error_json(error); }

 private:
  State ended(EndReason reason, const ResponsesOutput& output, const ReplyTotals& totals) const {
    State state;
    state.status = "completed";
    if (reason == EndReason::kLength) {
      state.status = "incomplete";
      state.incomplete = R"({"reason":"max_output_tokens"})";
    } else {
      state.completed_at = std::to_string(now_seconds());
    }
    state.output = output.items_json();
    state.usage = usage_json(totals.usage);
    if (extras_.speculation)
      state.metrics = R"(,"metrics":{"speculative_decoding":)" +
                      speculation_json(totals.report, extras_.draft_rows) + "}";
    return state;
  }

  std::string json(const State& state) const {
    return fmt::format(
        R"({{"id":"{}","object":"response","created_at":{},"status":"{}","background":false,)"
        R"("completed_at":{},"error":{},"incomplete_details":{},"model":{}{},"output":{},"usage":{}{}}})",
        head_.id, head_.created, state.status, state.completed_at, state.error, state.incomplete,
        quoted(head_.model), echo_, state.output, state.usage, state.metrics);
  }

  void keep(std::string response, const ResponsesOutput& output) const {
    if (keeping_.store != nullptr)
      keeping_.store->keep(head_.id, std::move(response), keeping_.history, keeping_.input, output.items());
  }

  const ReplyHead head_;
  const ReplyExtras extras_;
  const ResponsesStyle style_;
  const std::string echo_;
  const ResponsesKeeping keeping_;
  ResponsesEvents events_;
  ResponsesOutput output_;
  EndReason reason_ = EndReason::kStop;
  bool begun_ = false;
};

}  // namespace

std::unique_ptr<ResponseWriter> responses_writer(const ReplyHead& head, const ReplyExtras& extras,
                                                 ResponsesStyle style, std::string echo,
                                                 ResponsesKeeping keeping) {
  return std::make_unique<ResponsesWriter>(head, extras, std::move(style), std::move(echo),
                                           std::move(keeping));
}

}  // namespace ft::server
