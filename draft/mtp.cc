#include "draft/mtp.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "core/check.h"
#include "draft/child_share.h"

namespace ft::draft {

namespace {

// Nodes of a level that are expanded, so that the levels of all sequences fit the rows that the target's
// batch has anyway. Depends on the limits alone: a draft must not depend on who shares the step.
int32_t frontier_max(const DraftLimits& limits) {
  const int32_t share = limits.rows / (limits.sequences * (Mtp::kDepthMax - 1));
  return std::clamp(share, 1, TreeBuilder::kFrontierMax);
}

CacheLimits cache_limits(const DraftLimits& limits) {
  CacheLimits cache;
  cache.sequences = limits.sequences;
  cache.rows = std::max(limits.rows, limits.sequences * frontier_max(limits) * (Mtp::kDepthMax - 1));
  cache.context = limits.context;
  return cache;
}

Backend& reserved(Backend& backend, const ModelConfig& config, int64_t rows) {
  backend.reserve(config, rows);
  return backend;
}

}  // namespace

Mtp::Mtp(Backend& backend, const Checkpoint& checkpoint, const DraftLimits& limits)
    : config_(checkpoint.config()),
      frontier_max_(frontier_max(limits)),
      block_(reserved(backend, config_, cache_limits(limits).rows), checkpoint, 0, cache_limits(limits)),
      sequences_(limits.sequences),
      copy_(backend, cache_limits(limits).rows),
      builders_(static_cast<size_t>(limits.sequences)) {
  const int64_t rows = block_.cache().limits().rows;
  const int64_t cols = config_.hc_mult * config_.hidden_size;
  memory_ = backend.allocate(static_cast<size_t>((2 * rows + limits.sequences) * cols) * sizeof(float));
  inputs_ = Matrix(memory_.f32(), rows, cols);
  streams_ = Matrix(inputs_.row(rows), limits.sequences + rows, cols);
  const auto row_count = static_cast<size_t>(rows);
  rows_.reserve(row_count);
  source_rows_.reserve(row_count);
  target_rows_.reserve(row_count);
  in_order_.resize(row_count);
  std::iota(in_order_.begin(), in_order_.end(), 0);
  const auto sequences = static_cast<size_t>(limits.sequences);
  requests_.reserve(sequences);
  own_.reserve(sequences);
  expansions_.reserve(sequences * TreeBuilder::kFrontierMax);
}

void Mtp::open(SequenceId sequence, int64_t length_max) {
  const Result<SequenceId> own = block_.cache().open(length_max);
  FT_CHECK(own.has_value(), own.error().message);
  sequences_.open(sequence, *own);
}

void Mtp::close(SequenceId sequence) {
  block_.cache().close(sequences_.close(sequence));
}

void Mtp::observe(const ForwardOutput& output, std::span<const ObservedRows> observed) {
  rows_.clear();
  source_rows_.clear();
  for (const ObservedRows& sequence : observed) {
    const SequenceId own = sequences_.own(sequence.sequence);
    FT_CHECK(sequence.rows.size() == sequence.next_tokens.size(), sequence.rows.size(),
             sequence.next_tokens.size());
    FT_CHECK(sequence.first_position == block_.cache().length(own), sequence.first_position,
             block_.cache().length(own));
    for (size_t i = 0; i < sequence.rows.size(); ++i) {
      const int32_t parent = i == 0 ? kCommitted : static_cast<int32_t>(rows_.size()) - 1;
      const auto position = static_cast<int32_t>(sequence.first_position) + static_cast<int32_t>(i);
      rows_.push_back({sequence.next_tokens[i], position, own, parent});
      source_rows_.push_back(sequence.rows[i]);
    }
  }
  if (rows_.empty()) return;
  copy_.gather(inputs_, output.streams, source_rows_);
  KvTransaction transaction = block_.cache().begin();
  const Matrix streams = apply_block(transaction);
  // The last row of each sequence predicts its first draft.
  source_rows_.clear();
  target_rows_.clear();
  for (size_t i = 0; i < rows_.size(); ++i) {
    if (i + 1 < rows_.size() && rows_[i + 1].parent != kCommitted) continue;
    source_rows_.push_back(static_cast<int32_t>(i));
    target_rows_.push_back(rows_[i].sequence);
  }
  copy_.run(streams_, target_rows_, streams, source_rows_);
  std::move(transaction).commit(std::span(in_order_).first(rows_.size()));
}

// Stages rows_ and runs the block on their inputs_.
Matrix Mtp::apply_block(KvTransaction& transaction) {
  inputs_.rows = static_cast<int64_t>(rows_.size());
  return block_.forward(transaction.stage(rows_), inputs_);
}

void Mtp::propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) {
  FT_CHECK(requests.size() == trees.size(), requests.size(), trees.size());
  requests_.clear();
  own_.clear();
  for (const ProposeRequest& request : requests) {
    if (request.nodes_max <= 0) continue;
    const SequenceId own = sequences_.own(request.sequence);
    FT_CHECK(request.position == block_.cache().length(own) && request.position > 0, request.position,
             block_.cache().length(own));
    builders_[requests_.size()].start(request.shape, request.nodes_max, kDepthMax, frontier_max_);
    requests_.push_back(&request);
    own_.push_back(own);
  }
  if (!requests_.empty()) {
    KvTransaction transaction = block_.cache().begin();
    collect_frontiers();
    inputs_.rows = static_cast<int64_t>(own_.size());
    copy_.gather(inputs_, streams_, own_);
    add_children(block_.logits(inputs_));
    int32_t staged = 0;
    const int32_t first_staged = block_.cache().limits().sequences;
    for (collect_frontiers(); !expansions_.empty(); collect_frontiers()) {
      rows_.clear();
      source_rows_.clear();
      target_rows_.clear();
      for (const Expansion& expansion : expansions_) {
        TreeBuilder& builder = builders_[expansion.request];
        const ProposeRequest& request = *requests_[expansion.request];
        const SequenceId own = own_[expansion.request];
        const int32_t parent = builder.parent(expansion.node);
        const int32_t parent_row = parent == TreeBuilder::kAnchor ? kCommitted : builder.tag(parent);
        // A child is fed the output streams of its parent (model.md 3.11, 5.4).
        source_rows_.push_back(parent == TreeBuilder::kAnchor ? own : first_staged + parent_row);
        target_rows_.push_back(first_staged + staged);
        rows_.push_back({builder.token(expansion.node),
                         static_cast<int32_t>(request.position) + builder.depth() - 1, own, parent_row});
        builder.set_tag(expansion.node, staged++);
      }
      copy_.gather(inputs_, streams_, source_rows_);
      const Matrix streams = apply_block(transaction);
      copy_.scatter(streams_, target_rows_, streams);
      add_children(block_.logits(streams));
    }
  }
  size_t next = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    trees[i].nodes.clear();
    if (requests[i].nodes_max > 0) builders_[next++].finish(trees[i]);
  }
}

