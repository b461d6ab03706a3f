#include "scheduler/admission.h"

#include <algorithm>
#include <exception>

#include "core/check.h"

namespace ft::scheduler {

Admission::Admission(const EngineOptions& options, SequenceStore& store, EngineStats& stats)
    : options_(options), store_(store), stats_(stats), memory_(store, options.prefix_cache_bytes) {
  running_.reserve(static_cast<size_t>(options.max_sequences));
}

void Admission::enqueue(std::unique_ptr<RequestState> request) {
  request->arrival = arrivals_++;
  const auto place = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](const auto& other) { return comes_before(*request, *other); });
  waiting_.insert(place, std::move(request));
  stats_.requests_waiting = waiting();
}

void Admission::drop_cancelled(Clock::time_point now) {
  for (auto& state : waiting_)
    if (state->stream->cancelled()) {
      finish(*state, FinishReason::kCancelled, now);
      state.reset();
    }
  std::erase(waiting_, nullptr);
  for (RunningRequest& request : running_)
    if (request.state->stream->cancelled()) {
      request.finished = true;
      finish(*request.state, FinishReason::kCancelled, now);
    }
  remove_finished();
  stats_.requests_waiting = waiting();
}

void Admission::admit(Clock::time_point now, double row_seconds) {
  for (size_t i = 0; i < waiting_.size();) {
    RequestState& state = *waiting_[i];
    // The first of its group is reading the prompt for it; others may go ahead meanwhile.
    if (memory_.waits_for_fork(state)) {
      ++i;
      continue;
    }
    RunningRequest taken;
    bool admitted = false;
    try {
      taken.reserve(options_);
      admitted = admit_preempting(state, now, row_seconds);
    } catch (const std::exception& error) {
      state.report.error = error.what();
      finish(state, FinishReason::kError, now);
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    if (!admitted) break;
    // Suspending may have put others into the queue, behind this one.
    taken.state = std::move(waiting_[i]);
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    insert_running(std::move(taken));
  }
  if (waiting_.empty()) memory_.end_idle_groups();
  update_gauges();
}

// Only a request of higher priority may take the place of one that runs.
bool Admission::admit_preempting(RequestState& state, Clock::time_point now, double row_seconds) {
  while (!admit_one(state, now)) {
    if (running_.empty() || running_.back().state->request.priority >= state.request.priority) return false;
    suspend_last(keeping_is_cheaper(*running_.back().state, row_seconds));
  }
  return true;
}

// There is room for max_sequences of them.
void Admission::insert_running(RunningRequest request) noexcept {
  const auto place = std::find_if(running_.begin(), running_.end(), [&](const RunningRequest& other) {
    return comes_before(*request.state, *other.state);
  });
  running_.insert(place, std::move(request));
}

bool Admission::admit_one(RequestState& state, Clock::time_point now) {
  if (running_.size() >= static_cast<size_t>(options_.max_sequences)) return false;
  if (state.tokens.empty()) {
    state.tokens.reserve(static_cast<size_t>(state.length_max()));
    state.tokens.assign(state.request.prompt.begin(), state.request.prompt.end());
    if (state.request.sampling.uses_counts()) {
      state.counts.reserve(state.length_max());
      state.counts.add_prompt(state.request.prompt);
    }
  }
  // Those that run keep a page each to grow into, so that admission does not lead straight to preemption.
  const int64_t spare = static_cast<int64_t>(running_.size()) * kPageTokens;
  const int64_t length =
      std::min(static_cast<int64_t>(state.tokens.size()) + kPageTokens, state.length_max());
  if (!memory_.open(state, length, spare)) return false;
  if (state.report.prompt_tokens == 0) begin(state, now);
  return true;
}

// A request is admitted for the first time.
void Admission::begin(RequestState& state, Clock::time_point now) {
  state.report.queue_ms = milliseconds(now - state.submitted);
  state.report.prompt_tokens = static_cast<int64_t>(state.request.prompt.size());
  stats_.prompt_tokens += state.report.prompt_tokens;
  stats_.prefix_queries += state.report.prompt_tokens;
  stats_.prefix_hits += state.report.cached_tokens;
}

// Tokens that a request may have committed after the next step.
int64_t Admission::room_for(const RequestState& state) const {
  return std::min(static_cast<int64_t>(state.tokens.size()) + state.drafts_max + 1, state.length_max());
}

void Admission::make_room(double row_seconds) {
  for (size_t i = 0; i < running_.size(); ++i) {
    while (i < running_.size() && !memory_.grow(*running_[i].state, room_for(*running_[i].state))) {
      FT_CHECK(running_.size() > 1, running_[i].state->tokens.size(), store_.unreserved_tokens());
      suspend_last(keeping_is_cheaper(*running_.back().state, row_seconds));
    }
  }
}

// Whether copying a sequence out and in costs less than reading its tokens again.
bool Admission::keeping_is_cheaper(const RequestState& state, double row_seconds) {
  // Before it was seen: 1 GB/s.
  const double byte_seconds = saved_byte_seconds_.mean() > 0.0 ? saved_byte_seconds_.mean() : 1e-9;
  const int64_t again = store_.length(state.sequence) - memory_.cached_tokens(state);
  return 2.0 * byte_seconds * static_cast<double>(memory_.saved_bytes(state)) <
         row_seconds * static_cast<double>(again);
}

bool Admission::suspend_last(bool keep) {
  if (running_.empty()) return false;
  RequestState& state = *running_.back().state;
  const auto place = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](const auto& other) { return comes_before(state, *other); });
  // A place in the queue first: the request is in one of the two lists whatever there is no memory for.
  const auto entry = waiting_.insert(place, nullptr);
  SnapshotInfo saved;
  try {
    saved = memory_.suspend(state, keep);
  } catch (...) {
    waiting_.erase(entry);
    throw;
  }
  if (saved.copied_bytes > 0)
    saved_byte_seconds_.add(saved.seconds / static_cast<double>(saved.copied_bytes));
  ++state.report.preemptions;
  ++stats_.preemptions;
  *entry = std::move(running_.back().state);
  running_.pop_back();
  update_gauges();
  return true;
}

