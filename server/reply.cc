#include "server/reply.h"

#include <utility>

#include "core/check.h"
#include "server/random_id.h"
#include "server/speculation_report.h"

namespace ft::server {

using scheduler::FinishReason;

Reply::Reply(ReplyOptions options, std::vector<ReplyPart> parts, std::shared_ptr<const ServedModel> model,
             std::function<void(const ReplySummary&)> finished)
    : options_(std::move(options)),
      writer_(options_.head, options_.include_usage),
      model_(std::move(model)),
      finished_(std::move(finished)) {
  FT_CHECK(!parts.empty());
  parts_.reserve(parts.size());
  for (ReplyPart& part : parts) {
    parts_.push_back(Part{std::move(part.stream),
                          Choice(std::move(part.choice)),
                          part.prompt,
                          std::move(part.echo),
                          {},
                          {},
                          -1,
                          false,
                          false,
                          {}});
  }
}

Reply::~Reply() {
  cancel();
  conclude("cancelled");
}

void Reply::cancel() {
  if (over_) return;
  cancelled_ = true;
  for (Part& part : parts_) {
    if (!part.done) part.stream->cancel();
  }
}

bool Reply::pump(std::string& out) {
  if (over_) return true;
  bool all_done = true;
  has_more_ = false;
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (!parts_[i].done) all_done = advance(parts_[i], static_cast<int>(i), out) && all_done;
    if (error_) return true;
  }
  if (!all_done) return false;
  over_ = true;
  if (options_.stream) {
    if (options_.include_usage || options_.include_speculation) writer_.usage(out, usage(), metrics_json());
    out += kDoneEvent;
  }
  conclude(parts_.back().choice.finish_reason());
  return true;
}

// True when the part has ended.
bool Reply::advance(Part& part, int index, std::string& out) {
  // Asked before the ring is emptied: what is pushed between the two is then taken by the next pump.
  const bool finished = part.stream->finished();
  scheduler::TokenEvent event;
  int taken = 0;
  while (taken < kTokensPerPump && part.stream->pop(event)) {
    ++taken;
    if (!first_token_) first_token_ = std::chrono::steady_clock::now();
    if (event.step != part.step) send_pieces(part, index, out);
    part.step = event.step;
    part.choice.feed(std::move(event));
  }
  if (taken == kTokensPerPump) {
    has_more_ = true;  // perhaps of the same step
    return false;
  }
  send_pieces(part, index, out);
  if (part.choice.stopped()) part.stream->cancel();  // the rest of the request is of no use
  if (finished) end_part(part, index, out);
  return part.done;
}

void Reply::send_opening(Part& part, int index, std::string& out) {
  if (part.begun) return;
  part.begun = true;
  if (options_.head.kind == ReplyKind::kChat) {
    writer_.role(out, index);
  } else if (!part.echo.empty()) {
    writer_.text(out, index, part.echo, "");
  }
}

std::string Reply::take_logprobs(Part& part) {
  const std::vector<ShownToken> shown = part.choice.take_shown();
  if (!options_.logprobs || shown.empty()) return {};
  return logprobs_json(options_.head.kind, shown, *model_->tokenizer);
}

void Reply::send_pieces(Part& part, int index, std::string& out) {
  if (!options_.stream) return;
  const std::vector<Piece> pieces = part.choice.take();
  if (pieces.empty()) return;
  send_opening(part, index, out);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    if (piece.kind == Piece::Kind::kToolBegin) part.call_ids.push_back("call_" + random_hex(24));
    const std::string logprobs = i + 1 == pieces.size() ? take_logprobs(part) : std::string();
    if (options_.head.kind == ReplyKind::kChat) {
      writer_.piece(out, index, piece, part.call_ids.empty() ? std::string() : part.call_ids.back(),
                    logprobs);
    } else {
      writer_.text(out, index, piece.text, logprobs);
    }
  }
}

void Reply::end_part(Part& part, int index, std::string& out) {
  part.report = part.stream->report();
  const FinishReason reason = part.report.finish_reason;
  if (reason == FinishReason::kError) {
    ApiError error = refusal(500, part.report.error, "internal_error");
    error.work_was_begun = true;
    return fail(std::move(error), out);
  }
  if (reason == FinishReason::kCancelled && !part.choice.stopped()) {
    return fail(refusal(503, "the request was cancelled: the server is stopping", "unavailable"), out);
  }
  part.choice.finish(part.report);
  part.done = true;
  if (!options_.stream) {
    part.logprobs = take_logprobs(part);
    for (size_t i = 0; i < part.choice.tool_calls().size(); ++i)
      part.call_ids.push_back("call_" + random_hex(24));
    return;
  }
  send_pieces(part, index, out);
  send_opening(part, index, out);
  writer_.finish(out, index, part.choice.finish_reason(), take_logprobs(part));
}

void Reply::fail(ApiError error, std::string& out) {
  cancel();
  over_ = true;
  if (options_.stream) {
    append_error_event(out, error);
    out += kDoneEvent;
  }
  const bool stopping = error.status == 503;
  error_ = std::move(error);
  conclude(stopping ? "cancelled" : "error");
}

HttpResponse Reply::response() const {
  FT_CHECK(over_);
  FT_CHECK(!options_.stream);
  if (error_) return error_response(*error_);
  std::vector<std::string> choices;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    const int index = static_cast<int>(i);
    choices.push_back(
        options_.head.kind == ReplyKind::kChat
            ? chat_choice_json(index, part.choice, options_.thinking, part.call_ids, part.logprobs)
            : completion_choice_json(index, part.choice, part.echo, part.logprobs));
  }
  return json_response(reply_json(options_.head, choices, usage(), metrics_json()));
}

size_t Reply::size() const {
  constexpr int64_t kTextBytes = 8;        // of a token
  constexpr int64_t kLogprobsBytes = 128;  // of a token and each of its alternatives
  const int64_t bytes =
      options_.logprobs ? kTextBytes + kLogprobsBytes * (1 + options_.top_logprobs) : kTextBytes;
  return static_cast<size_t>(usage().completion_tokens * bytes);
}

Usage Reply::usage() const {
  Usage usage;
  int prompt = -1;
  for (const Part& part : parts_) {
    if (part.prompt != prompt) {
      prompt = part.prompt;
      usage.prompt_tokens += part.report.prompt_tokens;
      usage.cached_tokens += part.report.cached_tokens;
    }
    usage.completion_tokens += part.choice.completion_tokens();
    usage.reasoning_tokens += part.choice.reasoning_tokens();
  }
  return usage;
}

scheduler::RequestReport Reply::merged_report() const {
  scheduler::RequestReport merged;
  for (const Part& part : parts_) merge_report(merged, part.report);
  return merged;
}

std::string Reply::metrics_json() const {
  if (!options_.include_speculation) return {};
  return R"({"speculative_decoding":)" + speculation_json(merged_report(), options_.draft_rows) + "}";
}

void Reply::conclude(std::string outcome) {
  if (std::exchange(concluded_, true) || !finished_) return;
  using Seconds = std::chrono::duration<double>;
  ReplySummary summary;
  summary.id = options_.head.id;
  summary.request_id = options_.request_id;
  summary.kind = options_.head.kind;
  summary.outcome = std::move(outcome);
  if (error_) summary.error = error_->message;
  summary.usage = usage();
  summary.report = merged_report();
  if (first_token_) summary.first_token_seconds = Seconds(*first_token_ - options_.arrived).count();
  summary.total_seconds = Seconds(std::chrono::steady_clock::now() - options_.arrived).count();
  finished_(summary);
}

}  // namespace ft::server
