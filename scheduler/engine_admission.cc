// Who takes part in a step: admission, memory, preemption, and the end of requests.
#include <algorithm>

#include "core/check.h"
#include "scheduler/engine_loop.h"
#include "scheduler/source_choice.h"

namespace ft::scheduler {

void EngineLoop::enqueue(std::unique_ptr<RequestState> request) {
  request->arrival = arrivals_++;
  set_sources(*request);
  request->expert_overlap = expert_overlap_;
  const auto place = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](const auto& other) { return comes_before(*request, *other); });
  waiting_.insert(place, std::move(request));
  stats_.requests_waiting = waiting();
}

// What may propose for a request, and how much: its wishes, which the engine must have the drafters for.
void EngineLoop::set_sources(RequestState& state) const {
  const SpeculationParams& wish = state.request.speculation;
  const std::optional<draft::DraftSources> chosen = choose_sources(wish, options_.drafter, *drafter_);
  FT_CHECK(chosen.has_value(), state.request.id, drafter_->name());
  const draft::DraftSources sources = *chosen;
  const int32_t most = adaptive() ? options_.tree_nodes_max : options_.tree_nodes;
  state.use_model = sources.use_model;
  state.use_ngram = sources.use_ngram;
  state.drafts_max = 0;
  if (sources.use_model || sources.use_ngram)
    state.drafts_max = std::min(wish.max_nodes.value_or(most), options_.batch_rows) - 1;
}

void EngineLoop::drop_cancelled() {
  for (auto& state : waiting_)
    if (state->stream->cancelled()) {
      finish(*state, FinishReason::kCancelled);
      state.reset();
    }
  std::erase(waiting_, nullptr);
  for (Slot& slot : running_)
    if (slot.state->stream->cancelled()) {
      slot.finished = true;
      finish(*slot.state, FinishReason::kCancelled);
    }
  remove_finished();
  stats_.requests_waiting = waiting();
}

void EngineLoop::admit() {
  for (size_t i = 0; i < waiting_.size();) {
    RequestState& state = *waiting_[i];
    // The first of its group is reading the prompt for it; others may go ahead meanwhile.
    if (memory_.waits_for_fork(state)) {
      ++i;
      continue;
    }
    // First come, first served: a large request at the head waits for room, and is not overtaken for ever.
    // Only a request of higher priority may take the place of one that runs.
    bool admitted = admit_one(state);
    while (!admitted && !running_.empty() &&
           running_.back().state->request.priority < state.request.priority) {
      suspend(running_.size() - 1, keeping_is_cheaper(*running_.back().state));
      admitted = admit_one(state);
    }
    if (!admitted) break;
    Slot slot;
    slot.reserve(options_);
    // Suspending may have put others into the queue, behind this one.
    slot.state = std::move(waiting_[i]);
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    const auto place = std::find_if(running_.begin(), running_.end(), [&](const Slot& other) {
      return comes_before(*slot.state, *other.state);
    });
    running_.insert(place, std::move(slot));
  }
  if (waiting_.empty()) memory_.end_idle_groups();
  update_gauges();
}

// As a drafter of just these sources is called.
std::string_view EngineLoop::sources_name(const RequestState& state) const {
  if (!state.speculates()) return "none";
  if (!state.use_model) return "ngram";
  const bool dspark = drafter_->name().starts_with("dspark");
  if (state.use_ngram) return dspark ? "dspark+ngram" : "mtp+ngram";
  return dspark ? "dspark" : "mtp";
}

bool EngineLoop::admit_one(RequestState& state) {
  if (running_.size() >= static_cast<size_t>(options_.max_sequences)) return false;
  const bool first_time = state.tokens.empty();
  if (first_time) {
    state.tokens.reserve(static_cast<size_t>(state.length_max()));
    state.tokens.assign(state.request.prompt.begin(), state.request.prompt.end());
  }
  // Those that run keep a page each to grow into, so that admission does not lead straight to preemption.
  const int64_t spare = static_cast<int64_t>(running_.size()) * kPageTokens;
  const int64_t length =
      std::min(static_cast<int64_t>(state.tokens.size()) + kPageTokens, state.length_max());
  if (!memory_.open(state, length, spare)) return false;
  if (!first_time && state.report.prompt_tokens > 0) return true;
  state.admitted = Clock::now();
  state.report.queue_ms = milliseconds(state.admitted - state.submitted);
  state.report.prompt_tokens = static_cast<int64_t>(state.request.prompt.size());
  state.report.drafter = sources_name(state);
  if (state.request.sampling.uses_counts()) {
    state.counts.reserve(state.length_max());
    state.counts.add_prompt(state.request.prompt);
  }
  stats_.prompt_tokens += state.report.prompt_tokens;
  stats_.prefix_queries += state.report.prompt_tokens;
  stats_.prefix_hits += state.report.cached_tokens;
  return true;
}

