#include "server/generation/reply.h"

#include <utility>

#include "core/check.h"
#include "server/generation/speculation_report.h"

namespace ft::server {

using scheduler::FinishReason;

Reply::Reply(ReplyOptions options, std::vector<ReplyPart> parts, std::shared_ptr<const ServedModel> model,
             std::function<void(const ReplySummary&)> finished)
    : options_(std::move(options)), model_(std::move(model)), finished_(std::move(finished)) {
  FT_CHECK(!parts.empty());
  FT_CHECK(options_.writer != nullptr);
  parts_.reserve(parts.size());
  for (ReplyPart& part : parts)
    parts_.push_back({.stream = std::move(part.stream),
                      .choice = Choice(std::move(part.choice)),
                      .prompt = part.prompt,
                      .prompt_tokens = part.prompt_tokens});
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
  if (options_.stream) options_.writer->finish(out, totals());
  conclude(std::string(end_reason_name(parts_.back().choice.end_reason())));
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
    if (event.of_prompt) {
      part.prompt_shown.push_back({std::move(event), false, false, 0});
      continue;
    }
    if (!first_token_) first_token_ = std::chrono::steady_clock::now();
    if (event.step != part.step) {
      send_pieces(part, index, out);
      ++part.steps;
    }
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
  if (!std::exchange(part.begun, true)) options_.writer->begin(out, index, part.prompt_shown);
}

std::vector<ShownToken> Reply::take_tokens(Part& part) {
  std::vector<ShownToken> shown = part.choice.take_shown();
  if (!options_.shows_tokens) shown.clear();
  return shown;
}

void Reply::send_pieces(Part& part, int index, std::string& out) {
  if (!options_.stream) return;
  const std::vector<Piece> pieces = part.choice.take();
  if (pieces.empty()) return;
  send_opening(part, index, out);
  for (size_t i = 0; i < pieces.size(); ++i) {
    std::vector<ShownToken> tokens;
    if (i + 1 == pieces.size()) tokens = take_tokens(part);
    options_.writer->delta(out, index, pieces[i], tokens);
  }
}

void Reply::end_part(Part& part, int index, std::string& out) {
  const scheduler::RequestReport& report = part.stream->report();
  const FinishReason reason = report.finish_reason;
  if (reason == FinishReason::kError) {
    ApiError error = refusal(500, report.error, "internal_error");
    error.work_was_begun = true;
    return fail(std::move(error), out);
  }
  if (reason == FinishReason::kCancelled && !part.choice.stopped()) {
    return fail(refusal(503, "the request was cancelled: the server is stopping", "unavailable"), out);
  }
  part.choice.finish(report);
  part.done = true;
  if (!options_.stream) {
    part.tokens = take_tokens(part);
    return;
  }
  send_pieces(part, index, out);
  send_opening(part, index, out);
  options_.writer->end(out, index, part.choice, take_tokens(part));
}

void Reply::fail(ApiError error, std::string& out) {
  cancel();
  over_ = true;
  if (options_.stream) options_.writer->error(out, error);
  const bool stopping = error.status == 503;
  error_ = std::move(error);
  conclude(stopping ? "cancelled" : "error");
}

HttpResponse Reply::response() const {
  FT_CHECK(over_);
  FT_CHECK(!options_.stream);
  if (error_) return error_response(*error_, options_.writer->refused(*error_));
  std::vector<FinishedChoice> choices;
  choices.reserve(parts_.size());
  for (const Part& part : parts_) choices.push_back({&part.choice, part.tokens, part.prompt_shown});
  return json_response(options_.writer->whole(choices, totals()));
}

size_t Reply::size() const {
  constexpr size_t kTextBytes = 8;        // of a token
  constexpr size_t kLogprobsBytes = 128;  // of a token, an alternative or a draft, with its probability
  size_t bytes = 0;
  for (const Part& part : parts_) {
    bytes += kTextBytes * static_cast<size_t>(part.choice.completion_tokens());
    for (const ShownToken& token : part.tokens) {
      bytes += kLogprobsBytes * (1 + token.event.top.size());
      if (token.opens_step && token.event.detail != nullptr)
        bytes += kLogprobsBytes * (1 + token.event.detail->nodes.size());
    }
  }
  return bytes;
}

// What the engine says of a request that has ended; of one that was given up, what has been seen of it.
scheduler::RequestReport Reply::report_of(const Part& part) {
  if (part.stream->finished()) return part.stream->report();
  scheduler::RequestReport report;
  report.finish_reason = FinishReason::kCancelled;
  report.prompt_tokens = part.prompt_tokens;
  report.completion_tokens = part.choice.completion_tokens();
  report.steps = part.steps;
  return report;
}

ReplyTotals Reply::totals() const {
  ReplyTotals totals;
  int prompt = -1;
  for (const Part& part : parts_) {
    const scheduler::RequestReport report = report_of(part);
    if (part.prompt != prompt) {
      prompt = part.prompt;
      totals.usage.prompt_tokens += report.prompt_tokens;
      totals.usage.cached_tokens += report.cached_tokens;
    }
    totals.usage.completion_tokens += part.choice.completion_tokens();
    totals.usage.reasoning_tokens += part.choice.reasoning_tokens();
    if (const draft::PredictedText* prediction = part.choice.prediction()) {
      totals.usage.predicted = true;
      totals.usage.accepted_prediction_tokens += prediction->accepted();
      totals.usage.rejected_prediction_tokens += prediction->rejected();
    }
    merge_report(totals.report, report);
  }
  return totals;
}

void Reply::conclude(std::string outcome) {
  if (std::exchange(concluded_, true) || !finished_) return;
  using Seconds = std::chrono::duration<double>;
  ReplySummary summary;
  ReplyTotals all = totals();
  summary.id = options_.id;
  summary.request_id = options_.request_id;
  summary.outcome = std::move(outcome);
  if (error_) summary.error = error_->message;
  summary.usage = all.usage;
  summary.report = std::move(all.report);
  if (first_token_) summary.first_token_seconds = Seconds(*first_token_ - options_.arrived).count();
  summary.total_seconds = Seconds(std::chrono::steady_clock::now() - options_.arrived).count();
  finished_(summary);
}

}  // namespace ft::server