void Mtp::collect_frontiers() {
  expansions_.clear();
  for (size_t i = 0; i < requests_.size(); ++i)
    for (int32_t node : builders_[i].frontier()) expansions_.push_back({i, node});
}

// Ranks the children of every expansion from its row of `logits` and takes all trees one level down.
void Mtp::add_children(std::span<const float> logits) {
  const auto vocab = static_cast<size_t>(config_.vocab_size);
  for (size_t i = 0; i < expansions_.size(); ++i) {
    const Expansion& expansion = expansions_[i];
    const ProposeRequest& request = *requests_[expansion.request];
    TreeBuilder& builder = builders_[expansion.request];
    std::array<RankedChild, kBranchMax> children;
    const size_t wanted = request.shape == TreeShape::kChain ? 1 : children.size();
    const Ranking ranking{request.temperature, {request.seed, request.position + builder.depth() + 1}};
    const size_t count =
        ranking_.rank(logits.subspan(i * vocab, vocab), ranking, std::span(children).first(wanted));
    if (count == 0) continue;
    std::array<float, kBranchMax> shares;
    const float first = first_child_share(children[0].probability, ranking.greedy());
    share_remainder(first, ranking.greedy(), std::span(children).first(count), shares);
    for (size_t k = 0; k < count; ++k) builder.add(expansion.node, children[k].token, shares[k]);
  }
  for (size_t i = 0; i < requests_.size(); ++i) builders_[i].descend();
}

}  // namespace ft::draft
