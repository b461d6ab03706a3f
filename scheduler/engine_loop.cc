#include "scheduler/engine_loop.h"

#include <algorithm>

#include "core/check.h"

namespace ft::scheduler {

namespace {

CacheLimits cache_limits(const EngineOptions& options) {
  CacheLimits limits;
  limits.sequences = options.max_sequences;
  limits.rows = options.batch_rows;
  limits.context = options.context;
  limits.total_tokens = options.cache_tokens;
  return limits;
}

double seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

EngineLoop::EngineLoop(Backend& backend, const Checkpoint& checkpoint, const EngineOptions& options,
                       std::unique_ptr<draft::Drafter> drafter)
    : options_(options),
      model_(backend, checkpoint, cache_limits(options)),
      drafter_(std::move(drafter)),
      eos_{model_.config().eos_token_id} {
  running_.reserve(static_cast<size_t>(options.max_sequences));
  rows_.reserve(static_cast<size_t>(options.batch_rows));
  logit_rows_.reserve(static_cast<size_t>(options.batch_rows));
  commit_rows_.reserve(static_cast<size_t>(options.batch_rows));
}

EngineLoop::~EngineLoop() = default;

int32_t EngineLoop::nodes_max(const RequestState& state) const {
  const SpeculationParams& wish = state.request.speculation;
  if (!wish.enabled || drafter_->depth_max() == 0) return 1;
  return std::min(wish.max_nodes.value_or(options_.tree_nodes), options_.batch_rows);
}

void EngineLoop::enqueue(std::unique_ptr<RequestState> request) {
  waiting_.push_back(std::move(request));
  stats_.requests_waiting = waiting();
}

bool EngineLoop::step() {
  drop_cancelled();
  admit();
  if (running_.empty()) return false;
  const auto started = Clock::now();
  plan();
  propose();
  const auto drafted = Clock::now();
  build_rows();
  KvTransaction transaction = model_.cache().begin();
  const ForwardOutput output = model_.forward(transaction.stage(rows_), logit_rows_);
  for (Slot& slot : running_) verify(slot, output.logits);
  const auto verified = Clock::now();
  commit_and_observe(std::move(transaction), output);
  const auto committed = Clock::now();
  for (Slot& slot : running_) {
    if (slot.plan.known == 0) continue;
    RequestReport& report = slot.state->report;
    // A step shared by several requests counts in full for each: it is what each of them waited for.
    if (slot.state->decoding()) {
      report.draft_ms += milliseconds(drafted - started);
      report.verify_ms += milliseconds(verified - drafted);
      report.commit_ms += milliseconds(committed - verified);
    } else {
      report.prefill_ms += milliseconds(committed - started);
    }
    account(slot);
    publish(slot);
  }
  ++stats_.steps;
  stats_.draft_seconds += seconds(drafted - started);
  stats_.verify_seconds += seconds(verified - drafted);
  stats_.commit_seconds += seconds(committed - verified);
  remove_finished();
  return true;
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
  while (!waiting_.empty()) {
    RequestState& state = *waiting_.front();
    const int64_t length_max = static_cast<int64_t>(state.request.prompt.size()) + state.request.max_tokens;
    const Result<SequenceId> sequence = model_.cache().open(length_max);
    // First come, first served: a large request at the head waits for room, and is not overtaken forever.
    if (!sequence) break;
    state.sequence = *sequence;
    state.admitted = Clock::now();
    state.report.queue_ms = milliseconds(state.admitted - state.submitted);
    state.report.prompt_tokens = static_cast<int64_t>(state.request.prompt.size());
    state.report.drafter = nodes_max(state) > 1 ? drafter_->name() : "none";
    state.tokens.reserve(static_cast<size_t>(length_max));
    state.tokens.assign(state.request.prompt.begin(), state.request.prompt.end());
    if (state.request.sampling.uses_counts()) {
      state.counts.reserve(length_max);
      state.counts.add_prompt(state.request.prompt);
    }
    if (nodes_max(state) > 1) drafter_->open(*sequence, length_max);
    reserved_tokens_ += length_max;
    stats_.prompt_tokens += state.report.prompt_tokens;
    Slot slot;
    slot.state = std::move(waiting_.front());
    waiting_.pop_front();
    running_.push_back(std::move(slot));
  }
  stats_.requests_waiting = waiting();
  stats_.requests_running = static_cast<int64_t>(running_.size());
  stats_.cache_usage = static_cast<double>(reserved_tokens_) / static_cast<double>(options_.cache_tokens);
}

void EngineLoop::plan() {
  plan_inputs_.clear();
  for (const Slot& slot : running_) {
    const RequestState& state = *slot.state;
    const int64_t pending = static_cast<int64_t>(state.tokens.size()) - model_.cache().length(state.sequence);
    // The first token comes from the prompt's last row; there is nothing to draft from before it. A draft as
    // deep as tokens_left could never be emitted whole, but it may still be the best tree: depth is limited
    // when the tree is built.
    plan_inputs_.push_back({pending, state.tokens_left(), state.decoding() ? nodes_max(state) : 1});
  }
  plan_batch(plan_inputs_, {options_.batch_rows, options_.prefill_chunk}, plan_entries_);
  for (size_t i = 0; i < running_.size(); ++i) running_[i].plan = plan_entries_[i];
}

void EngineLoop::propose() {
  propose_requests_.clear();
  propose_slots_.clear();
  for (size_t i = 0; i < running_.size(); ++i) {
    Slot& slot = running_[i];
    slot.drafts.nodes.clear();
    if (slot.plan.drafts == 0) continue;
    const RequestState& state = *slot.state;
    draft::ProposeRequest request;
    request.sequence = state.sequence;
    request.anchor = state.tokens.back();
    request.position = static_cast<int64_t>(state.tokens.size()) - 1;
    request.history = state.tokens;
    request.temperature = state.request.sampling.greedy() ? 0.0 : state.request.sampling.temperature;
    request.seed = state.request.sampling.seed;
    const draft::DraftSources sources = draft::default_sources(options_.drafter, *drafter_);
    request.use_model = sources.use_model;
    request.use_ngram = sources.use_ngram;
    request.nodes_max = slot.plan.drafts;
    request.shape = state.request.speculation.shape.value_or(options_.tree_shape);
    propose_requests_.push_back(request);
    propose_slots_.push_back(i);
  }
  if (propose_requests_.empty()) return;
  if (propose_trees_.size() < propose_requests_.size()) propose_trees_.resize(propose_requests_.size());
  drafter_->propose(propose_requests_, std::span(propose_trees_).first(propose_requests_.size()));
  for (size_t k = 0; k < propose_slots_.size(); ++k)
    std::swap(running_[propose_slots_[k]].drafts.nodes, propose_trees_[k].nodes);
}

void EngineLoop::build_rows() {
  rows_.clear();
  logit_rows_.clear();
  for (Slot& slot : running_) {
    slot.committed.clear();
    slot.tree.clear();
    if (slot.plan.known == 0) continue;
    const RequestState& state = *slot.state;
    const int64_t length = model_.cache().length(state.sequence);
    slot.first_row = static_cast<int32_t>(rows_.size());
    slot.committed_from = length;
    for (int64_t i = 0; i < slot.plan.known; ++i) {
      const auto row = static_cast<int32_t>(rows_.size());
      rows_.push_back({state.tokens[static_cast<size_t>(length + i)], static_cast<int32_t>(length + i),
                       state.sequence, i == 0 ? kCommitted : row - 1});
      slot.committed.push_back(row);
    }
    if (length + slot.plan.known < static_cast<int64_t>(state.tokens.size())) continue;
    // The last known token is in: from here on the target chooses, and drafts hang on.
    const int32_t anchor_row = slot.committed.back();
    slot.first_logit = static_cast<int32_t>(logit_rows_.size());
    slot.tree.start(state.tokens.back());
    logit_rows_.push_back(anchor_row);
    for (const draft::DraftNode& node : slot.drafts.nodes) {
      const int32_t parent = node.parent + 1;
      const int32_t index = slot.tree.add(node.token, parent, node.path_probability);
      rows_.push_back(
          {node.token,
           static_cast<int32_t>(state.tokens.size()) - 1 + slot.tree.depth[static_cast<size_t>(index)],
           state.sequence, anchor_row + parent});
      logit_rows_.push_back(anchor_row + index);
    }
  }
}

void EngineLoop::verify(Slot& slot, std::span<const float> logits) {
  slot.verified.emitted.clear();
  if (slot.tree.size() == 0) return;
  RequestState& state = *slot.state;
  const int64_t vocab = model_.config().vocab_size;
  const verify::StopRule stop{.end_tokens = eos_,
                              .stop_tokens = state.request.stop_tokens,
                              .ignore_eos = state.request.ignore_eos,
                              .tokens_left = state.tokens_left()};
  const verify::VerifyInput input{
      .tree = slot.tree,
      .logits = logits.subspan(static_cast<size_t>(slot.first_logit * vocab),
                               static_cast<size_t>(slot.tree.size() * vocab)),
      .params = state.request.sampling,
      .anchor_position = static_cast<int64_t>(state.tokens.size()) - 1,
      .stop = stop,
      .counts = state.request.sampling.uses_counts() ? &state.counts : nullptr,
  };
  verifier_.verify(input, slot.verified);
  const int32_t anchor_row = slot.committed.back();
  for (size_t i = 1; i < slot.verified.path.size(); ++i)
    slot.committed.push_back(anchor_row + slot.verified.path[i]);
  slot.finished = slot.verified.finish != verify::FinishReason::kNone || slot.verified.degenerate;
  state.tokens.insert(state.tokens.end(), slot.verified.emitted.begin(), slot.verified.emitted.end());
}

void EngineLoop::account(Slot& slot) {
  if (slot.tree.size() == 0) return;
  RequestState& state = *slot.state;
  RequestReport& report = state.report;
  const auto emitted = static_cast<int64_t>(slot.verified.emitted.size());
  stats_.generation_tokens += emitted;
  if (state.decoding()) {
    const int64_t drafted = slot.tree.size() - 1;
    const auto accepted = static_cast<size_t>(std::min(slot.verified.accepted(), emitted));
    const int32_t deepest = *std::max_element(slot.tree.depth.begin(), slot.tree.depth.end());
    ++report.steps;
    report.drafted += drafted;
    report.accepted += static_cast<int64_t>(accepted);
    ++report.accepted_histogram[std::min<size_t>(accepted, kReportDepth)];
    for (size_t depth = 0; depth < std::min<size_t>(static_cast<size_t>(deepest), kReportDepth); ++depth)
      ++report.drafted_at_depth[depth];
    for (size_t depth = 0; depth < std::min<size_t>(accepted, kReportDepth); ++depth) {
      ++report.accepted_at_depth[depth];
      ++stats_.accepted_at_depth[depth];
    }
    stats_.drafts += drafted > 0 ? 1 : 0;
    stats_.draft_tokens += drafted;
    stats_.accepted_tokens += static_cast<int64_t>(accepted);
  }
  report.completion_tokens += emitted;
}

void EngineLoop::commit_and_observe(KvTransaction transaction, const ForwardOutput& output) {
  commit_rows_.clear();
  observed_.clear();
  for (const Slot& slot : running_) {
    // What has ended needs no cache any more.
    if (slot.plan.known == 0 || slot.finished) continue;
    commit_rows_.insert(commit_rows_.end(), slot.committed.begin(), slot.committed.end());
    if (nodes_max(*slot.state) == 1) continue;
    const std::vector<int32_t>& tokens = slot.state->tokens;
    observed_.push_back(
        {slot.state->sequence, slot.committed_from, slot.committed,
         std::span(tokens).subspan(static_cast<size_t>(slot.committed_from) + 1, slot.committed.size())});
  }
  std::move(transaction).commit(commit_rows_);
  if (!observed_.empty()) drafter_->observe(output, observed_);
}

void EngineLoop::publish(Slot& slot) {
  RequestState& state = *slot.state;
  TokenStream& stream = *state.stream;
  size_t count = slot.verified.emitted.size();
  if (slot.tree.size() == 0 || count == 0) return;
  if (slot.verified.degenerate) --count;
  const auto step = static_cast<int32_t>(state.report.steps);
  for (size_t i = 0; i < count; ++i) {
    TokenEvent event;
    event.token = slot.verified.emitted[i];
    event.step = step;
    if (state.request.sampling.logprobs >= 0) {
      event.logprob = slot.verified.samples[i].logprob;
      for (const verify::TokenLogprob& top : slot.verified.samples[i].top_logprobs)
        event.top.push_back({top.token, top.logprob});
    }
    stream.push(std::move(event));
  }
  if (slot.verified.degenerate) {
    state.report.completion_tokens -= 1;
    state.report.error = "the model's logits have no usable value";
    finish(state, FinishReason::kError);
  } else if (slot.verified.finish == verify::FinishReason::kStop) {
    state.report.stop_token = slot.verified.emitted.back();
    finish(state, FinishReason::kStop);
  } else if (slot.verified.finish == verify::FinishReason::kLength) {
    finish(state, FinishReason::kLength);
  } else {
    stream.notify();
  }
}

void EngineLoop::finish(RequestState& state, FinishReason reason) {
  state.report.finish_reason = reason;
  state.report.total_ms = milliseconds(Clock::now() - state.submitted);
  // Memory goes back before the client hears of the end, so that its next request finds it.
  if (state.sequence >= 0) {
    if (nodes_max(state) > 1) drafter_->close(state.sequence);
    model_.cache().close(state.sequence);
    reserved_tokens_ -= static_cast<int64_t>(state.request.prompt.size()) + state.request.max_tokens;
    state.sequence = -1;
  }
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
  stats_.requests_running = static_cast<int64_t>(running_.size());
  stats_.cache_usage = static_cast<double>(reserved_tokens_) / static_cast<double>(options_.cache_tokens);
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

}  // namespace ft::scheduler
