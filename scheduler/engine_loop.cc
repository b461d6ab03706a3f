#include "scheduler/engine_loop.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "scheduler/cost_probe.h"
#include "scheduler/kept_tree.h"
#include "scheduler/learned_state.h"

namespace ft::scheduler {

namespace {

// Steps between two looks at the calibration's figures, which cost more than counting.
constexpr int64_t kReliabilityEvery = 64;

double seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
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

// Rows of one request's tree at most.
size_t tree_rows(const EngineOptions& options) {
  const int32_t most = options.tree_nodes == 0 ? options.tree_nodes_max : options.tree_nodes;
  return static_cast<size_t>(std::min(most, options.batch_rows));
}

double experts_per_row(const ModelConfig& config) {
  return static_cast<double>(config.num_hidden_layers) * config.num_experts_per_tok;
}

}  // namespace

void EngineLoop::Slot::reserve(const EngineOptions& options) {
  const size_t nodes = tree_rows(options);
  drafts.nodes.reserve(nodes);
  probability.reserve(nodes);
  hoped.reserve(nodes);
  kept.reserve(nodes + 1);  // the policy writes one further
  tree.reserve(static_cast<int32_t>(nodes));
  verified.path.reserve(nodes);
  verified.emitted.reserve(nodes);
  verified.samples.reserve(nodes);
  committed.reserve(static_cast<size_t>(options.batch_rows));
}

EngineLoop::EngineLoop(Backend& backend, const Checkpoint& checkpoint, const EngineOptions& options,
                       std::unique_ptr<draft::Drafter> drafter)
    : options_(options),
      backend_description_(fmt::format("{} ({})", backend.name(), backend.description())),
      numerics_(backend.numerics()),
      weight_bytes_(checkpoint.weight_bytes()),
      model_(backend, checkpoint, cache_limits(options)),
      drafter_(std::move(drafter)),
      memory_(model_.cache(), *drafter_, options.prefix_cache_bytes),
      costs_(options.batch_rows, options.max_sequences * std::max(1, drafter_->model_depth().most),
             experts_per_row(model_.config()),
             static_cast<double>(model_.config().num_hidden_layers) * model_.config().n_routed_experts),
      experts_(model_.config()),
      policy_(costs_, expert_layout(model_), options.selection),
      gate_(costs_, drafter_->model_depth()),
      canary_(options.canary_rate, model_.config().vocab_size),
      eos_(model_.config().eos_token_ids.begin(), model_.config().eos_token_ids.end()),
      learned_kept_(Clock::now()) {
  const auto sequences = static_cast<size_t>(options.max_sequences);
  const auto rows = static_cast<size_t>(options.batch_rows);
  running_.reserve(sequences);
  candidates_.reserve(sequences);
  // These two change places with those of the slots.
  kept_.resize(sequences);
  for (std::vector<int32_t>& kept : kept_) kept.reserve(tree_rows(options) + 1);
  places_.reserve(tree_rows(options) + 1);
  propose_trees_.resize(sequences);
  for (draft::DraftTree& tree : propose_trees_) tree.nodes.reserve(tree_rows(options));
  rows_.reserve(rows);
  logit_rows_.reserve(rows);
  commit_rows_.reserve(rows);
  if (!adaptive() || drafter_->depth_max() == 0) return;
  if (!options.state_folder.empty()) {
    const Result<void> loaded = load_learned(options.state_folder, learned_key(), costs_, calibration_);
    if (loaded) {
      costs_origin_ = options.state_folder + "/" + learned_key().file_name();
      return;
    }
    if (loaded.error().code != ErrorCode::kNotFound && options.on_warning)
      options.on_warning(loaded.error().message);
  }
  costs_origin_ = "measured at the start";
  measure_costs(model_, *drafter_, experts_, costs_);
  costs_.settle();
}

EngineLoop::~EngineLoop() {
  keep_learned(true);
}

bool EngineLoop::step() {
  drop_cancelled();
  admit();
  if (running_.empty()) return false;
  const auto started = Clock::now();
  make_room_for_step();
  plan();
  if (adaptive()) decide_drafting();
  const auto planned = Clock::now();
  propose();
  const auto drafted = Clock::now();
  draft_seconds_ = seconds(drafted - planned);
  select();
  build_rows();
  KvTransaction transaction = model_.cache().begin();
  const ForwardOutput output = model_.forward(transaction.stage(rows_), logit_rows_);
  for (Slot& slot : running_) verify(slot, output.logits);
  const auto verified = Clock::now();
  experts_.count(model_, static_cast<int64_t>(rows_.size()));
  commit_and_observe(std::move(transaction), output);
  const auto committed = Clock::now();
  learn(draft_seconds_, seconds(committed - drafted));
  run_canary(output.logits);
  for (Slot& slot : running_) {
    if (slot.plan.known == 0) continue;
    RequestReport& report = slot.state->report;
    // A step shared by several requests counts in full for each: it is what each of them waited for.
    if (slot.state->decoding()) {
      report.draft_ms += milliseconds(drafted - planned);
      report.verify_ms += milliseconds(verified - drafted);
      report.commit_ms += milliseconds(committed - verified);
    } else {
      report.prefill_ms += milliseconds(committed - started);
    }
    account(slot);
    publish(slot);
  }
  if (++stats_.steps % kReliabilityEvery == 0) update_reliability();
  stats_.draft_seconds += draft_seconds_;
  stats_.verify_seconds += seconds(verified - drafted);
  stats_.commit_seconds += seconds(committed - verified);
  remove_finished();
  return true;
}

void EngineLoop::plan() {
  plan_inputs_.clear();
  for (const Slot& slot : running_) {
    const RequestState& state = *slot.state;
    PlanInput input;
    input.pending = static_cast<int64_t>(state.tokens.size()) - model_.cache().length(state.sequence);
    input.known_max = state.decoding() ? input.pending : memory_.tokens_to_stop(state);
    // The first token comes from the prompt's last row; there is nothing to draft from before it. The last
    // token that a request may emit needs no draft either.
    if (state.decoding() && input.pending == 1 && state.tokens_left() > 1)
      input.drafts_max = state.drafts_max;
    plan_inputs_.push_back(input);
  }
  plan_batch(plan_inputs_, {options_.batch_rows, options_.prefill_chunk}, plan_entries_);
  prompt_rows_ = false;
  for (size_t i = 0; i < running_.size(); ++i) {
    Slot& slot = running_[i];
    slot.plan = plan_entries_[i];
    const bool crowded_out = plan_inputs_[i].drafts_max > 0 && slot.plan.drafts == 0;
    slot.fallback = !slot.state->speculates() ? Fallback::kDisabled
                    : crowded_out             ? Fallback::kNoRoom
                                              : Fallback::kNoDraft;
    prompt_rows_ = prompt_rows_ || slot.plan.known > 1;
    // Where the scheduler chooses, every request may show what it has; rows are shared out afterwards.
    if (adaptive() && slot.plan.drafts > 0) slot.plan.drafts = plan_inputs_[i].drafts_max;
  }
}

// Asks, before anything is drafted, for which requests the model's draft is worth its time.
void EngineLoop::decide_drafting() {
  gate_requests_.clear();
  int32_t rows = 0;
  int32_t emitting = 0;
  for (size_t i = 0; i < running_.size(); ++i) {
    const Slot& slot = running_[i];
    rows += static_cast<int32_t>(slot.plan.known);
    emitting += slot.plan.known == plan_inputs_[i].pending ? 1 : 0;
    gate_requests_.push_back({&slot.state->outlook, slot.state->use_model ? slot.plan.drafts : 0,
                              catch_up_rows(*slot.state), slot.state->expert_overlap});
  }
  draft_depth_ = gate_.decide(gate_requests_, rows, emitting, gate_drafts_);
  for (size_t i = 0; i < running_.size(); ++i) {
    Slot& slot = running_[i];
    if (slot.plan.drafts == 0 || !slot.state->use_model || gate_drafts_[i] != 0) continue;
    slot.fallback = Fallback::kNotWorth;
    // Prompt lookup costs next to nothing, so it goes on.
    if (!slot.state->use_ngram) slot.plan.drafts = 0;
  }
}

// Rows that the drafter will take in when it is asked, beyond those of one step; it keeps a window of them.
int64_t EngineLoop::catch_up_rows(const RequestState& state) const {
  const int64_t rows = std::min<int64_t>(state.undrafted_rows, model_.config().sliding_window);
  return rows > state.drafts_max + 1 ? rows : 0;
}

void EngineLoop::propose() {
  propose_requests_.clear();
  propose_slots_.clear();
  drafted_for_ = 0;
  catch_up_rows_ = 0;
  asked_model_.assign(running_.size(), 0);
  for (size_t i = 0; i < running_.size(); ++i) {
    Slot& slot = running_[i];
    slot.drafts.nodes.clear();
    slot.drafts.probability.clear();
    slot.probability.clear();
    slot.hoped.clear();
    if (slot.plan.drafts == 0) continue;
    const RequestState& state = *slot.state;
    draft::ProposeRequest request;
    request.sequence = state.sequence;
    request.anchor = state.tokens.back();
    request.position = static_cast<int64_t>(state.tokens.size()) - 1;
    request.history = state.tokens;
    request.temperature = state.request.sampling.greedy() ? 0.0 : state.request.sampling.temperature;
    request.seed = state.request.sampling.seed;
    request.nodes_max = slot.plan.drafts;
    if (adaptive()) request.model_depth = draft_depth_;
    request.shape = state.request.speculation.shape.value_or(options_.tree_shape);
    request.shares = &calibration_.shares(request.temperature);
    request.use_model = state.use_model && (!adaptive() || gate_drafts_[i] != 0);
    request.use_ngram = state.use_ngram;
    request.draw = options_.acceptance == Acceptance::kRejection && request.temperature > 0.0;
    if (request.draw) request.shape = draft::TreeShape::kChain;
    if (request.use_model) {
      ++drafted_for_;
      catch_up_rows_ += catch_up_rows(state);
      asked_model_[i] = 1;
    }
    propose_requests_.push_back(request);
    propose_slots_.push_back(i);
  }
  if (propose_requests_.empty()) return;
  drafter_->propose(propose_requests_, std::span(propose_trees_).first(propose_requests_.size()));
  for (size_t k = 0; k < propose_slots_.size(); ++k) {
    Slot& slot = running_[propose_slots_[k]];
    std::swap(slot.drafts, propose_trees_[k]);
    const double temperature = propose_requests_[k].temperature;
    calibration_.correct(temperature, slot.drafts.nodes, slot.probability);
    calibration_.hope(temperature, slot.drafts.nodes, slot.probability, slot.hoped);
    // A node deeper than what may still be emitted is on nobody's path.
    const int64_t depth_max = slot.state->tokens_left() - 1;
    for (size_t i = 0; i < slot.drafts.nodes.size(); ++i)
      if (slot.drafts.nodes[i].depth > depth_max) slot.probability[i] = slot.hoped[i] = 0.0f;
  }
}

void EngineLoop::select() {
  for (Slot& slot : running_) slot.kept.clear();
  if (!adaptive()) {
    for (Slot& slot : running_) select_fixed(slot);
    return;
  }
  StepBase base;
  base.rows_max = options_.batch_rows;
  base.running = static_cast<int32_t>(running_.size());
  base.draft_seconds = draft_seconds_;
  // The paper's modes select by confidence alone, which keeps them causal.
  const bool hopes = options_.selection == SelectionMode::kGlobal;
  candidates_.clear();
  candidate_slots_.clear();
  anchors_.clear();
  for (size_t i = 0; i < running_.size(); ++i) {
    Slot& slot = running_[i];
    base.rows += static_cast<int32_t>(slot.plan.known);
    base.emitting += slot.plan.known == plan_inputs_[i].pending ? 1 : 0;
    if (slot.plan.known == 1) anchors_.push_back(slot.state->tokens.back());
    if (slot.drafts.nodes.empty()) continue;
    candidates_.push_back({slot.drafts.nodes, hopes ? slot.hoped : slot.probability, slot.plan.drafts,
                           slot.state->expert_overlap});
    candidate_slots_.push_back(i);
  }
  base.anchors = anchors_;
  if (candidates_.empty()) return;
  policy_.select(candidates_, base, kept_);
  for (size_t k = 0; k < candidate_slots_.size(); ++k) {
    Slot& slot = running_[candidate_slots_[k]];
    std::swap(slot.kept, kept_[k]);
    if (slot.kept.empty()) slot.fallback = Fallback::kNotWorth;
  }
}

// A fixed number of rows: the drafter was asked for the best nodes of so many.
void EngineLoop::select_fixed(Slot& slot) {
  const auto nodes = static_cast<int32_t>(slot.drafts.nodes.size());
  for (int32_t i = 0; i < nodes && static_cast<int32_t>(slot.kept.size()) < slot.plan.drafts; ++i)
    if (slot.probability[static_cast<size_t>(i)] > 0.0f) slot.kept.push_back(i);
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
    plant(state.tokens.back(), slot.drafts.nodes, slot.probability, slot.kept, places_, slot.tree);
    logit_rows_.push_back(anchor_row);
    for (int32_t i = 1; i < slot.tree.size(); ++i) {
      const verify::TokenTree::Node& node = slot.tree[i];
      rows_.push_back({node.token, static_cast<int32_t>(state.tokens.size()) - 1 + node.depth, state.sequence,
                       anchor_row + node.parent});
      logit_rows_.push_back(anchor_row + i);
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
      .constraint = state.request.constraint.get(),
  };
  if (options_.acceptance == Acceptance::kRejection && !state.request.sampling.greedy()) {
    // The kept nodes are the beginning of the drawn chain.
    const std::span<const double> drawn = slot.drafts.probability;
    rejection_.verify(input, drawn.first(slot.kept.size() * static_cast<size_t>(vocab)),
                      verify::AcceptanceRule::kToken, slot.verified);
  } else {
    verifier_.verify(input, slot.verified);
  }
  const int32_t anchor_row = slot.committed.back();
  for (size_t i = 1; i < slot.verified.path.size(); ++i)
    slot.committed.push_back(anchor_row + slot.verified.path[i]);
  slot.finished = slot.verified.finish != verify::FinishReason::kNone || slot.verified.degenerate;
  state.tokens.insert(state.tokens.end(), slot.verified.emitted.begin(), slot.verified.emitted.end());
}

void EngineLoop::commit_and_observe(KvTransaction transaction, const ForwardOutput& output) {
  commit_rows_.clear();
  observed_.clear();
  for (const Slot& slot : running_) {
    // What has ended needs no cache any more.
    if (slot.plan.known == 0 || slot.finished) continue;
    commit_rows_.insert(commit_rows_.end(), slot.committed.begin(), slot.committed.end());
    if (!slot.state->speculates()) continue;
    const std::vector<int32_t>& tokens = slot.state->tokens;
    observed_.push_back(
        {slot.state->sequence, slot.committed_from, slot.committed,
         std::span(tokens).subspan(static_cast<size_t>(slot.committed_from) + 1, slot.committed.size())});
  }
  std::move(transaction).commit(commit_rows_);
  for (size_t i = 0; i < running_.size(); ++i) {
    Slot& slot = running_[i];
    const bool asked = asked_model_[i] != 0;
    slot.state->undrafted_rows = (asked ? 0 : slot.state->undrafted_rows) + std::ssize(slot.committed);
  }
  if (!observed_.empty()) drafter_->observe(output, observed_);
  for (Slot& slot : running_)
    if (slot.plan.known > 0 && !slot.finished) memory_.remember(*slot.state, slot.committed_from);
}

}  // namespace ft::scheduler