// Tokens that a request may have committed after the next step.
int64_t EngineLoop::room_for(const RequestState& state) const {
  return std::min(static_cast<int64_t>(state.tokens.size()) + state.drafts_max + 1, state.length_max());
}

// Gives every running request the pages that the step may fill. Where there are too few, the last in line
// gives its own up: the first always gets what it needs, so that something always finishes.
void EngineLoop::make_room_for_step() {
  for (size_t i = 0; i < running_.size(); ++i) {
    while (i < running_.size() && !memory_.grow(*running_[i].state, room_for(*running_[i].state))) {
      FT_CHECK(running_.size() > 1, running_[i].state->tokens.size(), model_.cache().available_tokens());
      suspend(running_.size() - 1, keeping_is_cheaper(*running_.back().state));
    }
  }
}

// Whether copying a sequence out and in costs less than reading its tokens again.
bool EngineLoop::keeping_is_cheaper(const RequestState& state) {
  // Before either was seen: 1 GB/s, and a prompt row like a verified one in a large step.
  const double byte_seconds = image_byte_seconds_ > 0.0 ? image_byte_seconds_ : 1e-9;
  double row_seconds = prompt_row_seconds_;
  if (row_seconds == 0.0)
    row_seconds = costs_.verify_seconds(options_.prefill_chunk) / options_.prefill_chunk;
  const int64_t again = model_.cache().length(state.sequence) - memory_.cached_tokens(state);
  return 2.0 * byte_seconds * static_cast<double>(memory_.image_bytes(state)) <
         row_seconds * static_cast<double>(again);
}

void EngineLoop::suspend(size_t index, bool keep) {
  Slot slot = std::move(running_[index]);
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
  RequestState& state = *slot.state;
  const int64_t bytes = keep ? memory_.image_bytes(state) : 0;
  const auto begin = Clock::now();
  memory_.suspend(state, keep);
  if (bytes > 0)
    average(image_byte_seconds_,
            std::chrono::duration<double>(Clock::now() - begin).count() / static_cast<double>(bytes));
  ++state.report.preemptions;
  ++stats_.preemptions;
  const auto place = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](const auto& other) { return comes_before(state, *other); });
  waiting_.insert(place, std::move(slot.state));
}

bool EngineLoop::preempt_one(bool keep) {
  if (running_.empty()) return false;
  suspend(running_.size() - 1, keep);
  update_gauges();
  return true;
}

void EngineLoop::finish(RequestState& state, FinishReason reason) {
  state.report.finish_reason = reason;
  state.report.total_ms = milliseconds(Clock::now() - state.submitted);
  // Memory goes back before the client hears of the end, so that its next request finds it.
  if (state.sequence < 0) memory_.forget(state);
  memory_.close(state);
  state.suspended.reset();
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

void EngineLoop::remove_finished() {
  std::erase_if(running_, [](const Slot& slot) { return slot.finished; });
  update_gauges();
}

void EngineLoop::update_gauges() {
  int64_t tokens = 0;
  for (const Slot& slot : running_) tokens += model_.cache().length(slot.state->sequence);
  stats_.requests_running = static_cast<int64_t>(running_.size());
  stats_.requests_waiting = waiting();
  stats_.cache_usage = static_cast<double>(tokens) / static_cast<double>(options_.cache_tokens);
  stats_.prefix_states = memory_.prefixes().states();
  stats_.prefix_bytes = memory_.prefixes().bytes();
}

void EngineLoop::cancel_all() {
  for (auto& state : waiting_) finish(*state, FinishReason::kCancelled);
  waiting_.clear();
  for (Slot& slot : running_) {
    slot.finished = true;
    finish(*slot.state, FinishReason::kCancelled);
  }
  remove_finished();
}

void EngineLoop::check_integrity() const {
  model_.cache().check_integrity();
  memory_.check_integrity();
  FT_CHECK(model_.cache().open_sequences() == static_cast<int32_t>(running_.size()),
           model_.cache().open_sequences(), running_.size());
  for (size_t i = 1; i < running_.size(); ++i)
    FT_CHECK(comes_before(*running_[i - 1].state, *running_[i].state), i);
  for (size_t i = 1; i < waiting_.size(); ++i) FT_CHECK(comes_before(*waiting_[i - 1], *waiting_[i]), i);
  for (const auto& state : waiting_) FT_CHECK(state->sequence < 0, state->sequence);
}

}  // namespace ft::scheduler