void Admission::finish(RequestState& state, FinishReason reason, Clock::time_point now) {
  state.report.finish_reason = reason;
  state.report.total_ms = milliseconds(now - state.submitted);
  // Memory goes back before the client hears of the end, so that its next request finds it.
  if (state.sequence < 0) memory_.forget(state);
  memory_.close(state);
  state.suspended = nullptr;
  switch (reason) {
    case FinishReason::kStop:
    case FinishReason::kLength:
      ++stats_.requests_finished;
      break;
    case FinishReason::kCancelled:
      ++stats_.requests_cancelled;
      break;
    case FinishReason::kError:
      ++stats_.requests_failed;
      break;
  }
  state.stream->finish(state.report);
}

void Admission::remove_finished() {
  std::erase_if(running_, [](const RunningRequest& request) { return request.finished; });
  update_gauges();
}

void Admission::finish_waiting(FinishReason reason, const char* error, Clock::time_point now) {
  for (auto& state : waiting_) {
    state->report.error = error;
    finish(*state, reason, now);
  }
  waiting_.clear();
  update_gauges();
}

void Admission::finish_running(FinishReason reason, const char* error, Clock::time_point now) {
  for (RunningRequest& request : running_) {
    request.finished = true;
    if (request.state->stream->finished()) continue;
    request.state->report.error = error;
    finish(*request.state, reason, now);
  }
  remove_finished();
}

void Admission::abandon_all(const char* error, Clock::time_point now) noexcept {
  const auto abandon = [&](RequestState& state) {
    if (state.stream->finished()) return;
    RequestReport& report = state.report;
    report.finish_reason = FinishReason::kError;
    report.total_ms = milliseconds(now - state.submitted);
    try {
      report.error = error;
    } catch (...) {
      // Without a message then.
    }
    ++stats_.requests_failed;
    state.stream->finish(std::move(report));
  };
  for (auto& state : waiting_) abandon(*state);
  for (RunningRequest& request : running_) abandon(*request.state);
  waiting_.clear();
  running_.clear();
  stats_.requests_waiting = stats_.requests_running = 0;
}

void Admission::update_gauges() {
  int64_t tokens = 0;
  for (const RunningRequest& request : running_) tokens += store_.length(request.state->sequence);
  stats_.requests_running = static_cast<int64_t>(running_.size());
  stats_.requests_waiting = waiting();
  stats_.cache_usage = static_cast<double>(tokens) / static_cast<double>(options_.cache_tokens);
  stats_.prefix_states = memory_.prefixes().snapshots();
  stats_.prefix_bytes = memory_.prefixes().bytes();
}

void Admission::check_integrity() const {
  store_.check_integrity();
  memory_.check_integrity();
  FT_CHECK(store_.open_sequences() == static_cast<int32_t>(running_.size()), store_.open_sequences(),
           running_.size());
  for (size_t i = 1; i < running_.size(); ++i)
    FT_CHECK(comes_before(*running_[i - 1].state, *running_[i].state), i);
  for (size_t i = 1; i < waiting_.size(); ++i) FT_CHECK(comes_before(*waiting_[i - 1], *waiting_[i]), i);
  for (const auto& state : waiting_) FT_CHECK(state->sequence < 0, state->sequence);
}

}  // namespace ft::scheduler
