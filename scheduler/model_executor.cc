#include "scheduler/model_executor.h"

#include <fmt/format.h>

#include <chrono>
#include <exception>

#include "core/check.h"
#include "scheduler/cost_probe.h"
#include "scheduler/running_request.h"
#include "scheduler/speculation/learned_state.h"
#include "scheduler/step_builder.h"

namespace ft::scheduler {

namespace {

using Now = std::chrono::steady_clock;

double seconds_since(Now::time_point begin) {
  return std::chrono::duration<double>(Now::now() - begin).count();
}

ExpertLayout expert_layout(const Model& model) {
  ExpertLayout layout;
  layout.experts = model.config().n_routed_experts;
  layout.per_token = model.config().num_experts_per_tok;
  layout.vocab = static_cast<int32_t>(model.config().vocab_size);
  for (const BlockWeights& layer : model.weights().layers)
    if (layer.ffn.host_tid2eid != nullptr) {
      layout.hash_tables.push_back(layer.ffn.host_tid2eid);
    } else {
      ++layout.score_layers;
    }
  return layout;
}

std::string model_text(const ModelConfig& config, const Checkpoint& checkpoint, Numerics numerics) {
  return fmt::format("{} layers, {} wide, {} experts, {} per token, vocabulary {}, {} bytes, {}",
                     config.num_hidden_layers, config.hidden_size, config.n_routed_experts,
                     config.num_experts_per_tok, config.vocab_size, checkpoint.weight_bytes(),
                     numerics == Numerics::kExact ? "exact" : "official");
}

ExecutorInfo describe(const Backend& backend, const Checkpoint& checkpoint, const Model& model,
                      const draft::Drafter& drafter) {
  const ModelConfig& config = model.config();
  ExecutorInfo info;
  info.machine = fmt::format("{} / {} ({})", processor_name(), backend.name(), backend.description());
  info.model = model_text(config, checkpoint, backend.numerics());
  info.drafter = drafter.name();
  info.model_drafter = drafter.model_name();
  info.has_ngram = drafter.has_ngram();
  info.draft_depth_max = drafter.depth_max();
  info.model_depth = drafter.model_depth();
  info.vocab = config.vocab_size;
  info.window = config.sliding_window;
  info.experts_per_row = static_cast<double>(config.num_hidden_layers) * config.num_experts_per_tok;
  info.experts_all = static_cast<double>(config.num_hidden_layers) * config.n_routed_experts;
  info.experts = expert_layout(model);
  return info;
}

}  // namespace

ModelExecutor::ModelExecutor(Backend& backend, const Checkpoint& checkpoint, const EngineOptions& options,
                             std::unique_ptr<draft::Drafter> drafter)
    : model_(backend, checkpoint, cache_limits(options)),
      drafter_(std::move(drafter)),
      sequences_(model_.cache(), *drafter_, intact_),
      experts_(model_.config()),
      acceptance_(options.acceptance),
      canary_(options.canary_rate, model_.config().vocab_size),
      end_tokens_(model_.config().eos_token_ids.begin(), model_.config().eos_token_ids.end()),
      info_(describe(backend, checkpoint, model_, *drafter_)) {
  const auto sequences = static_cast<size_t>(options.max_sequences);
  const auto rows = static_cast<size_t>(options.batch_rows);
  const size_t nodes = RunningRequest::nodes_max(options);
  committed_.resize(sequences);
  next_tokens_.resize(sequences);
  for (std::vector<int32_t>& committed : committed_) committed.reserve(rows);
  for (std::vector<int32_t>& next : next_tokens_) next.reserve(rows);
  commit_rows_.reserve(rows);
  prompts_.reserve(sequences);
  observed_.reserve(sequences);
  outcomes_.resize(sequences);
  for (RequestOutcome& request : outcomes_) {
    request.verified.path.reserve(nodes);
    request.verified.emitted.reserve(nodes);
    request.verified.samples.reserve(nodes);
    request.expert_overlaps.reserve(nodes);
  }
}

double ModelExecutor::propose(const DraftBatch& batch) {
  if (batch.requests.empty()) return 0.0;
  const auto begin = Now::now();
  intact_.change([&] { drafter_->propose(batch.requests, batch.trees); });
  return seconds_since(begin);
}

const StepOutcome& ModelExecutor::step(const StepBatch& batch) {
  outcome_.requests = std::span(outcomes_).first(batch.requests.size());
  outcome_.canary_checks = outcome_.canary_mismatches = 0;
  outcome_.canary_report.clear();
  const auto begin = Now::now();
  KvTransaction transaction = model_.cache().begin();
  prompts_.clear();
  if (model_.backend().prefill_gemm() != PrefillGemm::kInvariant) find_long_prompts(batch, prompts_);
  const ForwardOutput output = model_.forward(transaction.stage(batch.rows), batch.logit_rows, prompts_);
  for (size_t i = 0; i < batch.requests.size(); ++i) verify(batch.requests[i], output.logits, outcomes_[i]);
  const auto verified = Now::now();
  experts_.count(model_, static_cast<int64_t>(batch.rows.size()));
  collect_committed(batch);
  intact_.change([&] {
    commit(batch, std::move(transaction));
    observe(batch, output);
  });
  outcome_.verify_seconds = std::chrono::duration<double>(verified - begin).count();
  outcome_.commit_seconds = seconds_since(verified);
  outcome_.distinct_experts = experts_.distinct();
  count_overlaps(batch);
  if (canary_.chosen()) run_canary(batch, output.logits);
  return outcome_;
}

// A failure is this request's alone: what failed is its constraint, or there is no memory for its log probabilities.
void ModelExecutor::verify(const StepRequest& request, std::span<const float> logits,
                           RequestOutcome& outcome) {
  outcome.verified.clear();
  outcome.expert_overlaps.clear();
  outcome.error.clear();
  report_prompt(request, logits, outcome);
  if (!request.samples()) return;
  const int64_t vocab = info_.vocab;
  const verify::StopRule stop{.end_tokens = end_tokens_,
                              .stop_tokens = request.stop_tokens,
                              .ignore_eos = request.ignore_eos,
                              .tokens_left = request.tokens_left};
  const verify::VerifyInput input{
      .tree = *request.tree,
      .logits = logits.subspan(static_cast<size_t>(request.first_logit * vocab),
                               static_cast<size_t>(request.tree->size() * vocab)),
      .params = *request.params,
      .anchor_position = static_cast<int64_t>(request.tokens.size()) - 1,
      .stop = stop,
      .counts = request.counts,
      .constraint = request.constraint,
  };
  try {
    if (acceptance_ == Acceptance::kRejection && !request.params->greedy()) {
      // The kept nodes are the beginning of the drawn chain.
      rejection_.verify(input,
                        request.distribution.first(static_cast<size_t>((request.tree->size() - 1) * vocab)),
                        verify::AcceptanceRule::kToken, outcome.verified);
    } else {
      verifier_.verify(input, outcome.verified);
    }
  } catch (const std::exception& error) {
    outcome.verified.clear();
    outcome.error = fmt::format("sampling failed: {}", error.what());
  }
}

void ModelExecutor::report_prompt(const StepRequest& request, std::span<const float> logits,
                                  RequestOutcome& outcome) {
  outcome.prompt.clear();
  verify::SamplingParams params;
  params.logprobs = request.prompt_logprobs;
  const auto vocab = static_cast<size_t>(info_.vocab);
  for (int32_t i = 0; i < request.prompt_logits; ++i) {
    const auto row = static_cast<size_t>(request.first_prompt_logit + i);
    const auto token = static_cast<size_t>(request.first_prompt_token + i);
    sampler_.report(logits.subspan(row * vocab, vocab), params, request.tokens[token],
                    outcome.prompt.emplace_back());
  }
}

void ModelExecutor::collect_committed(const StepBatch& batch) {
  for (size_t i = 0; i < batch.requests.size(); ++i) {
    const StepRequest& request = batch.requests[i];
    const verify::Verified& verified = outcome_.requests[i].verified;
    std::vector<int32_t>& rows = committed_[i];
    std::vector<int32_t>& next = next_tokens_[i];
    rows.clear();
    next.clear();
    for (int32_t k = 0; k < request.known; ++k) rows.push_back(request.first_row + k);
    const int32_t anchor_row = request.first_row + request.known - 1;
    for (size_t k = 1; k < verified.path.size(); ++k) rows.push_back(anchor_row + verified.path[k]);
    for (size_t k = 0; k < rows.size(); ++k) {
      // What is not among the known tokens has just been emitted.
      const size_t position = static_cast<size_t>(request.length) + k + 1;
      next.push_back(position < request.tokens.size() ? request.tokens[position]
                     : position - request.tokens.size() < verified.emitted.size()
                         ? verified.emitted[position - request.tokens.size()]
                         : 0);
    }
  }
}

void ModelExecutor::commit(const StepBatch& batch, KvTransaction transaction) {
  commit_rows_.clear();
  // What has ended needs no cache any more.
  for (size_t i = 0; i < batch.requests.size(); ++i)
    if (!outcome_.requests[i].ends())
      commit_rows_.insert(commit_rows_.end(), committed_[i].begin(), committed_[i].end());
  std::move(transaction).commit(commit_rows_);
}

void ModelExecutor::observe(const StepBatch& batch, const ForwardOutput& output) {
  observed_.clear();
  for (size_t i = 0; i < batch.requests.size(); ++i) {
    const StepRequest& request = batch.requests[i];
    if (request.known > 0 && request.drafts && !outcome_.requests[i].ends())
      observed_.push_back({request.sequence, request.length, committed_[i], next_tokens_[i]});
  }
  if (!observed_.empty()) drafter_->observe(output, observed_);
}

void ModelExecutor::count_overlaps(const StepBatch& batch) {
  for (size_t i = 0; i < batch.requests.size(); ++i) {
    if (!batch.requests[i].samples() || batch.requests[i].tree->size() == 1) continue;
    experts_.append_overlaps(committed_[i], outcomes_[i].expert_overlaps);
  }
}

void ModelExecutor::measure(CostModel& costs) {
  measure_costs(model_, *drafter_, experts_, costs);
  costs.settle();
}

}  // namespace ft::scheduler
