#include "draft/mtp.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"

namespace ft::draft {

namespace {

// Nodes of a level that are expanded, so that the levels of all sequences fit the rows that the target's
// batch has anyway. Depends on the limits alone: a draft must not depend on who shares the step.
int32_t frontier_max(const DraftLimits& limits) {
  const int32_t share = limits.rows / (limits.sequences * (Mtp::kDepthMax - 1));
  return std::clamp(share, 1, TreeBuilder::kFrontierMax);
}

// A proposal stages the last row of every sequence and the nodes of every level but the deepest.
CacheLimits cache_limits(const DraftLimits& limits) {
  CacheLimits cache;
  cache.sequences = limits.sequences;
  cache.rows = std::max(limits.rows, limits.sequences * (1 + frontier_max(limits) * (Mtp::kDepthMax - 1)));
  cache.context = limits.context;
  return cache;
}

Backend& reserved(Backend& backend, const ModelConfig& config, int64_t rows) {
  backend.reserve(config, rows);
  return backend;
}

}  // namespace

Mtp::Mtp(Backend& backend, const Checkpoint& checkpoint, const DraftLimits& limits)
    // The last row also depends on the token after it, which may be another one for whoever continues.
    : ModelDrafter(backend, limits,
                   {.name = "mtp",
                    .window = checkpoint.config().sliding_window,
                    .feature_width = checkpoint.config().hc_mult * checkpoint.config().hidden_size,
                    .open_rows = 1}),
      config_(checkpoint.config()),
      frontier_max_(frontier_max(limits)),
      block_(reserved(backend, config_, cache_limits(limits).rows), checkpoint, 0, cache_limits(limits)),
      copy_(backend, cache_limits(limits).rows) {
  const int64_t rows = block_.cache().limits().rows;
  const int64_t cols = config_.hc_mult * config_.hidden_size;
  memory_ = backend.allocate(static_cast<size_t>(2 * rows * cols) * sizeof(float));
  inputs_ = Matrix(memory_.f32(), rows, cols);
  streams_ = Matrix(inputs_.row(rows), rows, cols);
  const auto row_count = static_cast<size_t>(rows);
  rows_.reserve(row_count);
  source_rows_.reserve(row_count);
  target_rows_.reserve(row_count);
  in_order_.resize(row_count);
  std::iota(in_order_.begin(), in_order_.end(), 0);
  expansions_.reserve(static_cast<size_t>(limits.sequences) * TreeBuilder::kFrontierMax);
}

void Mtp::catch_up() {
  ring_.catch_up(block_.cache(), targets_, block_.cache().limits().rows,
                 [&](std::span<const Row> rows, std::span<const int32_t> source_rows) {
                   KvTransaction transaction = block_.cache().begin();
                   const StepPlan& plan = transaction.stage(rows);
                   inputs_.rows = plan.rows;
                   copy_.gather(inputs_, ring_.features(), source_rows);
                   block_.append(plan, inputs_);
                   std::move(transaction).commit(std::span(in_order_).first(rows.size()));
                 });
}

void Mtp::propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) {
  FT_CHECK(requests.size() == trees.size(), requests.size(), trees.size());
  begin_pass();
  for (size_t i = 0; i < requests.size(); ++i) {
    trees[i].nodes.clear();
    trees[i].probability.clear();
    if (add_to_pass(requests[i], trees[i], kDepthMax, frontier_max_))
      ring_.learn(targets_.back().sequence, requests[i].history);
  }
  if (requests_.empty()) return;
  catch_up();
  KvTransaction transaction = block_.cache().begin();
  // The rows staged first are the last rows of the sequences, one per request.
  rows_.clear();
  source_rows_.clear();
  for (size_t i = 0; i < requests_.size(); ++i) {
    const auto [own, last] = targets_[i];
    rows_.push_back({requests_[i]->anchor, static_cast<int32_t>(last), own, kCommitted});
    source_rows_.push_back(ring_.row(own, last));
  }
  inputs_.rows = static_cast<int64_t>(rows_.size());
  copy_.gather(inputs_, ring_.features(), source_rows_);
  const Matrix streams = block_.forward(transaction.stage(rows_), inputs_);
  copy_.scatter(streams_, std::span(in_order_).first(rows_.size()), streams);
  collect_frontiers();
  add_children(block_.logits(streams));
  auto staged = static_cast<int32_t>(rows_.size());
  for (collect_frontiers(); !expansions_.empty(); collect_frontiers()) {
    stage_frontiers(transaction, staged);
    staged += static_cast<int32_t>(rows_.size());
  }
  finish_pass();
}

void Mtp::collect_frontiers() {
  expansions_.clear();
  for (size_t i = 0; i < requests_.size(); ++i)
    for (int32_t node : builders_[i].frontier()) expansions_.push_back({i, node});
}

// Runs the nodes to be expanded behind the `staged` rows of the transaction, and adds their children.
void Mtp::stage_frontiers(KvTransaction& transaction, int32_t staged) {
  rows_.clear();
  source_rows_.clear();
  target_rows_.clear();
  for (const Expansion& expansion : expansions_) {
    TreeBuilder& builder = builders_[expansion.request];
    const auto [own, last] = targets_[expansion.request];
    const int32_t parent = builder.parent(expansion.node);
    const int32_t parent_row =
        parent == TreeBuilder::kAnchor ? static_cast<int32_t>(expansion.request) : builder.tag(parent);
    const int32_t row = staged + static_cast<int32_t>(rows_.size());
    // A child is fed the output streams of its parent (model.md 3.11, 5.4).
    source_rows_.push_back(parent_row);
    target_rows_.push_back(row);
    rows_.push_back(
        {builder.token(expansion.node), static_cast<int32_t>(last) + builder.depth(), own, parent_row});
    builder.set_tag(expansion.node, row);
  }
  inputs_.rows = static_cast<int64_t>(rows_.size());
  copy_.gather(inputs_, streams_, source_rows_);
  const Matrix streams = block_.forward(transaction.stage(rows_), inputs_);
  copy_.scatter(streams_, target_rows_, streams);
  add_children(block_.logits(streams));
}

// Adds the children of every expansion from its row of `logits` and takes all trees one level down.
void Mtp::add_children(std::span<const float> logits) {
  const auto vocab = static_cast<size_t>(config_.vocab_size);
  for (size_t i = 0; i < expansions_.size(); ++i) {
    const auto [request, node] = expansions_[i];
    proposer_.propose(*requests_[request], logits.subspan(i * vocab, vocab), std::nullopt, node,
                      builders_[request], constraints_[request], *trees_[request]);
  }
  for (size_t i = 0; i < requests_.size(); ++i) builders_[i].descend();
}

}  // namespace ft::draft
